"""What `rowkeeper doctor` asks about one table: its files, its parts, what was set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.protocols import Health

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

PARTS_MANY = 300  # in one partition: queries get slow; at 3,000 ClickHouse refuses inserts
MEND = "rowkeeper verify FILE tells which rows are gone; rowkeeper rollback RUN, then run again, brings them back"


def table_health(table: TableSession) -> Health:
    """Looks at the table; reads all of its files. Raises DatabaseError if the engine cannot be reached."""
    statements, names = table.statements, table.names
    if not table.exists(names.table):
        return Health("the table is gone", ("the table is gone",), MEND)
    here = f"database = {literal(names.database)} AND table = {literal(names.table)}"
    per_partition = statements.ask(
        f"SELECT count(), sum(rows) FROM system.parts WHERE active AND {here} GROUP BY partition_id"
    )
    aside = statements.ask(f"SELECT reason, count() FROM system.detached_parts WHERE {here} GROUP BY 1 ORDER BY 1")
    faults = [f"{count} parts were set aside ({reason or 'by hand'})" for reason, count in aside]
    checked = f"CHECK TABLE {names.live} SETTINGS check_query_single_value_result = 1"
    if per_partition and not statements.number(checked):
        faults.append("files are damaged on disk (CHECK TABLE)")
    parts = [int(count) for count, _ in per_partition]
    found = f"{sum(int(rows) for _, rows in per_partition):,} rows in {sum(parts):,} parts"
    if faults:
        return Health(found, tuple(faults), MEND)
    if max(parts, default=0) > PARTS_MANY:
        return Health(
            f"{found}; {max(parts):,} parts in one partition",
            advice="load more rows at a time, less often; ClickHouse merges them while its host is up",
        )
    return Health(found)
