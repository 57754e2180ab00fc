"""A source with another one to fall back on, or with what was loaded last."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import PipelineError, SourceChanged
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.resilience.degrading import degraded
from rowkeeper.sources.file.source import UNREADABLE, FilesSource

LAST_GOOD = "last_good"
REPLICA = "replica"  # in a partition's detail: where it was found


@dataclasses.dataclass(frozen=True)
class FallbackSource:
    """Files, and where else they can be found. Guarantee: exactly once, from wherever they come.

    Partitions of the replica go by the names of the primary's, and are known by their content: what was loaded from
    the one is not loaded from the other again, and a file whose reading fails is read on from its row in the replica,
    if its content there is the same.
    """

    primary: FilesSource
    replica: FilesSource | Literal["last_good"]
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def mode(self) -> InputMode:
        """The primary's; the replica's where the primary cannot be found."""
        try:
            return self.primary.mode
        except UNREADABLE:
            if isinstance(self.replica, str):
                raise
            return self.replica.mode

    def endpoints(self) -> Sequence[Endpoint]:
        """The primary's; a replica is of this machine."""
        return self.primary.endpoints()

    def located(self, base: Path) -> Self:
        """The same, relative patterns taken from this folder."""
        replica = self.replica if isinstance(self.replica, str) else self.replica.located(base)
        return dataclasses.replace(self, primary=self.primary.located(base), replica=replica)

    def at(self, site: Site) -> Self:
        """The same, both places with breakers and budgets that others share."""
        replica = self.replica if isinstance(self.replica, str) else self.replica.at(site)
        return dataclasses.replace(self, primary=self.primary.at(site), replica=replica)

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out."""
        replica = self.replica if isinstance(self.replica, str) else dict(self.replica.describe())
        return {**self.primary.describe(), "fallback": replica}

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """The primary's plan; where it has none, the replica's; what fails in it, from the replica."""
        try:
            plan = self.primary.plan(loaded, whole=whole)
        except UNREADABLE as error:
            if isinstance(self.replica, str):
                return self._last_good(loaded, error)
            plan = _of_replica(self.replica.plan(loaded, whole=whole))
            degraded("the fallback was read in the place of the source", error)
            return plan
        if isinstance(self.replica, str) or not plan.failed:
            return plan
        return self._mended(plan, self.replica, loaded)

    @staticmethod
    def _last_good(loaded: Mapping[str, Partition], error: PipelineError) -> Plan:
        if not loaded:
            raise error  # nothing good was ever loaded
        degraded("the source was not read; what was loaded last stays", error)
        return Plan(unchanged=tuple(loaded.values()))

    @staticmethod
    def _mended(plan: Plan, replica: FilesSource, loaded: Mapping[str, Partition]) -> Plan:
        """The plan with those of its failed partitions that the replica has. A file that changed is no failure."""
        found: list[Partition] = []
        failed = dict(plan.failed)
        for key, error in plan.failed.items():
            twin = None if isinstance(error, SourceChanged) else replica.partition(key)
            if twin is None or (key in loaded and loaded[key].identity != twin.identity):
                continue  # whether a changed file may be loaded is for the primary to say
            del failed[key]
            degraded(f"{key} was taken from the fallback", error)
            if key not in loaded:
                found.append(_marked(twin))
        return dataclasses.replace(plan, load=(*plan.load, *found), failed=failed)

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads a partition where it was found, and goes on in the other place if that fails."""
        options: dict[str, Any] = {"batch_rows": batch_rows, "columns": columns, "batch_bytes": batch_bytes}
        first, second = self.primary, self.replica
        if partition.detail.get(REPLICA):
            assert isinstance(second, FilesSource)
            yield from second.read(partition, start_row=start_row, **options)
            return
        row = start_row
        try:
            for batch in first.read(partition, start_row=start_row, **options):
                row = batch.next_row
                yield batch
        except UNREADABLE as error:
            twin = second.partition(partition.key) if isinstance(second, FilesSource) else None
            if twin is None or twin.identity != partition.identity:
                raise
            degraded(f"{partition.key} was read from the fallback, from row {row + 1:,} on", error)
        else:
            return
        assert isinstance(second, FilesSource)
        yield from second.read(twin, start_row=row, **options)


def _of_replica(plan: Plan) -> Plan:
    return dataclasses.replace(plan, load=tuple(map(_marked, plan.load)), reload=tuple(map(_marked, plan.reload)))


def _marked(partition: Partition) -> Partition:
    return dataclasses.replace(partition, detail={**partition.detail, REPLICA: True})
