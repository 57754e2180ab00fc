"""The machine: room on the disk and how it shrinks, memory, and the clock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rowkeeper import machine
from rowkeeper.ledger.leases import host_name
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.surroundings import FREE_INODES_MIN, free_inodes, synchronised
from rowkeeper.runs.room import kept_free
from rowkeeper.runs.sizing import GROUP_TIGHT_SHARE, STALLED_PERCENT_MAX, kept_for_others

FREE_TIGHT = 2  # times what stays free: runs go on, but not for long
NOTED_EVERY = timedelta(minutes=10)
TREND_OVER = timedelta(days=7)
FIGURES = TREND_OVER // NOTED_EVERY
TREND_LEAST = timedelta(hours=1)
AHEAD_MAX = timedelta(seconds=5)
AHEAD_LIMIT = f"{AHEAD_MAX.total_seconds():.0f} s"
JUMP_SECONDS = 5.0  # between two looks, against the time since the machine was started
JUMP_FIGURES = 6  # the last hour's
SLEW = 5e-4  # of the time that passed: as quickly as the kernel lets a clock be corrected bit by bit


def look_at_disk(context: HealthContext) -> Iterator[Check]:
    """What is free on the state folder's disk, and when it will be full if it goes on as it did lately."""
    settings = context.settings
    home = settings.home.absolute()
    place = next(each for each in (home, *home.parents) if each.exists())
    disk = shutil.disk_usage(place)
    least = kept_free(disk.total, settings.disk_free_min)
    told = f"{disk.free / 1e9:,.1f} GB of {disk.total / 1e9:,.1f} GB are free"
    limit = f"{least / 1e9:,.2f} GB stay free (disk_free_min)"
    mend = "free some space, or move the state folder to a larger disk"
    inodes = free_inodes(place)
    state = State.GOOD
    if disk.free <= least:
        state, told = State.BAD, f"{told}: runs stop"
    elif inodes is not None and inodes < FREE_INODES_MIN:
        state, told = State.BAD, f"{told}, and {inodes:,} inodes"
    elif disk.free < FREE_TIGHT * least:
        state = State.WARNING
    elif (days := _days_left(context, disk.free - least)) is not None and days < settings.health_disk_days_min:
        state, told = State.WARNING, f"{told}; as it shrinks, runs stop in {days:,.1f} days"
        limit = f"{settings.health_disk_days_min:g} days (health_disk_days_min)"
    yield Check("disk", "", state, told, limit, "" if state is State.GOOD else mend)


def _days_left(context: HealthContext, left: float) -> float | None:
    """By what was free before; None if nobody can tell, or it does not shrink."""
    if context.opened is None:
        return None
    health, now, host = context.opened.ledger.health, context.now, host_name().partition(":")[0]
    noted = [each for each in health.figures("disk", host, FIGURES) if now - TREND_OVER <= each[0] < now]
    if not noted or now - noted[-1][0] >= NOTED_EVERY:
        health.note_figure("disk", host, now, left)
    return days_left([*noted, (now, left)])


def days_left(noted: Sequence[tuple[datetime, float]]) -> float | None:
    """In how many days nothing is left, by the first and the last figure; None if they lie too near, or it grows."""
    (first, before), (last, after) = noted[0], noted[-1]
    if last - first < TREND_LEAST or after >= before:
        return None
    return after / ((before - after) / ((last - first) / timedelta(days=1)))


def look_at_memory(context: HealthContext) -> Iterator[Check]:
    """What the machine and the control group have left, by what the worker holds runs back by."""
    del context
    whole, group = machine.machine_memory(), machine.memory_group()
    kept = kept_for_others(whole)
    told = f"{whole.available_bytes / 1e6:,.0f} MB of {whole.total_bytes / 1e6:,.0f} MB are available"
    mend = "end what takes it, or lower ROWKEEPER_MEMORY_MAX"
    if whole.available_bytes < kept:
        yield Check("memory", "", State.BAD, told, f"{kept / 1e6:,.0f} MB are left to others", mend)
    elif whole.stalled_percent > STALLED_PERCENT_MAX:
        told = f"everything waited for memory {whole.stalled_percent:.0f}% of the last 10 s"
        yield Check("memory", "", State.WARNING, told, f"{STALLED_PERCENT_MAX:.0f}%", mend)
    elif group is not None and group.limit_bytes * GROUP_TIGHT_SHARE < group.used_bytes:
        told = f"the control group has used {group.used_bytes / 1e6:,.0f} MB of {group.limit_bytes / 1e6:,.0f} MB"
        yield Check("memory", "", State.WARNING, told, f"{GROUP_TIGHT_SHARE:.0%} of its limit", mend)
    else:
        yield Check("memory", "", State.GOOD, told)


def look_at_clock(context: HealthContext) -> Iterator[Check]:
    """Leases, freshness and deadlines go by the clock: whether it went back, was set, or differs from the ledger's."""
    mend = "see that something keeps it right: timedatectl set-ntp true"
    for state, told, limit in _clock_faults(context):
        yield Check("clock", "", state, told, limit, mend)
        return
    known = synchronised()
    told = {True: "synchronised", False: "nothing synchronises it, as far as the kernel knows", None: "runs"}[known]
    yield Check("clock", "", State.GOOD, told)


def _clock_faults(context: HealthContext) -> Iterator[tuple[State, str, str]]:
    if context.opened is None:
        return
    ledger = context.opened.ledger
    last = ledger.last_entry_at()
    if last is not None and last - context.by_now > AHEAD_MAX:
        ahead = (last - context.by_now).total_seconds()
        told = f"the ledger's last entry is {ahead:,.0f} s in the future: the clock was set back, or was wrong then"
        yield State.BAD, told, AHEAD_LIMIT
    theirs = ledger.server_time()
    if theirs is not None and abs(theirs - context.by_now) > AHEAD_MAX:
        apart = abs((theirs - context.by_now).total_seconds())
        state = State.BAD if apart > context.settings.lease_seconds / 2 else State.WARNING  # leases hold no longer
        yield state, f"it differs from that of the ledger's server by {apart:,.0f} s", AHEAD_LIMIT
    jump = _jump(context)
    if jump:
        way = "ahead" if jump > 0 else "back"
        yield State.WARNING, f"it was set {way} by {abs(jump):,.0f} s within the last hour", f"{JUMP_SECONDS:.0f} s"


def _jump(context: HealthContext) -> float:
    """By how many seconds the clock was set in the last hour, as it moved against the time since the machine started.

    0 if by no more than what keeps it right may move it, bit by bit.
    """
    health, now = context.workspace.ledger.health, context.now
    offset = now.timestamp() - context.uptime_seconds
    noted = health.figures("clock", host_name(), JUMP_FIGURES)  # the name tells boots apart
    if not noted or abs(now - noted[-1][0]) >= NOTED_EVERY:
        health.note_figure("clock", host_name(), now, offset)
    moved = [(offset - former, abs(now - at).total_seconds()) for at, former in noted]
    jumps = [by for by, passed in moved if abs(by) > JUMP_SECONDS + SLEW * min(passed, abs(passed - abs(by)))]
    return max(jumps, key=abs, default=0.0)
