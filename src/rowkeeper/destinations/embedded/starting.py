"""Starting the host: by whoever needs it first, once, and with its own word on why it could not."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.errors import DiskFull, EngineDown, FrameworkError, StateError
from rowkeeper.protocols import Site
from rowkeeper.security.keyfile import derive

LOG_BYTES_MAX = 1 << 20


def ensure_host(site: Site) -> EnginePlaces:
    """Sees to it that a host is up, and says where.

    Raises DatabaseError, DiskFull or StateError with what the host said if it could not start.
    """
    places = EnginePlaces.under(site.home)
    if listening(places):
        return places
    try:
        places.folder.mkdir(mode=0o700, exist_ok=True)
        with _starting(places):
            if not listening(places):
                _start(places, site)
    except OSError as error:
        raise StateError(
            f"the embedded ClickHouse cannot be started in {places.folder}: {error.strerror}",
            hint="see to space and permissions of the state folder",
        ) from error
    return places


def listening(places: EnginePlaces) -> bool:
    """Whether a host answers; connecting is the only proof."""
    try:
        connect(places, 5.0).close()
    except OSError:
        return False
    return True


def connect(places: EnginePlaces, timeout_seconds: float | None) -> socket.socket:
    """A connection to the host. The address goes through a descriptor, as socket paths must be short."""
    folder = os.open(places.folder, os.O_RDONLY | os.O_DIRECTORY)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout_seconds)
        client.connect(f"/proc/self/fd/{folder}/{places.socket.name}")
    except OSError:
        client.close()
        raise
    finally:
        os.close(folder)
    return client


@contextmanager
def _starting(places: EnginePlaces) -> Iterator[None]:
    """One starter at a time; the others find the host up when it is their turn."""
    lock = os.open(places.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start(places: EnginePlaces, site: Site) -> None:
    order = {
        "disk_key": derive(site.key, "engine disk").hex(),
        "idle_seconds": site.engine_idle_seconds,
        "memory_bytes_max": site.engine_memory_bytes_max,
        "total_bytes_max": site.engine_total_bytes_max,
        "threads": site.engine_threads,
        "nice": site.engine_nice,
        "query_seconds_max": site.query_seconds_max,
    }
    with _log(places.log) as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "rowkeeper.destinations.embedded.host", str(places.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal is for the command, not for the engine
            cwd="/",
        )
    assert host.stdin is not None
    assert host.stdout is not None
    with host.stdin, host.stdout:
        try:
            host.stdin.write(json.dumps(order).encode() + b"\n")
            host.stdin.flush()
        except BrokenPipeError:
            pass  # it ended before it read: its answer, or the lack of one, says why
        answer = host.stdout.readline().decode().strip()
    if answer != "ready":
        raise _refusal(answer, places)


@contextmanager
def _log(path: Path) -> Iterator[int]:
    """The host's standard error: appended to, and begun anew when it has grown."""
    size = path.stat().st_size if path.exists() else 0
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if size > LOG_BYTES_MAX else os.O_APPEND)
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(answer: str, places: EnginePlaces) -> FrameworkError:
    said = json.loads(answer)["error"] if answer else ""
    if "No space left" in said or "NOT_ENOUGH_SPACE" in said:
        return DiskFull("no room left on the disk for the embedded ClickHouse", hint="free some space and run again")
    what = said.splitlines()[0][:300] if said else "it ended without a word"
    return EngineDown(
        f"the embedded ClickHouse did not start: {what}", hint=f"{places.log} may say more; rowkeeper doctor helps"
    )


def peer_pid(places: EnginePlaces) -> int:
    """The process id of the host that is listening."""
    with connect(places, 5.0) as client:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)
