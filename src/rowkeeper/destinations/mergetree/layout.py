"""The table's layout: made from the contract, and compared with what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.mergetree.engine import Layout
from rowkeeper.destinations.mergetree.names import Names, bare
from rowkeeper.destinations.mergetree.statements import Statements
from rowkeeper.destinations.mergetree.types import column_type, identifier, literal
from rowkeeper.errors import LayoutError

RUN, HASH = "_rk_run", "_rk_hash"
# Materialised columns are left out of SELECT *; with insert_allow_materialized_columns they are written like others.
HIDDEN = {
    RUN: "UInt64 MATERIALIZED 0 CODEC(Delta, ZSTD)",
    ROW_ID: "UInt64 MATERIALIZED 0 CODEC(Delta, ZSTD)",
    HASH: "UInt64 MATERIALIZED 0 CODEC(NONE)",
}
Columns = tuple[tuple[str, str], ...]


def contract_columns(schema: pa.Schema, low_cardinality: Sequence[str]) -> Columns:
    """Name and ClickHouse type of each column of the contract."""
    return tuple((field.name, column_type(field, low_cardinality=field.name in low_cardinality)) for field in schema)


def definition(
    columns: Columns, order_by: Sequence[str], partition_by: str | None, codecs: Mapping[str, str], layout: Layout
) -> str:
    """What follows a table's name where it is made."""
    lines = [
        f"{identifier(column)} {kind}" + (f" CODEC({codecs[column]})" if column in codecs else "")
        for column, kind in columns
    ]
    lines += [f"{identifier(column)} {definition}" for column, definition in HIDDEN.items()]
    return (
        f"({', '.join(lines)}) ENGINE = {layout.engine}"
        + (f" PARTITION BY {partition_by}" if partition_by else "")
        + f" ORDER BY ({', '.join(order_by)})"
        + f" SETTINGS {', '.join((*layout.settings, 'allow_nullable_key = 1'))}"
    )


def engine_of(statements: Statements, names: Names) -> str:
    """The live table's engine with its keys and settings, to which further settings can be added."""
    return str(
        statements.ask(
            "SELECT engine_full FROM system.tables "
            f"WHERE database = {literal(names.database)} AND name = {literal(names.table)}"
        )[0][0]
    )


def columns_of(statements: Statements, database: str, table: str) -> Columns:
    """Name and type of each column of a table but the hidden ones, in order; empty if there is no such table."""
    rows = statements.ask(
        f"SELECT name, type FROM system.columns WHERE database = {literal(database)} AND table = {literal(table)} "
        "ORDER BY position"
    )
    return tuple((str(name), str(kind)) for name, kind in rows if name not in HIDDEN)


def compare(statements: Statements, names: Names, wanted: str) -> Columns:
    """Compares the live table with an empty one made from the contract; returns the columns that the run will have.

    The contract may have new optional columns, which the publish adds; the table may have nullable columns that the
    contract does not name, which stay null.

    Raises LayoutError with everything that differs.
    """
    there = columns_of(statements, names.database, names.table)
    wanted_table = bare(wanted)
    asked = columns_of(statements, names.database, wanted_table)
    differences = [
        *column_differences(dict(there), dict(asked)),
        *_key_differences(statements, names, wanted_table),
        *_view_differences(statements, names),
    ]
    if differences:
        raise LayoutError(
            f"the table {names.database}.{names.table} is laid out differently: " + "; ".join(differences),
            hint="load into another table, or make contract and destination fit this one",
        )
    return there + tuple(column for column in asked if column not in there)


def column_differences(there: dict[str, str], asked: dict[str, str]) -> list[str]:
    """In which columns what is asked for cannot be added to what is there, a sentence each."""
    found = []
    for name, kind in asked.items():
        if name not in there:
            if not _nullable(kind):
                found.append(f"it has no column {name}, and {kind} cannot be added to rows that are there")
        elif there[name] != kind:
            found.append(f"the column {name} is {there[name]}, and the contract makes it {kind}")
    found += [
        f"it has a column {name} {kind} that the contract does not fill"
        for name, kind in there.items()
        if name not in asked and not _nullable(kind)
    ]
    return found


def _nullable(kind: str) -> bool:
    return kind.startswith(("Nullable(", "LowCardinality(Nullable("))


def _key_differences(statements: Statements, names: Names, wanted: str) -> list[str]:
    described = {}
    for name, engine, sorting, partition, policy in statements.ask(
        "SELECT name, engine, sorting_key, partition_key, storage_policy FROM system.tables "
        f"WHERE database = {literal(names.database)} AND name IN ({literal(names.table)}, {literal(wanted)})"
    ):
        described[name] = {
            "engine": str(engine).replace("SharedMergeTree", "MergeTree"),  # what a cloud makes of either
            "order": sorting,
            "partitioning": partition,
            "storage policy": policy,
        }
    there, asked = described[names.table], described[wanted]
    found = [
        f"its {what} is {there[what] or 'none'}, not {asked[what] or 'none'}"
        for what in asked
        if there[what] != asked[what]
    ]
    hidden = statements.ask(
        f"SELECT name FROM system.columns WHERE database = {literal(names.database)} "
        f"AND table = {literal(names.table)} AND name IN ({', '.join(map(literal, HIDDEN))})"
    )
    if len(hidden) < len(HIDDEN):
        found.append("it was not made by Rowkeeper (it lacks the columns " + ", ".join(HIDDEN) + ")")
    return found


def _view_differences(statements: Statements, names: Names) -> list[str]:
    views = statements.ask(
        "SELECT arrayJoin(dependencies_table) FROM system.tables "
        f"WHERE database = {literal(names.database)} AND name = {literal(names.table)}"
    )
    return [
        f"the materialised view {name} depends on it, and would not see rows that are attached" for (name,) in views
    ]


def row_hash(columns: Columns) -> str:
    """The hash of a row: the sum of a hash per column that is not null, of its name and value.

    So a column that is added and is null in former rows leaves their hashes as they were.
    """
    return " + ".join(f"ifNull({_hash(name)}, 0)" if _nullable(kind) else _hash(name) for name, kind in columns)


def _hash(name: str) -> str:
    return f"cityHash64({literal(name)}, {identifier(name)})"
