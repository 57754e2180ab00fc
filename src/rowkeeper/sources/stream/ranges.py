"""What was loaded of a partition of a stream, and what comes next.

Each run has read, of each partition, what lies after one mark up to another; both are in the ledger with the run. So
the ledger holds a chain of ranges, and the next range begins where the chain ends. A run that is rolled back leaves a
gap in it: those messages are new again, and are read again, as long as the broker has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import cmp_to_key
from typing import NamedTuple

from rowkeeper.batch import Partition
from rowkeeper.sources.stream.tapping import Mark, Place

Follows = Callable[[Place, Place], bool]


class Range(NamedTuple):
    """What one run read of a partition: all after `after`, up to `to`.

    Attributes:
        origin: where the very first range of the partition began.
        made: of the stream, see `Extent.made`.
    """

    after: Mark
    to: Mark
    origin: Mark
    made: str


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """What is to be read next: all after `after`, up to `upto`, or to the end where that is None."""

    after: Mark
    upto: Place | None


def ranges_of(name: str, loaded: Iterable[Partition]) -> Mapping[str, list[Range]]:
    """By partition, what the destination holds of it, in the order of the ledger."""
    found: dict[str, list[Range]] = {}
    for each in loaded:
        detail = each.detail
        if detail.get("source") != name:
            continue
        after, origin = Mark(*detail["after"]), Mark(*detail["origin"])
        to = Mark(*each.position["at"]) if each.position is not None else after
        found.setdefault(detail["partition"], []).append(Range(after, to, origin, detail["made"]))
    return found


def next_gap(ranges: Iterable[Range], follows: Follows) -> Gap | None:
    """The first thing that is missing; None if nothing was ever read."""

    def compared(one: Range, other: Range) -> int:
        return 1 if follows(one.after.at, other.after.at) else -1 if follows(other.after.at, one.after.at) else 0

    ordered = sorted(ranges, key=cmp_to_key(compared))
    if not ordered:
        return None
    reached = ordered[0].origin
    for each in ordered:
        if follows(each.after.at, reached.at):
            return Gap(reached, each.after.at)
        if follows(each.to.at, reached.at):
            reached = each.to
    return Gap(reached, None)


def shares(behind: Mapping[str, int], most: int) -> Mapping[str, int]:
    """How many messages of each partition a run takes, of `most` in all: the same of each, as far as it has them."""
    found: dict[str, int] = {}
    left, waiting = most, sorted((each for each in behind.items() if each[1] > 0), key=lambda each: each[1])
    for number, (partition, count) in enumerate(waiting):
        found[partition] = min(count, max(1, left // (len(waiting) - number)))
        left -= found[partition]
    return {partition: found[partition] for partition in behind if partition in found}
