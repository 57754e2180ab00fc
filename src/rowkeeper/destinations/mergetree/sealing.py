"""The seal: duplicates go out, everything else is read back from disk and compared with what was sent.

chDB acknowledges an insert even if a write of one of its files failed, and `count()` does not notice. So all columns of
all rows are read and hashed anew, and `CHECK TABLE` compares the files with their checksums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree.duplicates import removals, take_out
from rowkeeper.destinations.mergetree.layout import HASH, RUN, row_hash
from rowkeeper.destinations.mergetree.staging import PARTITION
from rowkeeper.errors import StagingDamaged
from rowkeeper.protocols import Change, Posting, Sealed, StagedRows

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

MENDING = "nothing was published; run the pipeline again, and see to the disk if that does not help"


def seal(table: TableSession, staged: Sequence[StagedRows], change: Change) -> Sealed:
    """Takes out duplicates, checks what is left, and says how publishing will change the books.

    Raises IntegrityError if a row is missing or another than it was.
    """
    name = table.names.staging(table.run, table.token)
    table.catch_up(name)
    with table.engine.syncing():
        check_files(table, name)
        found = _read_back(table, name)
    _compare(found, staged)
    duplicates: dict[int, int] = {}
    if take_out(table, change):
        left = _read_back(table, name)
        duplicates = {ordinal: rows.rows - left.get(ordinal, Fingerprint()).rows for ordinal, rows in found.items()}
        found = left
    own = sum(found.values(), Fingerprint())
    removed = [Posting(run, -held) for run, held in _removed(table, change).items()]
    added = [Posting(table.run, own)] if own.rows else []
    return Sealed(found, {key: count for key, count in duplicates.items() if count}, (*removed, *added))


def check_files(table: TableSession, name: str) -> None:
    """Sizes and checksums of the files themselves, marks and indexes included.

    Args:
        name: a table, or `table PART 'name'`.
    """
    if not table.statements.number(f"CHECK TABLE {name} SETTINGS check_query_single_value_result = 1"):
        raise StagingDamaged(f"what run {table.run} wrote is damaged on disk", hint=MENDING)


def _read_back(table: TableSession, name: str) -> dict[int, Fingerprint]:
    rows = table.statements.ask(
        f"SELECT {PARTITION}, count(), sum({HASH}), countIf({HASH} != {row_hash(table.columns)}) FROM {name} GROUP BY 1"
    )
    changed = sum(int(each[3]) for each in rows)
    if changed:
        raise StagingDamaged(
            f"{changed} staged rows of run {table.run} are not on disk as they were sent", hint=MENDING
        )
    return {int(ordinal): Fingerprint(int(count), int(hash_sum)) for ordinal, count, hash_sum, _ in rows}


def _compare(found: Mapping[int, Fingerprint], staged: Sequence[StagedRows]) -> None:
    expected = {each.partition_ordinal: each.rows for each in staged if each.rows}
    counted = {ordinal: rows.rows for ordinal, rows in found.items()}
    if counted != expected:
        raise StagingDamaged(
            f"{sum(expected.values())} rows were staged and {sum(counted.values())} are on disk", hint=MENDING
        )


def _removed(table: TableSession, change: Change) -> dict[int, Fingerprint]:
    """By run, what publishing takes away. Rows that no run brought are in no books."""
    removed: dict[int, Fingerprint] = {}
    for condition in removals(table, change):
        for run, count, hash_sum in table.statements.ask(
            f"SELECT {RUN}, count(), sum({HASH}) FROM {table.names.live} WHERE {condition} GROUP BY 1"
        ):
            if run:
                held = removed.get(int(run), Fingerprint())
                removed[int(run)] = held + Fingerprint(int(count), int(hash_sum))
    return removed
