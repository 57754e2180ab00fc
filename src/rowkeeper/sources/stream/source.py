"""The stream source: what it declares, what comes next, and what the broker is told afterwards."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.brokers import Broker, Kind
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import MessagesLost, SourceError, StreamRemade, StreamUnfit
from rowkeeper.logs import logger
from rowkeeper.protocols import Columns, Guarantee, Lag, Plan, Site
from rowkeeper.sources.stream.decoding import Decoder, Json, digest_of
from rowkeeper.sources.stream.kafka import KafkaTap
from rowkeeper.sources.stream.nats import NatsTap
from rowkeeper.sources.stream.ranges import Gap, Range, next_gap, ranges_of, shares
from rowkeeper.sources.stream.reading import Reading
from rowkeeper.sources.stream.tapping import Extent, Mark, Tap
from rowkeeper.sources.stream.valkey import ValkeyTap

LOOK_SECONDS, LOOK_SECONDS_MAX = 0.1, 1.0  # between looks for messages, where none come
log = logger("run")


@dataclasses.dataclass(frozen=True)
class StreamSource:
    """Messages of a stream. Guarantee: exactly once. Made by `stream()`, which says what each attribute means.

    Each run reads of each partition a range of positions, which the ledger keeps with the run: the next one begins
    where the ranges of all published runs end. The broker is told afterwards, and is never asked what was read.
    """

    name: str
    broker: Broker
    decoder: Decoder = dataclasses.field(default_factory=Json)
    told: Mapping[str, str] = dataclasses.field(default_factory=dict)
    field: str | None = "data"
    start: Literal["earliest", "latest"] = "earliest"
    lost: Literal["fail", "skip"] = "fail"
    max_rows: int = 100_000
    max_wait_seconds: float = 5.0
    lag_max: int | None = None
    group: str | None = None
    tap: Tap | None = dataclasses.field(default=None, compare=False, repr=False)
    guarantee = Guarantee.EXACTLY_ONCE
    mode = InputMode.JSON

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out. Secrets are references here, too."""
        return {
            "kind": "stream",
            "name": self.name,
            **self.broker.describe(),
            "decoder": self.decoder.name,
            "code": digest_of(self.decoder),
            "told": dict(self.told),
            "field": self.field if self.broker.kind is Kind.VALKEY else None,
            "start": self.start,
            "lost": self.lost,
        }

    def endpoints(self) -> Sequence[Endpoint]:
        """The servers that are named."""
        return self.broker.endpoints()

    def at(self, site: Site) -> Self:
        """The same at work."""
        return dataclasses.replace(self, tap=_tap_of(self, site))

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Of each partition what comes next, `max_rows` in all; or what a run that was rolled back had brought.

        Raises MessagesLost, StreamRemade, StreamUnfit; those of `rowkeeper.brokers`.
        """
        if whole:
            raise StreamUnfit(
                f'{self.broker.place} has no whole that could take the place of a table (write="replace")',
                hint='add what comes (write="append"), or replace rows by key (write="merge")',
            )
        known = ranges_of(self.name, loaded.values())
        try:
            extents, gaps = self._found(known)
            to_load = [
                self._partition(name, extents[name], gaps.get(name), known, rows)
                for name, rows in shares(self._waiting(extents, gaps), self.max_rows).items()
            ]
        except BaseException:
            self.close()
            raise
        unchanged = tuple(loaded.values()) if not to_load else ()
        return Plan(load=tuple(to_load), unchanged=unchanged)

    def _found(self, known: Mapping[str, list[Range]]) -> tuple[Mapping[str, Extent], Mapping[str, Gap]]:
        """What each partition has, and what is missing of each that was read before.

        Raises StreamRemade for one that is another now.
        """
        tap = self._at_work
        gaps = {name: gap for name, each in known.items() if (gap := next_gap(each, tap.follows)) is not None}
        extents = tap.extents({name: gap.after for name, gap in gaps.items()})
        for name, extent in extents.items():
            made = {each.made for each in known.get(name, ()) if each.made}
            gone = name in gaps and (extent.remade or (extent.made and made and made != {extent.made}))
            if gone:
                raise self._remade(name)
        if missing := sorted(set(gaps) - set(extents)):
            raise self._remade(missing[0])
        return extents, gaps

    def _remade(self, partition: str) -> StreamRemade:
        return StreamRemade(
            f"{self.broker.place}: partition {partition} is not the one that was read: the {self.broker.called} was "
            "made anew, or went back",
            hint='to read the new one from its beginning, give the source another name: name="..."',
        )

    def _waiting(self, extents: Mapping[str, Extent], gaps: Mapping[str, Gap]) -> Mapping[str, int]:
        """Of each partition how many messages are to be read; a mark that is only to be moved on counts as one."""
        found = {}
        for name, extent in extents.items():
            is_gap = name in gaps and gaps[name].upto is not None
            found[name] = self.max_rows if is_gap else extent.behind or int(extent.stale)
            if name not in gaps and self.start == "latest":
                found[name] = 1  # where it begins has to be noted, or it would begin later each time
        return found

    def _partition(
        self, name: str, extent: Extent, gap: Gap | None, known: Mapping[str, list[Range]], rows: int
    ) -> Partition:
        begin = gap.after if gap is not None else extent.before
        if gap is None and self.start == "latest":
            begin = Mark(extent.end, extent.before.number + extent.behind)
        after, upto = begin, extent.end if gap is None or gap.upto is None else gap.upto
        if gap is not None and extent.lost != 0:
            self._see_to_loss(name, extent, gap)
            begin = extent.before
        origin = known[name][0].origin if gap is not None else after
        return Partition(
            key=f"{self.name} {name} after {after.at}",
            identity=f"after {after.at} {extent.made}".strip(),
            detail={
                "source": self.name,
                "partition": name,
                "after": [after.at, after.number],
                "begin": [begin.at, begin.number],
                "origin": [origin.at, origin.number],
                "upto": upto,
                "rows": rows,
                "made": extent.made,
            },
        )

    def _see_to_loss(self, name: str, extent: Extent, gap: Gap) -> None:
        count = "an unknown number of" if extent.lost is None else f"{extent.lost:,}"
        what = f"{self.broker.place}: {count} messages of partition {name} after {gap.after.at} were removed unread"
        if self.lost == "fail":
            raise MessagesLost(
                what, hint='if that is accepted: lost="skip" goes on at the first that is there, and notes it'
            )
        log.warning("messages are lost: the broker removed them before they were read", operation=what)

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads from a row on. Columns are the contract's business: a record is a document."""
        del columns
        rows = int(partition.detail["rows"])
        reading = Reading(self._at_work, self.decoder, self.told, partition, rows, batch_rows, batch_bytes)
        yield from reading.batches(start_row)

    def acknowledge(self, loaded: Mapping[str, Partition]) -> None:
        """Tells the broker, for the group that was declared, how far each partition was loaded."""
        if self.group is None:
            return
        tap = self._at_work
        marks = {}
        for name, ranges in ranges_of(self.name, loaded.values()).items():
            gap = next_gap(ranges, tap.follows)
            if gap is not None:
                marks[name] = gap.after
        if marks:
            tap.acknowledge(self.group, marks)

    def lag(self, loaded: Mapping[str, Partition]) -> Mapping[str, Lag]:
        """By partition, how many messages wait to be read."""
        tap = self._at_work
        ranges = ranges_of(self.name, loaded.values())
        gaps = {name: gap for name, each in ranges.items() if (gap := next_gap(each, tap.follows)) is not None}
        extents = tap.extents({name: gap.after for name, gap in gaps.items()})
        return {name: Lag(each.behind, self.lag_max) for name, each in extents.items()}

    def wait(self, loaded: Mapping[str, Partition], seconds_max: float, pause: Callable[[float], bool]) -> bool:
        """Waits until `max_rows` messages wait, or the first has waited for `max_wait`; False if none came.

        Args:
            seconds_max: how long to wait for a first one.
            pause: waits so many seconds; False if nothing is to be waited for any more.
        """
        known = ranges_of(self.name, loaded.values())
        ends_at = time.monotonic() + seconds_max
        full_at: float | None = None
        step = LOOK_SECONDS
        while True:
            extents, gaps = self._found(known)
            waiting = sum(self._waiting(extents, gaps).values())
            now = time.monotonic()
            if waiting and full_at is None:
                full_at, step = now + self.max_wait_seconds, LOOK_SECONDS
            if waiting >= self.max_rows or (full_at is not None and now >= full_at):
                return True
            if full_at is None and now >= ends_at:
                return False
            left = (full_at or ends_at) - now
            if not pause(max(0.0, min(step, left))):
                return False
            step = min(step * 1.5, LOOK_SECONDS_MAX)

    def close(self) -> None:
        """Closes its connections; it can be used again."""
        if self.tap is not None:
            self.tap.close()

    @property
    def _at_work(self) -> Tap:
        if self.tap is None:
            raise SourceError(f"{self.name} is read by a run only", hint="rowkeeper run FILE")
        return self.tap


def _tap_of(source: StreamSource, site: Site) -> Tap:
    if source.broker.kind is Kind.KAFKA:
        whole = bool(source.told) or not isinstance(source.decoder, Json)
        return KafkaTap(source.broker, site, source.group, whole=whole)
    if source.broker.kind is Kind.NATS:
        return NatsTap(source.broker, site, source.group)
    return ValkeyTap(source.broker, site, source.field)
