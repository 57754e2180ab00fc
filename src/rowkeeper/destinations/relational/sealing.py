"""The seal: duplicates are found, everything else is read back and compared with what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.relational.dialect import HASH, RUN, Cursor
from rowkeeper.destinations.relational.duplicates import find_losers, kept, removals
from rowkeeper.destinations.relational.staging import PARTITION
from rowkeeper.destinations.relational.statements import rows_of
from rowkeeper.errors import StagingDamaged
from rowkeeper.measures import Figure
from rowkeeper.protocols import Change, Posting, Sealed, StagedRows

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession

MENDING = "nothing was published; run the pipeline again, and see to the database if that does not help"


def seal(table: DatabaseSession, staged: Sequence[StagedRows], change: Change) -> Sealed:
    """Finds duplicates, checks what is left, and says how publishing will change the books.

    Raises IntegrityError if a row is missing or another than it was.
    """
    found = table.statements.read(lambda cursor: _read_back(table, cursor, "1 = 1"))
    _compare(found, staged)
    duplicates: dict[int, int] = {}
    if find_losers(table, change):
        left = table.statements.read(lambda cursor: _read_back(table, cursor, kept(table)))
        duplicates = {ordinal: rows.rows - left.get(ordinal, Fingerprint()).rows for ordinal, rows in found.items()}
        found = left
    own = sum(found.values(), Fingerprint())
    table.removed = table.statements.read(lambda cursor: removed_by_run(table, cursor, removals(table, change)))
    postings = [Posting(run, -held) for run, held in table.removed.items() if run]  # run 0 is in no books
    added = [Posting(table.run, own)] if own.rows else []
    return Sealed(found, {key: count for key, count in duplicates.items() if count}, (*postings, *added))


def hash_sum(table: DatabaseSession, column: str = HASH) -> str:
    """The sum of a column of hashes, exact, whatever its size."""
    return table.dialect.figure(Figure("sum", column), "bigint")


def fingerprint(count: object, total: object) -> Fingerprint:
    """From a count and a sum as the database gives them."""
    return Fingerprint(int(str(count)), int(str(total or 0)) % 2**64)


def _read_back(table: DatabaseSession, cursor: Cursor, condition: str) -> dict[int, Fingerprint]:
    """Each row is read and hashed anew. Raises StagingDamaged."""
    hashed = table.dialect.row_hash(table.columns)
    rows = rows_of(
        cursor,
        f"SELECT {PARTITION}, count(*), {hash_sum(table)}, sum(CASE WHEN {HASH} <> {hashed} THEN 1 ELSE 0 END) "
        f"FROM {table.names.staging(table.run, table.token)} WHERE {condition} GROUP BY 1",
    )
    changed = sum(int(each[3]) for each in rows)
    if changed:
        raise StagingDamaged(f"{changed} staged rows of run {table.run} are not as they were sent", hint=MENDING)
    return {int(ordinal): fingerprint(count, total) for ordinal, count, total, _ in rows}


def _compare(found: Mapping[int, Fingerprint], staged: Sequence[StagedRows]) -> None:
    expected = {each.partition_ordinal: each.rows for each in staged if each.rows}
    counted = {ordinal: rows.rows for ordinal, rows in found.items()}
    if counted != expected:
        raise StagingDamaged(
            f"{sum(expected.values())} rows were staged and {sum(counted.values())} are there", hint=MENDING
        )


def removed_by_run(table: DatabaseSession, cursor: Cursor, conditions: Sequence[str]) -> dict[int, Fingerprint]:
    """By run, the rows of the table that meet any of these conditions."""
    removed: dict[int, Fingerprint] = {}
    for condition in conditions:
        for run, count, total in rows_of(
            cursor,
            f"SELECT {RUN}, count(*), {hash_sum(table)} FROM {table.names.live} WHERE {condition} GROUP BY {RUN}",
        ):
            removed[int(run)] = removed.get(int(run), Fingerprint()) + fingerprint(count, total)
    return removed
