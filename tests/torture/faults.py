"""What a fault is, and the counter that decides which operation it strikes.

Every mutating operation on the filesystem gets the next number, whoever made it. A fault names a number and
a mode. Nothing here knows FUSE, so that it can be tested anywhere.
"""

from __future__ import annotations

import errno
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Mode(StrEnum):
    """How the operation fails."""

    COUNT = "count"  # it does not: a run to learn the number of operations
    KILL = "kill"  # every process that used the filesystem dies, the operation is not done
    KILL_ONE = "kill-one"  # only the process that asked dies: the engine without its client, or the reverse
    EIO = "eio"  # the disk fails
    ENOSPC = "enospc"  # the disk is full: only operations that take space fail
    TORN = "torn"  # half of a write is done, then all die


WRITES = frozenset({"write"})
SPACE = frozenset({"write", "create", "mkdir", "mknod", "link", "symlink", "rename", "fallocate"})
MUTATING = SPACE | {"fsync", "fsyncdir", "unlink", "rmdir", "truncate", "chmod", "chown", "utimens"}
READS = frozenset({"read", "open", "opendir", "readdir"})
_STRIKES = {Mode.ENOSPC: SPACE, Mode.TORN: WRITES, Mode.COUNT: frozenset[str]()}
TRACE_LENGTH_MAX = 200_000


@dataclass(frozen=True)
class Fault:
    """The `at`-th counted operation (from 1), or the first after it that the mode can strike, fails.

    `sticky`: so do all that come after it. `reads`: reads are counted, and struck, too.
    """

    mode: Mode
    at: int = 0
    sticky: bool = False
    reads: bool = False

    def __str__(self) -> str:
        return f"{self.mode}{'+sticky' if self.sticky else ''}@{self.at}"

    def as_json(self) -> dict[str, Any]:
        """For the control socket."""
        return asdict(self)


@dataclass(frozen=True)
class Tally:
    """What the filesystem counted since it was armed. `struck`: 'number operation path', None when nothing was."""

    operations: int
    struck: str | None
    refused: int
    trace: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """From the control socket."""
        return cls(values["operations"], values["struck"], values["refused"], tuple(values["trace"]))


class Verdict(StrEnum):
    """What the filesystem must do with one operation."""

    PASS = "pass"
    REFUSE = "refuse"  # with the meter's errno
    KILL = "kill"  # kill all that are known, then refuse
    KILL_ONE = "kill-one"  # kill the one that asked, then refuse
    TEAR = "tear"  # do half, kill all that are known, then refuse


@dataclass
class Meter:
    """Counts operations and says what becomes of each."""

    fault: Fault
    operations: int = 0
    refused: int = 0
    struck: str | None = None
    trace: list[str] = field(default_factory=list)
    victim: int | None = None

    @property
    def errno(self) -> int:
        """The error number of a refusal."""
        return errno.ENOSPC if self.fault.mode is Mode.ENOSPC else errno.EIO

    def judge(self, operation: str, path: str, process: int) -> Verdict:
        """Counts one operation asked for by `process` (0: the kernel writing back a mapped page).

        Pages that the kernel writes back are let through uncounted: they come at no fixed moment, and after a
        kill they belong to the page cache, which outlives the process.
        """
        if process == 0 or (operation in READS and not self.fault.reads):
            return Verdict.PASS
        if self._is_dead(process):
            return Verdict.REFUSE
        self.operations += 1
        if len(self.trace) < TRACE_LENGTH_MAX:
            self.trace.append(f"{operation} {path}")
        if operation not in _STRIKES.get(self.fault.mode, MUTATING | READS):
            return Verdict.PASS
        if self.struck is not None:
            self.refused += self.fault.sticky
            return Verdict.REFUSE if self.fault.sticky else Verdict.PASS
        if self.operations < self.fault.at:
            return Verdict.PASS
        return self._strike(operation, path, process)

    def _is_dead(self, process: int) -> bool:
        """True for a process that was killed and has not noticed yet."""
        if self.struck is None:
            return False
        if self.fault.mode is Mode.KILL_ONE:
            return process == self.victim
        return self.fault.mode in (Mode.KILL, Mode.TORN)

    def _strike(self, operation: str, path: str, process: int) -> Verdict:
        self.struck = f"{self.operations} {operation} {path}"
        self.refused += 1
        match self.fault.mode:
            case Mode.KILL:
                return Verdict.KILL
            case Mode.KILL_ONE:
                self.victim = process
                return Verdict.KILL_ONE
            case Mode.TORN:
                return Verdict.TEAR
            case _:
                return Verdict.REFUSE

    def as_json(self) -> dict[str, Any]:
        """For the control socket."""
        return {
            "operations": self.operations,
            "struck": self.struck,
            "refused": self.refused,
            "trace": self.trace,
        }
