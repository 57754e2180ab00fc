"""What `rowkeeper doctor` looks at outside the state folder: versions, user, memory, disk, clock."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rowkeeper import machine
from rowkeeper.endpoints import Network
from rowkeeper.operations.finding import Finding
from rowkeeper.operations.scanning import examine_secrets
from rowkeeper.runs.sizing import COMMAND_AT_REST_BYTES, ENGINE_AT_REST_BYTES, sizes_of
from rowkeeper.security.egress.settled import allowed_endpoints
from rowkeeper.settings import Settings

FREE_BYTES_MIN = 1_000_000_000
FREE_INODES_MIN = 10_000  # a run writes some hundreds of small files: every part of a table has a dozen
TOLD = ("chdb-core", "polars", "pyarrow", "pydantic")
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)\s*$")
WIDE_BITS_V4, WIDE_BITS_V6 = 8, 32
CLOCK_UNSYNCHRONISED = 0x0040  # STA_UNSYNC, adjtimex(2)


def examine_surroundings(settings: Settings) -> Iterator[Finding]:
    """Checks that need no state folder."""
    yield _versions()
    yield _user()
    yield _memory(settings)
    yield _disk(settings.home)
    yield _clock()
    yield examine_secrets()
    yield _egress(settings)


def _versions() -> Finding:
    """Whether what is installed is what this version asks for: `pip install --no-deps` and the like leave gaps."""
    python = ".".join(map(str, sys.version_info[:3]))
    faults = []
    for requirement in requires("rowkeeper") or ():
        asked = REQUIREMENT.match(requirement)
        if asked is None:  # of an extra, or of another Python
            continue
        try:
            installed = version(asked[1])
        except PackageNotFoundError:
            faults.append(f"{asked[1]} is missing")
            continue
        if _numbers(installed) < _numbers(asked[2]):
            faults.append(f"{asked[1]} is {installed}, needed is {asked[2]}")
    if faults:
        return Finding("version", False, "; ".join(faults), "pip install --upgrade rowkeeper")
    told = ", ".join(f"{name} {version(name)}" for name in TOLD)
    return Finding("version", True, f"rowkeeper {version('rowkeeper')}, Python {python}, {told}")


def _egress(settings: Settings) -> Finding:
    """Whether connections are kept to what is declared, and what the settings let through for all pipelines."""
    if settings.egress != "enforce":
        mend = "ROWKEEPER_EGRESS=enforce, and declare what is refused then: docs/security-egress.md"
        return Finding("egress", True, f"connections to undeclared places are not refused ({settings.egress})", mend)
    wide = [str(each) for each in allowed_endpoints(settings) if each.network is not None and _is_wide(each.network)]
    if wide:
        found = f"the settings let whole networks through: {', '.join(wide)}"
        return Finding("egress", True, found, "name the hosts that are meant in ROWKEEPER_EGRESS_ALLOW")
    return Finding("egress", True, "connections go to declared places only")


def _is_wide(network: Network) -> bool:
    """Whether a network is more than a site: everything, or near to it."""
    return network.prefixlen < (WIDE_BITS_V4 if network.version == 4 else WIDE_BITS_V6)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", text)[:3])


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding(
            "user",
            True,
            "running as root",
            "run as a user of its own: what root makes, nobody else can read, and a fault reaches further",
        )
    return Finding("user", True, f"user {os.geteuid()}")


def _memory(settings: Settings) -> Finding:
    sizes, group = sizes_of(settings), machine.memory_group()
    found = (
        f"{sizes.memory_bytes / 1e6:,.0f} MB for runs and engine, room for {sizes.runs_max:,} at a time; "
        f"batches of {sizes.batch_rows:,} rows or {sizes.batch_bytes / 1e6:,.0f} MB; {machine.processors()} processors"
    )
    if group is not None and sizes.memory_bytes > group.limit_bytes:
        return Finding(
            "memory",
            False,
            f"{found}; but the control group allows {group.limit_bytes / 1e6:,.0f} MB",
            "lower ROWKEEPER_MEMORY_MAX, or leave it out: then the group's limit is taken",
        )
    if sizes.memory_bytes < COMMAND_AT_REST_BYTES + ENGINE_AT_REST_BYTES:
        return Finding(
            "memory",
            False,
            f"{found}; the two processes need {(COMMAND_AT_REST_BYTES + ENGINE_AT_REST_BYTES) / 1e6:,.0f} MB at rest",
            "give them more: a limit of 700 MB and above is kept",
        )
    return Finding("memory", True, found)


def _disk(home: Path) -> Finding:
    """Bytes and inodes on the volume that holds, or would hold, the state folder."""
    place = next(each for each in (home.absolute(), *home.absolute().parents) if each.exists())
    volume, inodes = os.statvfs(place), free_inodes(place)
    free = volume.f_bavail * volume.f_frsize
    found = f"{free / 1e9:,.1f} GB free on the volume of the state folder"
    if inodes is not None:
        found += f", {inodes:,} inodes"
        if inodes < FREE_INODES_MIN:
            return Finding("disk", False, found, "remove small files from that volume, or move the state folder")
    return Finding(
        "disk",
        free >= FREE_BYTES_MIN,
        found,
        "" if free >= FREE_BYTES_MIN else "free some space, or move the state folder",
    )


def free_inodes(place: Path) -> int | None:
    """How many files can still be made on a volume; None of a file system that does not count them."""
    volume = os.statvfs(place)
    return volume.f_favail if volume.f_files else None


class _Timex(ctypes.Structure):
    """`struct timex` as far as it is read, adjtimex(2), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def synchronised() -> bool | None:
    """Whether anything keeps the clock right, as the kernel knows it; None where it does not say."""
    state = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
        return None
    return not state.status & CLOCK_UNSYNCHRONISED


def _clock() -> Finding:
    """Leases and freshness go by the clock."""
    known = synchronised()
    if known is None:
        return Finding("clock", True, "whether it is synchronised is not known here")
    if not known:
        return Finding(
            "clock",
            True,
            "the kernel says that nothing synchronises it",
            "timedatectl set-ntp true; in a container or virtual machine, see to the host's clock",
        )
    return Finding("clock", True, "synchronised")
