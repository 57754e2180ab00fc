"""The seal: duplicates go out, everything else is read back from disk and compared with what was sent.

chDB acknowledges an insert even if a write of one of its files failed, and `count()` does not notice. So all columns of
all rows are read and hashed anew, and `CHECK TABLE` compares the files with their checksums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.mergetree.layout import HASH, RUN, row_hash
from rowkeeper.destinations.mergetree.staging import PARTITION
from rowkeeper.destinations.mergetree.types import identifier
from rowkeeper.errors import IntegrityError
from rowkeeper.protocols import Change, DuplicateRow, Posting, Sealed, StagedRows
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

MENDING = "nothing was published; run the pipeline again, and see to the disk if that does not help"


def seal(table: TableSession, staged: Sequence[StagedRows], change: Change) -> Sealed:
    """Takes out duplicates, checks what is left, and says how publishing will change the books.

    Raises IntegrityError if a row is missing or another than it was.
    """
    name = table.names.staging(table.run, table.token)
    losers = losers_of(table, change)
    _check_files(table, name)
    found = _read_back(table, name)
    duplicates: dict[int, int] = {}
    if losers is not None:
        _compare(found, staged)
        table.statements.do(f"DELETE FROM {name} WHERE {ROW_ID} IN ({losers})")
        failpoint("seal.after_duplicates")
        left = _read_back(table, name)
        duplicates = {ordinal: rows.rows - left.get(ordinal, Fingerprint()).rows for ordinal, rows in found.items()}
        found = left
    else:
        _compare(found, staged)
    own = sum(found.values(), Fingerprint())
    removed = [Posting(run, -held) for run, held in _removed(table, change).items()]
    added = [Posting(table.run, own)] if own.rows else []
    return Sealed(found, {key: count for key, count in duplicates.items() if count}, (*removed, *added))


def _check_files(table: TableSession, name: str) -> None:
    """Sizes and checksums of the files themselves, marks and indexes included."""
    if not table.statements.number(f"CHECK TABLE {name} SETTINGS check_query_single_value_result = 1"):
        raise IntegrityError(f"the staged rows of run {table.run} are damaged on disk", hint=MENDING)


def _read_back(table: TableSession, name: str) -> dict[int, Fingerprint]:
    rows = table.statements.ask(
        f"SELECT {PARTITION}, count(), sum({HASH}), countIf({HASH} != {row_hash(table.columns)}) FROM {name} GROUP BY 1"
    )
    changed = sum(int(each[3]) for each in rows)
    if changed:
        raise IntegrityError(
            f"{changed} staged rows of run {table.run} are not on disk as they were sent", hint=MENDING
        )
    return {int(ordinal): Fingerprint(int(count), int(hash_sum)) for ordinal, count, hash_sum, _ in rows}


def _compare(found: Mapping[int, Fingerprint], staged: Sequence[StagedRows]) -> None:
    expected = {each.partition_ordinal: each.rows for each in staged if each.rows}
    counted = {ordinal: rows.rows for ordinal, rows in found.items()}
    if counted != expected:
        raise IntegrityError(
            f"{sum(expected.values())} rows were staged and {sum(counted.values())} are on disk", hint=MENDING
        )


# ---------------------------------------------------------------------------------------------- duplicates


def key_of(table: TableSession) -> str:
    """The key as a tuple."""
    return "(" + ", ".join(identifier(name) for name in table.destination.key) + ")"


def replaces_rows(table: TableSession) -> bool:
    """Whether a staged row takes the place of one of the same key in the table."""
    return table.destination.write_mode == "merge" or table.destination.duplicates == "replace"


def losers_of(table: TableSession, change: Change) -> str | None:
    """A query for the addresses of the staged rows that are duplicates; None where no key is looked at.

    Memory: a hash table of the staged keys, limited by the engine's own limit for one statement.
    """
    made = table.destination
    if not made.key:
        return None
    name, key = table.names.staging(table.run, table.token), key_of(table)
    twice = f"FROM {name} GROUP BY {key} HAVING count() > 1"
    if made.version is not None:
        winner = f"argMax({ROW_ID}, ({identifier(made.version)}, {ROW_ID}))"
    else:
        winner = f"max({ROW_ID})" if replaces_rows(table) else f"min({ROW_ID})"
    in_run = (
        f"SELECT {ROW_ID} FROM {name} WHERE {key} IN (SELECT {key} {twice}) "
        f"AND {ROW_ID} NOT IN (SELECT {winner} {twice})"
    )
    against = _losers_against_table(table, name, key, change)
    return f"{in_run} UNION ALL {against}" if against else in_run


def _losers_against_table(table: TableSession, name: str, key: str, change: Change) -> str | None:
    """Staged rows that lose against rows of the table: the former keep their place, or are of a higher version.

    Rows that this very publish takes away (a changed file's former ones) hold no place.
    """
    made = table.destination
    if change.drop_all:
        return None  # nothing of the table stays
    going = _former_rows(change)
    known = f"FROM {table.names.live} WHERE {key} IN (SELECT {key} FROM {name})" + (
        f" AND NOT {going}" if going else ""
    )
    if not replaces_rows(table):
        return f"SELECT {ROW_ID} FROM {name} WHERE {key} IN (SELECT {key} {known})"
    if made.version is None:
        return None
    version = identifier(made.version)
    columns = ", ".join(identifier(column) for column in made.key)
    return (
        f"SELECT {ROW_ID} FROM {name} AS staged INNER JOIN "
        f"(SELECT {columns}, max({version}) AS newest {known} GROUP BY {columns}) AS held USING ({columns}) "
        f"WHERE staged.{version} < held.newest"
    )


def duplicate_rows(table: TableSession, change: Change) -> Iterator[DuplicateRow]:
    """The duplicates with their values, in order of their addresses; none unless they go to quarantine."""
    losers = losers_of(table, change)
    if losers is None or table.destination.duplicates != "quarantine":
        return
    names = [name for name, _ in table.columns]
    columns = ", ".join(identifier(name) for name in names)
    for row in table.statements.ask(
        f"SELECT {ROW_ID}, {columns} FROM {table.names.staging(table.run, table.token)} "
        f"WHERE {ROW_ID} IN ({losers}) ORDER BY {ROW_ID}"
    ):
        yield DuplicateRow(int(row[0]), dict(zip(names, row[1:], strict=True)))


# ---------------------------------------------------------------------------------------------- what goes


def removal(table: TableSession, change: Change) -> str | None:
    """The rows of the table that publishing takes away, as a condition; None for none."""
    if change.drop_all:
        return "1"
    former = _former_rows(change)
    conditions = [former] if former else []
    if replaces_rows(table):
        key = key_of(table)
        conditions.append(f"{key} IN (SELECT {key} FROM {table.names.staging(table.run, table.token)})")
    return " OR ".join(conditions) or None


def _former_rows(change: Change) -> str:
    """The rows of loads that this run replaces, as a condition; empty for none."""
    pairs = ", ".join(f"({run}, {ordinal})" for run, ordinal in change.drop_rows)
    return f"(({RUN}, {PARTITION}) IN ({pairs}))" if pairs else ""


def _removed(table: TableSession, change: Change) -> dict[int, Fingerprint]:
    """By run, what publishing takes away. Rows that no run brought are in no books."""
    condition = removal(table, change)
    if condition is None:
        return {}
    rows = table.statements.ask(
        f"SELECT {RUN}, count(), sum({HASH}) FROM {table.names.live} WHERE {condition} GROUP BY 1"
    )
    return {int(run): Fingerprint(int(count), int(hash_sum)) for run, count, hash_sum in rows if run}
