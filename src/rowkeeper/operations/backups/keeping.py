"""Which backups are kept: grandfather, father, son; and never one that something kept cannot be restored without.

A function of what is known of the backups, and of nothing else: no clock is asked. Where no new backups are made, none
of the old ones goes.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Self

from rowkeeper.errors import SettingsError

HINT = 'such as "7 daily, 4 weekly, 12 monthly, 3 yearly", with "5 last" for the newest whatever their age'

PERIODS: Mapping[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}
"""Of a moment in UTC, the period that it is in."""

LAST = "last"


class Condition(enum.StrEnum):
    """What is known of a backup by its manifest."""

    GOOD = "good"  # the manifest is as it was written
    DAMAGED = "damaged"
    FOREIGN = "foreign"  # another installation made it


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A backup, as far as it matters here.

    Attributes:
        at: when the installation was as the backup has it, aware; of a damaged one, by its name.
        needs: all backups that it cannot be restored without; unknown, and empty, of a damaged one.
    """

    id: str
    at: datetime
    needs: tuple[str, ...] = ()
    condition: Condition = Condition.GOOD


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How many backups are kept.

    Attributes:
        counts: by `hourly`, `daily`, ..., of how many such periods the newest backup is kept; `last`: how many of the
            newest. Periods without a backup do not count.
    """

    counts: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `7 daily, 4 weekly`. Raises SettingsError."""
        counts: dict[str, int] = {}
        for each in filter(None, (part.strip() for part in text.lower().split(","))):
            found = re.fullmatch(r"(\d{1,4})\s+([a-z]+)", each)
            if found is None or found[2] not in (*PERIODS, LAST) or found[2] in counts:
                raise SettingsError(f"backup_keep: {each!r} does not say how many of what", hint=HINT)
            counts[found[2]] = int(found[1])
        if not any(counts.values()):
            raise SettingsError("backup_keep: nothing would be kept", hint=HINT)
        return cls(counts)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the backups.

    Attributes:
        kept: by id, in the order of their times, why.
        removed: in the order in which they are removed: whatever needs another one goes before it.
    """

    kept: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]


def decide(backups: Iterable[Known], policy: Policy, *, damaged: bool = False) -> Decision:
    """Which backups are kept, and which go.

    1. Good is one whose own manifest is, and those of all that it needs. Only good ones are counted.
    2. Kept is, by each rule for itself, the newest good one of each of the newest periods that have any; and the newest
       of all, whatever the rules.
    3. Kept as well is what is not good: whoever knows why decides about it. But for another installation's.
    4. Kept as well is all that one of those needs.

    Args:
        damaged: what is not good goes too, but for other installations'.
    """
    known = {each.id: each for each in sorted(backups, key=_place)}
    good = [each for each in known.values() if _is_good(each, known)]
    reasons: dict[str, list[str]] = {id: [] for id in known}
    for id, why in _by_rules(good, policy):
        reasons[id].append(why)
    for each in known.values():
        if each.condition is Condition.FOREIGN:
            reasons[each.id].append("of another installation")
        elif each not in good and not damaged:
            reasons[each.id].append("damaged" if each.condition is Condition.DAMAGED else "something it needs is gone")
    for each in reversed(known.values()):  # whatever is needed is older
        for needed in _older(each, known) if reasons[each.id] else ():
            reasons[needed].append(f"needed by {each.id}")
    gone = {id: _older(known[id], known) for id, why in reasons.items() if not why}
    order = [id for id in TopologicalSorter(gone).static_order() if id in gone]
    return Decision({id: tuple(why) for id, why in reasons.items() if why}, tuple(reversed(order)))


def _older(backup: Known, known: Mapping[str, Known]) -> list[str]:
    """What a backup needs, of what is there. Nothing can need what was made after it."""
    return [each for each in backup.needs if each in known and _place(known[each]) < _place(backup)]


def _is_good(backup: Known, known: Mapping[str, Known]) -> bool:
    chain = [known[each] for each in (*_older(backup, known), backup.id)]
    return len(chain) == len(backup.needs) + 1 and all(each.condition is Condition.GOOD for each in chain)


def _place(backup: Known) -> tuple[datetime, str]:
    return backup.at, backup.id


def _by_rules(good: Sequence[Known], policy: Policy) -> Iterable[tuple[str, str]]:
    """Ids of backups with a rule by which each is kept."""
    newest = list(reversed(good))
    yield from ((each.id, "the newest") for each in newest[:1])
    yield from ((each.id, LAST) for each in newest[: policy.counts.get(LAST, 0)])
    for name, period in PERIODS.items():
        firsts: dict[tuple[int, ...], str] = {}
        for each in newest:
            firsts.setdefault(period(each.at.astimezone(UTC)), each.id)
        for id in list(firsts.values())[: policy.counts.get(name, 0)]:
            yield id, name
