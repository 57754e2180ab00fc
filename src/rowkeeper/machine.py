"""What this machine grants the process: memory and processors, within its control group (v1 or v2) and affinity.

Read from `/proc` and `/sys` at the moment of asking; nothing is kept. A limit of a group above counts as well: the
smallest one is what the kernel enforces. Imports next to nothing: it is asked before anything else is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import math
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

UNLIMITED_BYTES = 1 << 60  # what cgroup v1 writes for "no limit" is near 2^63
ROOT = Path("/")


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A control group that limits memory.

    Attributes:
        limit_bytes: at which the kernel ends processes.
        used_bytes: without pages of files that it can drop at any moment.
    """

    limit_bytes: int
    used_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class MachineMemory:
    """The memory of the whole machine, whoever uses it.

    Attributes:
        available_bytes: what could be had without swapping.
        stalled_percent: of the last ten seconds, how long all processes waited for memory at once; 0 where the kernel
            does not say.
    """

    total_bytes: int
    available_bytes: int
    stalled_percent: float


def machine_memory(root: Path = ROOT) -> MachineMemory:
    """As the kernel tells it: in a container, of the machine around it."""
    found = dict(line.split(":", 1) for line in _text(root / "proc/meminfo").splitlines() if ":" in line)
    total, available = (int(found.get(name, "0 kB").split()[0]) << 10 for name in ("MemTotal", "MemAvailable"))
    lines = _text(root / "proc/pressure/memory").splitlines()
    full = next((line for line in lines if line.startswith("full ")), "full avg10=0")
    stalled = next((word.partition("=")[2] for word in full.split() if word.startswith("avg10=")), "0")
    return MachineMemory(total, available if "MemAvailable" in found else total, float(stalled))


def memory_bytes(root: Path = ROOT) -> int:
    """What a run may take where nobody says otherwise: the control group's limit, or half the machine."""
    group = memory_group(root)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return half if group is None else min(half, group.limit_bytes)


def memory_group(root: Path = ROOT) -> MemoryGroup | None:
    """The tightest control group around this process; None if none limits memory."""
    found = [group for folder in _folders(root, "memory") if (group := _memory_of(folder)) is not None]
    return min(found, key=lambda group: group.limit_bytes, default=None)


def processors(root: Path = ROOT) -> int:
    """How many threads can really run at a time: affinity, and the quota of the control group, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders(root, "cpu") if (quota := _quota_of(folder)) is not None]
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def bound_threads() -> None:
    """Tells Polars how many threads it may start: it looks once, at `POLARS_MAX_THREADS`, when it is imported.

    So this runs when `rowkeeper` is imported, before there are settings, and reads the one of `threads` by itself. A
    wrong value is left for the settings to complain about. Who has set the variable, or imported Polars before, has
    decided already.
    """
    chosen = os.environ.get("ROWKEEPER_THREADS") or _threads_of(Path("rowkeeper.toml"))
    threads = int(str(chosen)) if str(chosen).isdigit() and int(str(chosen)) else processors()
    os.environ.setdefault("POLARS_MAX_THREADS", str(threads))


def _threads_of(file: Path) -> object:
    try:
        return tomllib.loads(file.read_text()).get("threads")
    except (OSError, ValueError):
        return None


def be_nice(nice: int) -> None:
    """Lowers the priority of every thread of this process: Linux has one for each. It is never raised again."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpriority(os.PRIO_PROCESS, int(task.name)) < nice:
                os.setpriority(os.PRIO_PROCESS, int(task.name), nice)


def resident_bytes() -> int:
    """The memory of this process that is in RAM now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """The most memory that this process had in RAM, since its start or since that was forgotten."""
    _, _, found = _text(Path("/proc/self/status")).partition("VmHWM:")
    return int(found.split(maxsplit=1)[0]) << 10 if found else resident_bytes()


def forget_peak_memory() -> None:
    """From now on the peak is counted anew; where the kernel does not let us, it stays the process's."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def user_name() -> str:
    """The user of the operating system; nobody has signed in to anything else yet."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's groups, from its own up to the topmost; of v1, those of the controller.

    In a container the path in `/proc/self/cgroup` may be that of the host, while the group itself is mounted at the
    top: folders that are not there are passed over.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        own = Path(path.lstrip("/"))
        yield from (base / each for each in (own, *own.parents) if (base / each).is_dir())


def _memory_of(folder: Path) -> MemoryGroup | None:
    limit = _number(folder / "memory.max")
    used, reclaimable = _number(folder / "memory.current"), "inactive_file "
    if limit is None:
        limit = _number(folder / "memory.limit_in_bytes")
        used, reclaimable = _number(folder / "memory.usage_in_bytes"), "total_inactive_file "
    if limit is None or limit >= UNLIMITED_BYTES:
        return None
    lines = _text(folder / "memory.stat").splitlines()
    dropped = next((int(line.split()[1]) for line in lines if line.startswith(reclaimable)), 0)
    return MemoryGroup(limit, max(0, (used or 0) - dropped))


def _quota_of(folder: Path) -> float | None:
    """In processors."""
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
    if not quota.isdigit() or not period.isdigit():  # "max", "-1", or no such file
        return None
    return int(quota) / max(1, int(period))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    """The content; empty where there is no such file or it may not be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
