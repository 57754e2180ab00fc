"""What goes wrong, by kind. Each strike says whether there was anything to strike."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.soak.field import Field

PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclasses.dataclass
class Striker:
    """Strikes at random, and ends in time what must not last.

    Attributes:
        counts: faults injected, by kind.
        missed: kinds that could not be injected here, and why.
        sparing: kinds that are left out for the time being.
    """

    field: Field
    source: random.Random
    sparing: frozenset[str] = frozenset()
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    missed: dict[str, str] = dataclasses.field(default_factory=dict)
    _later: list[tuple[float, Callable[[], None]]] = dataclasses.field(default_factory=list)
    _left: list[str] = dataclasses.field(default_factory=list)

    def strike(self) -> None:
        """One fault: the kinds come in random order, each as often as the others."""
        if not self._left:
            self._left = list(KINDS)
            self.source.shuffle(self._left)
        kind = self._left.pop()
        if kind not in self.sparing and KINDS[kind](self):
            self.counts[kind] += 1

    def end_what_is_due(self) -> None:
        """Stopped processes go on, the full disk has room again."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()

    def _in(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    # ------------------------------------------------------------------ the kinds

    def _signal_run(self, number: int) -> bool:
        runs = self.field.runs()
        return bool(runs) and _send(self.source.choice(runs), number)

    def _kill_run(self) -> bool:
        return self._signal_run(signal.SIGKILL)

    def _terminate_run(self) -> bool:
        return self._signal_run(signal.SIGTERM)

    def _interrupt_run(self) -> bool:
        return self._signal_run(signal.SIGINT)

    def _interrupt_twice(self) -> bool:
        """Somebody who does not wait."""
        runs = self.field.runs()
        if not runs:
            return False
        run = self.source.choice(runs)
        self._in(self.source.uniform(0.05, 0.5), lambda: _ignored(_send(run, signal.SIGINT)))
        return _send(run, signal.SIGINT)

    def _stop(self, process: psutil.Process | None, seconds_max: float) -> bool:
        """Stands still, often longer than a lease lasts; then goes on as a zombie that does not know it."""
        if process is None or not _send(process, signal.SIGSTOP):
            return False
        self._in(self.source.uniform(0.2, seconds_max), lambda: _ignored(_send(process, signal.SIGCONT)))
        return True

    def _stop_run(self) -> bool:
        runs = self.field.runs()
        return bool(runs) and self._stop(self.source.choice(runs), 12.0)

    def _stop_engine(self) -> bool:
        return self._stop(self.field.engine(), 5.0)

    def _stop_worker(self) -> bool:
        worker = self.source.choice([self.field.steady, self.field.doomed])
        return worker is not None and self._stop(_process(worker.pid), 10.0)

    def _kill_worker(self) -> bool:
        worker = self.field.doomed
        return worker is not None and _send(_process(worker.pid), signal.SIGKILL)

    def _terminate_worker(self) -> bool:
        worker = self.field.doomed
        return worker is not None and _send(_process(worker.pid), signal.SIGTERM)

    def _reload_worker(self) -> bool:
        return _send(_process(self.field.steady.pid), signal.SIGHUP)

    def _kill_engine(self) -> bool:
        engine = self.field.engine()
        return engine is not None and _send(engine, signal.SIGKILL)

    def _cut_engine(self) -> bool:
        """Every connection to the engine is cut, at its own end; the engine goes on."""
        engine = self.field.engine()
        if engine is None:
            return False
        try:
            return cut_connections(engine.pid) > 0
        except PermissionError as error:
            self.missed["cut of the engine's socket"] = f"needs ptrace rights: {error.strerror}"
            return False
        except OSError:
            return False  # it has gone meanwhile

    def _fill_disk(self) -> bool:
        """No byte is left on the volume of the state folder for a while."""
        if not self.field.small_disk:
            self.missed["disk full"] = "needs root to mount a small disk"
            return False
        if self.field.ballast.exists():
            return False
        with self.field.ballast.open("wb") as ballast:
            room = os.fstatvfs(ballast.fileno())
            free = room.f_bavail * room.f_frsize - self.source.choice([0, 0, 65_536, 1 << 20])
            with suppress(OSError):
                os.posix_fallocate(ballast.fileno(), 0, max(free, 1))
        self._in(self.source.uniform(0.5, 5.0), lambda: self.field.ballast.unlink(missing_ok=True))
        return True


KINDS: dict[str, Callable[[Striker], bool]] = {
    "run killed": Striker._kill_run,
    "run told to stop": Striker._terminate_run,
    "run interrupted": Striker._interrupt_run,
    "run interrupted twice": Striker._interrupt_twice,
    "run stood still": Striker._stop_run,
    "engine killed": Striker._kill_engine,
    "engine stood still": Striker._stop_engine,
    "engine's socket cut": Striker._cut_engine,
    "disk full": Striker._fill_disk,
    "worker killed": Striker._kill_worker,
    "worker told to stop": Striker._terminate_worker,
    "worker stood still": Striker._stop_worker,
    "worker reloaded": Striker._reload_worker,
}


def cut_connections(pid: int) -> int:
    """Shuts down every connected Unix socket of a process, through a copy of its descriptor. How many those were.

    Raises OSError if the process is gone, PermissionError if it may not be traced.
    """
    cut = 0
    pidfd = os.pidfd_open(pid)
    try:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:"):
                    cut += _shut(pidfd, int(entry))
    finally:
        os.close(pidfd)
    return cut


def _shut(pidfd: int, number: int) -> bool:
    copy = _libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    if copy < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    with socket.socket(fileno=copy) as line, suppress(OSError):  # not connected: nothing to cut
        if line.family == socket.AF_UNIX and not line.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            line.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _process(pid: int) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid)
    return None


def _send(process: psutil.Process | None, number: int) -> bool:
    """To the process itself, never to a later one of its number."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if process is not None and process.status() != psutil.STATUS_ZOMBIE:
            process.send_signal(number)
            return True
    return False


def _ignored(_sent: bool) -> None:
    return None
