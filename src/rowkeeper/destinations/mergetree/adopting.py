"""A table out of a native backup: put back, brought to an earlier state where that is wanted, its commit record new."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from rowkeeper.destinations.mergetree.layout import RUN
from rowkeeper.destinations.mergetree.publishing import comment_of
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.protocols import CommitRecord
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession


def adopt(table: TableSession, backup: str, name: str, runs: Collection[int], record: CommitRecord) -> None:
    """For a state folder that nobody else uses: each step may be seen, and one that fails is not taken back.

    1. The table is restored under its own name. It may have been kept from merging its parts, and merges them again.
    2. Rows of runs that came later are taken out. Rows that no run brought stay.
    3. It is given the commit record of the entry by which the ledger knows of the restore.

    Args:
        backup: ClickHouse's own, by its name below the engine's folder for backups.
        name: what the table is called in it.
        runs: those that its rows may be of.

    Raises DatabaseError, DiskFull.
    """
    table.ensure_database()
    inside, live = table.names.quoted(name), table.names.live
    table.statements.do(f"RESTORE TABLE {inside} AS {live} FROM File({literal(backup)})")
    table.statements.do(table.ddl.let_merge(live))
    failpoint("restore.after_table")
    there = {int(run) for (run,) in table.statements.ask(f"SELECT DISTINCT {RUN} FROM {live}")}
    later = sorted(there - {0, *runs})
    if later:
        table.statements.do(table.ddl.delete(live, f"{RUN} IN ({', '.join(map(str, later))})"))
    table.statements.do(f"ALTER TABLE {live} MODIFY COMMENT {literal(comment_of(record))}")
    table.check_written(live)
    failpoint("restore.after_record")
