"""What `rowkeeper doctor` asks about one table: its files, its parts, what was set aside."""

from __future__ import annotations

import dataclasses

from rowkeeper.destinations.mergetree.destination import ClickHouseDestination
from rowkeeper.destinations.mergetree.statements import Statements
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.protocols import Site


@dataclasses.dataclass(frozen=True, slots=True)
class TableHealth:
    """A look at a table.

    Attributes:
        parts: active ones; `parts_of_fullest` is of the partition that has most of them.
        faults: what is wrong, a sentence each.
    """

    rows: int
    parts: int
    parts_of_fullest: int
    faults: tuple[str, ...]


def table_health(site: Site, destination: ClickHouseDestination) -> TableHealth:
    """Looks at a table; reads all of its files.

    Raises DatabaseError if the engine cannot be reached.
    """
    placed = destination.placed()
    database, table = str(placed.database), placed.table
    statements = Statements(placed.engine(site), placed.target)
    here = f"database = {literal(database)} AND table = {literal(table)}"
    try:
        if not statements.number(
            f"SELECT count() FROM system.tables WHERE database = {literal(database)} AND name = {literal(table)}"
        ):
            return TableHealth(0, 0, 0, ("the table is gone",))
        per_partition = statements.ask(
            f"SELECT count(), sum(rows) FROM system.parts WHERE active AND {here} GROUP BY partition_id"
        )
        aside = statements.ask(f"SELECT reason, count() FROM system.detached_parts WHERE {here} GROUP BY 1 ORDER BY 1")
        faults = [f"{count} parts were set aside ({reason or 'by hand'})" for reason, count in aside]
        checked = f"CHECK TABLE {identifier(database)}.{identifier(table)} SETTINGS check_query_single_value_result = 1"
        if per_partition and not statements.number(checked):
            faults.append("files are damaged on disk (CHECK TABLE)")
    finally:
        statements.close()
    parts = [int(count) for count, _ in per_partition]
    return TableHealth(sum(int(rows) for _, rows in per_partition), sum(parts), max(parts, default=0), tuple(faults))
