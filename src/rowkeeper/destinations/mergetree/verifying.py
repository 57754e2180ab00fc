"""What the table holds against what the books say, run by run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.mergetree.layout import HASH, RUN, columns_of, row_hash
from rowkeeper.protocols import RunRows

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession


def verify(table: TableSession, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
    """Reads every row, hashes it anew, and adds up by run.

    A row is *changed* if its values no longer have the hash that was stored with it; *added* if its run is not in the
    books or its address is there twice; *missing* is what the books hold beyond that. Addresses are looked at only
    where counts or sums differ, so memory is bounded by the rows of runs that are not sound.
    """
    if not table.exists(table.names.table):
        return [_judge(run, held, Fingerprint(), 0, 0) for run, held in expected.items()]
    table.catch_up(table.names.live)
    hashed = row_hash(columns_of(table.statements, table.names.database, table.names.table))
    rows = table.statements.ask(
        f"SELECT {RUN}, count(), sum({hashed}), countIf({HASH} != {hashed}) FROM {table.names.live} GROUP BY 1"
    )
    found = {int(run): (Fingerprint(int(count), int(total)), int(changed)) for run, count, total, changed in rows}
    report = []
    for run in sorted({*expected, *found}):
        held, (there, changed) = expected.get(run, Fingerprint()), found.get(run, (Fingerprint(), 0))
        if run not in expected:
            changed = 0  # all of them are added: there is nothing that they could have been changed from
        doubled = 0 if there == held else _doubled(table, run)
        report.append(_judge(run, held, there, changed, doubled))
    return report


def _doubled(table: TableSession, run: int) -> int:
    """How many rows of a run share their address with another."""
    return table.statements.number(f"SELECT count() - uniqExact({ROW_ID}) FROM {table.names.live} WHERE {RUN} = {run}")


def _judge(run: int, held: Fingerprint, there: Fingerprint, changed: int, doubled: int) -> RunRows:
    present = there.rows - doubled
    missing = max(0, held.rows - present)
    added = doubled + max(0, present - held.rows)
    if not (missing or added or changed) and held != there:
        changed = 1  # values and stored hash were both changed: at least one row is not what was published
    return RunRows(run, held, there, missing, added, changed)
