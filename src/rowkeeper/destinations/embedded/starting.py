"""Starting the host: by whoever needs it first, once, and with its own word on why it could not.

Nobody waits for it beyond the deadline; a host that is half started then, or that does not start within
`START_SECONDS_MAX`, is killed, as it may be at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rowkeeper.destinations.embedded.configuration import allocator
from rowkeeper.destinations.embedded.diskkeys import UNKNOWN, files_by_key
from rowkeeper.destinations.embedded.locking import locked_within
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.errors import DeadlineExceeded, DiskFull, EngineDown, FrameworkError, KeyInUse, KeyRevoked
from rowkeeper.protocols import DiskKeys, Site
from rowkeeper.resilience.deadline import seconds_left

LOG_BYTES_MAX = 1 << 20
LISTEN_SECONDS_MAX = 5.0
START_SECONDS_MAX = 300.0  # ClickHouse loads the metadata of all tables; a second is common
LEAVE_SECONDS_MAX = 60.0  # a host that is leaving, being idle, closes its tables


def ensure_host(site: Site) -> EnginePlaces:
    """Sees to it that a host is up, and says where.

    Raises EngineDown or DiskFull with what the host said if it could not start; DeadlineExceeded if there was no time
    for it.
    """
    places = EnginePlaces.under(site.home)
    if listening(places):
        return places
    try:
        places.folder.mkdir(mode=0o700, exist_ok=True)
        with alone(places):
            if not listening(places):
                _start(places, site)
    except OSError as error:
        raise EngineDown(
            f"the embedded ClickHouse cannot be started in {places.folder}: {error.strerror}",
            hint="see to space and permissions of the state folder",
        ) from error
    return places


@contextmanager
def engine_down(places: EnginePlaces) -> Iterator[None]:
    """No engine is up in the block, and none starts. Raises KeyInUse if one is up."""
    places.folder.mkdir(mode=0o700, exist_ok=True)
    up = KeyInUse(
        "the embedded engine is up, and writes with the keys that it was started with",
        hint="it goes away when it has been idle for ROWKEEPER_ENGINE_IDLE_SECONDS; then try again",
    )
    with alone(places):
        if listening(places):
            raise up
        lock = os.open(places.host_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not locked_within(lock, LEAVE_SECONDS_MAX):  # one that is leaving closes its tables
                raise up
            yield
        finally:
            os.close(lock)


def end_host(places: EnginePlaces) -> None:
    """Ends the engine of a folder that nobody else works with, and waits until it is gone: by itself, or killed."""
    if not places.folder.exists():
        return
    pid = None
    with contextlib.suppress(OSError):
        pid = peer_pid(places)
    places.socket.unlink(missing_ok=True)  # without which it goes, as soon as it looks
    lock = os.open(places.host_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not locked_within(lock, LEAVE_SECONDS_MAX) and pid is not None:
            os.kill(pid, signal.SIGKILL)
            locked_within(lock, LEAVE_SECONDS_MAX)
    finally:
        os.close(lock)


def listening(places: EnginePlaces) -> bool:
    """Whether a host answers; connecting is the only proof."""
    try:
        connect(places, LISTEN_SECONDS_MAX).close()
    except OSError:
        return False
    return True


def connect(places: EnginePlaces, timeout_seconds: float | None) -> socket.socket:
    """A connection to the host. The address goes through a descriptor, as socket paths must be short."""
    folder = os.open(places.folder, os.O_RDONLY | os.O_DIRECTORY)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(seconds_left(timeout_seconds))
        client.connect(f"/proc/self/fd/{folder}/{places.socket.name}")
    except (OSError, DeadlineExceeded):
        client.close()
        raise
    finally:
        os.close(folder)
    client.settimeout(timeout_seconds)
    return client


@contextmanager
def alone(places: EnginePlaces) -> Iterator[None]:
    """One starter at a time; the others find the host up when it is their turn."""
    lock = os.open(places.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not locked_within(lock, START_SECONDS_MAX, seconds_left):
            raise _no_answer(places, "another process is starting it, and does not come to an end")
        yield
    finally:
        os.close(lock)


def _start(places: EnginePlaces, site: Site) -> None:
    disk = site.disk_keys()
    order = {
        "disk_keys": {number: key.hex() for number, key in disk.keys.items()},
        "disk_key": disk.primary,
        "idle_seconds": site.engine_idle_seconds,
        "memory_bytes_max": site.engine_memory_bytes_max,
        "total_bytes_max": site.engine_total_bytes_max,
        "threads": site.engine_threads,
        "nice": site.engine_nice,
        "query_seconds_max": site.query_seconds_max,
        "lock_seconds_max": LEAVE_SECONDS_MAX,
    }
    with _log(places.log) as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "rowkeeper.destinations.embedded.host", str(places.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal is for the command, not for the engine
            cwd="/",
            env={**os.environ, **allocator(site.engine_total_bytes_max)},
        )
    assert host.stdin is not None
    assert host.stdout is not None
    with host.stdin, host.stdout:
        try:
            answer = _asked(host.stdin, host.stdout, json.dumps(order).encode() + b"\n")
        except BaseException:
            _end(host)
            raise
    if answer is None:
        _end(host)
        raise _no_answer(places, f"it did not come up in {START_SECONDS_MAX:.0f} s")
    if answer != "ready":
        refusal = _refusal(answer, places)
        if not isinstance(refusal, DiskFull):
            _refuse_other_keys(places, disk)
        raise refusal


def _asked(order_to: IO[bytes], answer_from: IO[bytes], order: bytes) -> str | None:
    """Gives the host its order; returns its answer, one line, empty if it ended without a word. None is silence."""
    try:
        order_to.write(order)
        order_to.flush()
    except BrokenPipeError:
        pass  # it ended before it read: its answer, or the lack of one, says why
    if not select.select([answer_from], [], [], seconds_left(START_SECONDS_MAX))[0]:
        seconds_left()
        return None
    return answer_from.readline().decode().strip()  # written in one piece, so all of it is there


def _end(host: subprocess.Popen[bytes]) -> None:
    """Kills a host that nobody waits for any longer, while its number is surely its own."""
    host.kill()
    host.wait()


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


def _no_answer(places: EnginePlaces, why: str) -> EngineDown:
    return EngineDown(
        f"the embedded ClickHouse did not start: {why}", hint=f"{places.log} may say more; rowkeeper doctor helps"
    )


def _refuse_other_keys(places: EnginePlaces, disk: DiskKeys) -> None:
    """ClickHouse gives up at the first file that it has no key for, and tells only its log."""
    if files := files_by_key(places, disk.keys)[UNKNOWN]:
        raise KeyRevoked(
            f"the embedded ClickHouse does not start: {files:,} files in {places.disk} are damaged, or were written "
            "with a key that was revoked",
            hint="restore the state folder from a backup, keys.json included; or remove engine/ and load again",
        )


def _refusal(answer: str, places: EnginePlaces) -> FrameworkError:
    said = json.loads(answer)["error"] if answer else ""
    if "No space left" in said or "NOT_ENOUGH_SPACE" in said:
        return DiskFull("no room left on the disk for the embedded ClickHouse", hint="free some space and run again")
    what = said.splitlines()[0][:300] if said else "it ended without a word"
    return _no_answer(places, what)


def peer_pid(places: EnginePlaces) -> int:
    """The process id of the host that is listening."""
    with connect(places, LISTEN_SECONDS_MAX) as client:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)
