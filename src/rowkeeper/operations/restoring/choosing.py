"""Which backup each table is restored from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from rowkeeper.errors import PointUnknown
from rowkeeper.ledger.restoring import Point, TableThen
from rowkeeper.operations.backups.manifest import Manifest, Snapshot


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Where a table comes from.

    Attributes:
        manifest, snapshot: None where there was no table at the point.
    """

    then: TableThen
    manifest: Manifest | None = None
    snapshot: Snapshot | None = None


def choose(manifests: Sequence[Manifest], point: Point, tables: Sequence[TableThen]) -> list[Choice]:
    """For each table the newest backup that has it as it was at the point.

    Args:
        manifests: the newest first.

    Raises PointUnknown if one table is in none of them as it was then.
    """
    return [_choice(manifests, point, then) for then in tables]


def _choice(manifests: Sequence[Manifest], point: Point, then: TableThen) -> Choice:
    if then.run is None:
        return Choice(then)
    for run in then.alike:
        for manifest in manifests:
            for snapshot in _snapshots(manifest, then.target, run):
                return Choice(then, manifest, snapshot)
    raise PointUnknown(
        f"no backup has {then.target} as it was after run {then.run}, to which run {point.run} leads",
        hint=_told(manifests, then.target),
    )


def _snapshots(manifest: Manifest, target: str, run: int) -> Iterator[Snapshot]:
    """Those from which a table can be had as a run left it; the one that was made just then comes first."""
    found = [
        snapshot
        for table in manifest.tables
        if table.target == target
        for snapshot in table.snapshots
        if run in snapshot.points
    ]
    yield from sorted(found, key=lambda each: each.run != run)


def _told(manifests: Sequence[Manifest], target: str) -> str:
    """The runs that there are, in a few words."""
    runs = sorted(
        {run for manifest in manifests for table in manifest.tables if table.target == target for run in table.points}
    )
    if not runs:
        return "rowkeeper backup list shows what there is"
    return f"of this table there are {len(runs)} runs in backups, from run {runs[0]} to run {runs[-1]}: --to {runs[-1]}"
