"""What the table holds against what the books say, run by run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.comparing import compared, judged
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
        return [judged(run, held, Fingerprint()) for run, held in expected.items()]
    table.catch_up(table.names.live)
    hashed = row_hash(columns_of(table.statements, table.names.database, table.names.table))
    rows = table.statements.ask(
        f"SELECT {RUN}, count(), sum({hashed}), countIf({HASH} != {hashed}) FROM {table.names.live} GROUP BY 1"
    )
    found = {int(run): (Fingerprint(int(count), int(total)), int(changed)) for run, count, total, changed in rows}
    return compared(expected, found, lambda run: _doubled(table, run))


def _doubled(table: TableSession, run: int) -> int:
    """How many rows of a run share their address with another."""
    return table.statements.number(f"SELECT count() - uniqExact({ROW_ID}) FROM {table.names.live} WHERE {RUN} = {run}")
