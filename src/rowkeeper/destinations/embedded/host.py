"""The host process: opens chDB, answers ClickHouse's HTTP interface on a Unix socket, goes away when idle.

    python -m rowkeeper.destinations.embedded.host FOLDER

Its starter sends one JSON document on standard input (keys and limits: neither on the command line nor in a lasting
environment, where others could read them), and reads one line from standard output: `ready`, or a JSON document that
says why not.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowkeeper.destinations.embedded import configuration
from rowkeeper.destinations.embedded.locking import locked_within
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.tidying import drop_torn_mutations
from rowkeeper.machine import be_nice

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.answering import Engine, Handler

WATCH_SECONDS = 0.5
BACKLOG = 64


class Host(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread per connection; counts connections, so that it knows when it is idle."""

    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self, places: EnginePlaces, engine: Engine, handler: type[Handler], idle_seconds: float) -> None:
        self.engine = engine
        self.places = places
        self.idle_seconds = idle_seconds
        self._connections = 0
        self._quiet_since = time.monotonic()
        self._lock = threading.Lock()
        # The path goes through a descriptor: a socket's own path may have no more than 107 characters.
        folder = os.open(places.folder, os.O_RDONLY | os.O_DIRECTORY)
        places.socket.unlink(missing_ok=True)
        super().__init__(f"/proc/self/fd/{folder}/{places.socket.name}", handler)
        self.inode = places.socket.stat().st_ino

    def process_request(self, request: Any, client_address: Any) -> None:
        """Counts the connection in."""
        with self._lock:
            self._connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Counts it out."""
        with self._lock:
            self._connections -= 1
            self._quiet_since = time.monotonic()
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called by the accept loop twice a second: leaves when idle, or when its folder or socket is gone."""
        with self._lock:
            idle = not self._connections and time.monotonic() - self._quiet_since > self.idle_seconds
        if idle or not self._still_ours():
            self._leave()

    def _still_ours(self) -> bool:
        try:
            return self.places.socket.stat().st_ino == self.inode
        except OSError:
            return False

    def _leave(self) -> None:
        """No client can reach a socket without a name; one that was just about to starts the next host."""
        if self._still_ours():
            self.places.socket.unlink()
        self.engine.close()
        os._exit(0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in mid-answer is no fault of the host."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


def main() -> None:
    """Starts the host; ends when it is idle."""
    os.umask(0o077)
    places = EnginePlaces(Path(sys.argv[1]))
    order = json.loads(sys.stdin.readline())
    be_nice(int(order["nice"]))  # before chDB starts its threads
    lock = os.open(places.host_lock, os.O_RDWR | os.O_CREAT, 0o600)
    if not locked_within(lock, float(order["lock_seconds_max"]), _starter_alive(os.getppid())):
        _tell(json.dumps({"error": "a former host has gone from its socket, and does not end"}))
        sys.exit(1)
    _leave_out_arrow()
    from rowkeeper.destinations.embedded.answering import Handler  # noqa: PLC0415 - it imports chDB

    try:
        engine = _open(places, order)
    except (RuntimeError, OSError) as error:
        _tell(json.dumps({"error": str(error)}))
        sys.exit(1)
    password = secrets.token_hex(16)
    places.secret.write_text(password)
    engine.password = password
    host = Host(places, engine, Handler, float(order["idle_seconds"]))
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    _tell("ready")
    _leave_terminal()
    host.serve_forever(poll_interval=WATCH_SECONDS)


def _starter_alive(starter: int) -> Callable[[], None]:
    """For whoever waits for a host that is leaving: it waits for nobody's sake once its starter is gone."""

    def look() -> None:
        if os.getppid() != starter:
            sys.exit(1)

    return look


def _leave_out_arrow() -> None:
    """Where chDB finds pyarrow it imports it, and numpy with it: 40 MB for answers of kinds that nobody asks for."""
    sys.modules["pyarrow"] = None  # type: ignore[assignment]  # Python's own way to say that there is none


def _open(places: EnginePlaces, order: dict[str, Any]) -> Engine:
    from rowkeeper.destinations.embedded.answering import Engine, Limits  # noqa: PLC0415

    keys = {configuration.key_variable(number): key for number, key in order["disk_keys"].items()}
    os.environ.update(keys)
    for torn in drop_torn_mutations(places):
        sys.stderr.write(f"removed {torn}: it held nothing, and would have kept the engine from starting\n")
    try:
        limits = Limits(int(order["memory_bytes_max"]), float(order["query_seconds_max"]), int(order["threads"]))
        total, primary = int(order["total_bytes_max"]), int(order["disk_key"])
        return Engine(configuration.write(places, total, order["disk_keys"], primary), limits)
    finally:
        for variable in keys:
            del os.environ[variable]


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _leave_terminal() -> None:
    """Lets go of the starter's pipes: it must not wait for them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


if __name__ == "__main__":
    main()
