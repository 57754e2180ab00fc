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
from pathlib import Path

import psutil

from tests.soak.field import Field

PIDFD_GETFD = 438
GOES_ON = "goes on"
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


STAND_STILL_SECONDS_MAX = 12.0
LASTS_SECONDS = 2.0
LOOK_SECONDS = 0.25


@dataclasses.dataclass
class Ambush:
    """Lies in wait for the next operation of a kind, and strikes at a random instant of the time that those take.

    Attributes:
        counts: faults that met one.
        laid: those that wait for theirs.
    """

    field: Field
    source: random.Random
    counts: Counter[str]
    laid: list[str] = dataclasses.field(default_factory=list)
    _met: dict[psutil.Process, tuple[str, float]] = dataclasses.field(default_factory=dict)
    _lasts: dict[str, float] = dataclasses.field(default_factory=dict)
    _due: list[tuple[float, str, psutil.Process]] = dataclasses.field(default_factory=list)
    _next: float = 0.0

    def lay(self, kind: str) -> None:
        """For the next one that is begun."""
        if kind not in self.laid:
            self.laid.append(kind)
        self.field.awaited = {AMBUSHES[each][0] for each in self.laid}

    def look(self) -> None:
        """Meets those that were begun, and strikes those whose instant has come."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            self._meet(now)
        due = [each for each in self._due if each[0] <= now]
        self._due = [each for each in self._due if each[0] > now]
        for _, kind, process in due:
            number = AMBUSHES[kind][1] if kind in AMBUSHES else signal.SIGCONT
            if not _send(process, number):
                if kind != GOES_ON:
                    self.lay(kind)  # it was gone: the next one
                continue
            if number != signal.SIGCONT:
                self.counts[kind] += 1
            if number == signal.SIGSTOP:
                self._due.append((now + self.source.uniform(0.2, STAND_STILL_SECONDS_MAX), GOES_ON, process))

    def let_go(self) -> None:
        """Those that were met are not struck any more; those that stand still go on."""
        for _, kind, process in self._due:
            if kind == GOES_ON:
                _send(process, signal.SIGCONT)
            else:
                self.lay(kind)
        self._due = []

    def _meet(self, now: float) -> None:
        there = {process: operation for operation, process in self.field.operations()}
        for process in [each for each in self._met if each not in there]:
            operation, since = self._met.pop(process)
            self._lasts[operation] = max(
                LASTS_SECONDS / 2, (self._lasts.get(operation, LASTS_SECONDS) + now - since) / 2
            )
        for process, operation in there.items():
            if process in self._met:
                continue
            self._met[process] = (operation, now)
            waiting = next((kind for kind in self.laid if AMBUSHES[kind][0] == operation), None)
            if waiting is not None:
                self.laid.remove(waiting)
                self.field.awaited = {AMBUSHES[each][0] for each in self.laid}
                at = now + self.source.uniform(0.0, self._lasts.get(operation, LASTS_SECONDS))
                self._due.append((at, waiting, process))


@dataclasses.dataclass
class Striker:
    """Strikes at random, and ends in time what must not last.

    Attributes:
        counts: faults injected, by kind.
        missed: kinds that could not be injected here, and why.
        sparing: kinds that are left out for the time being.
        ambush: what lies in wait for operations.
    """

    field: Field
    source: random.Random
    sparing: frozenset[str] = frozenset()
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    missed: dict[str, str] = dataclasses.field(default_factory=dict)
    ambush: Ambush = dataclasses.field(init=False)
    _later: list[tuple[float, Callable[[], None]]] = dataclasses.field(default_factory=list)
    _left: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.ambush = Ambush(self.field, self.source, self.counts)

    def strike(self) -> None:
        """One fault: the kinds come in random order, each as often as the others."""
        if not self._left:
            self._left = [*KINDS, *AMBUSHES]
            self.source.shuffle(self._left)
        kind = self._left.pop()
        if kind in AMBUSHES:
            self.ambush.lay(kind)
        elif kind not in self.sparing and KINDS[kind](self):
            self.counts[kind] += 1

    def end_what_is_due(self) -> None:
        """Stopped processes go on, the full disk has room again."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
        self.ambush.look()

    def end_everything(self) -> None:
        """All that lasts ends now, and who was met is let go; the next of its kind is struck in its place."""
        for _, action in self._later:
            action()
        self._later = []
        self.ambush.let_go()

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
        return self._fill(self.field.ballast, 5.0)

    def _fill_vault(self) -> bool:
        """No byte is left where backups lie."""
        return self._fill(self.field.vault_ballast, 10.0)

    def _fill(self, path: Path, seconds_max: float) -> bool:
        if not self.field.small_disk:
            self.missed["disk full"] = "needs root to mount a small disk"
            return False
        if path.exists():
            return False
        with path.open("wb") as ballast:
            room = os.fstatvfs(ballast.fileno())
            free = room.f_bavail * room.f_frsize - self.source.choice([0, 0, 65_536, 1 << 20])
            with suppress(OSError):
                os.posix_fallocate(ballast.fileno(), 0, max(free, 1))
        self._in(self.source.uniform(0.5, seconds_max), lambda: path.unlink(missing_ok=True))
        return True

    # ------------------------------------------------------------------ of operations

    def _kill_other_engine(self) -> bool:
        """The engine of a folder that is being restored."""
        engines = self.field.other_engines()
        return bool(engines) and _send(self.source.choice(engines), signal.SIGKILL)

    def _receiver(self, how: Callable[[], None]) -> bool:
        """Who hears of alerts is away for a while."""
        if self.field.ear.is_away:
            return False
        how()
        self._in(self.source.uniform(0.5, 12.0), self.field.ear.recover)
        return True

    def _receiver_down(self) -> bool:
        return self._receiver(self.field.ear.go_down)

    def _receiver_refuses(self) -> bool:
        return self._receiver(self.field.ear.refuse)

    def _receiver_hangs(self) -> bool:
        return self._receiver(self.field.ear.hang)


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
    "disk of backups full": Striker._fill_vault,
    "engine of a restore killed": Striker._kill_other_engine,
    "receiver down": Striker._receiver_down,
    "receiver refused": Striker._receiver_refuses,
    "receiver hung": Striker._receiver_hangs,
}
AMBUSHES = {
    "backup killed": ("backup create", signal.SIGKILL),
    "backup told to stop": ("backup create", signal.SIGTERM),
    "backup stood still": ("backup create", signal.SIGSTOP),
    "prune killed": ("backup prune", signal.SIGKILL),
    "prune stood still": ("backup prune", signal.SIGSTOP),
    "drill killed": ("backup drill", signal.SIGKILL),
    "drill stood still": ("backup drill", signal.SIGSTOP),
    "restore killed": ("restore", signal.SIGKILL),
    "restore stood still": ("restore", signal.SIGSTOP),
    "maintenance killed": ("maintain", signal.SIGKILL),
    "look at alerts killed": ("alerts check", signal.SIGKILL),
    "look at alerts stood still": ("alerts check", signal.SIGSTOP),
}
"""The operation that the next fault of this kind is for, and the signal."""
OF_OPERATIONS = (*AMBUSHES, "disk of backups full", "receiver down", "receiver refused", "receiver hung")


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
