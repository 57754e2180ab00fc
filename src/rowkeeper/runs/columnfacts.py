"""What the ledger knows of a table's columns: their classifications, and whether their values are protected."""

from __future__ import annotations

from collections.abc import Sequence

from rowkeeper.access import Column
from rowkeeper.destinations import settled_server
from rowkeeper.ledger import Ledger, RunRecord
from rowkeeper.runs.protecting import LABELS_KEY, SOURCE_KEY, clear_columns

UNNAMED = "classified"  # the label of a column of which a run that is older than this says no more


def columns_of_table(ledger: Ledger, table: str) -> tuple[Column, ...]:
    """The columns that runs have filled; none for a table whose rows no run has brought.

    A column has the labels of all the runs whose rows are in the table, and is protected only if each of them that
    filled it protected it.

    Args:
        table: `database.table`.
    """
    runs = [run for target in ledger.targets() if target == _asked() + table for run in held_runs(ledger, target)]
    names = dict.fromkeys(name for run in runs for name, _ in run.columns or ())
    return tuple(_column(name, runs) for name in names)


def table_names(ledger: Ledger) -> list[str]:
    """The tables (`database.table`) that runs went to, of the ClickHouse that typed SQL goes to, by name."""
    return sorted(target.removeprefix(_asked()) for target in ledger.targets() if target.startswith(_asked()))


def table_of(target: str) -> str:
    """What permissions and people call what a target names: `database.table` of the ClickHouse that typed SQL goes to,
    which is the embedded one unless the settings name a server; all others by the whole of it, so that no folder and no
    other server passes for a table by its last letters.
    """
    return target.removeprefix(_asked())


def _asked() -> str:
    """How the targets begin that are tables of the ClickHouse that typed SQL goes to."""
    server = settled_server()
    return f"clickhouse:{server.name if server else 'embedded'}/"


def held_runs(ledger: Ledger, target: str) -> list[RunRecord]:
    """The runs whose rows a table holds, by the books."""
    return [ledger.run(number) for number, rows in ledger.balance(target).items() if rows.rows]


def _column(name: str, runs: Sequence[RunRecord]) -> Column:
    labels: set[str] = set()
    protected = []
    for run in runs:
        document = run.source.get(SOURCE_KEY, {}).get(name)
        own = [*((document or {}).get("labels") or ()), *run.source.get(LABELS_KEY, {}).get(name, ())]
        labels.update(own)
        if not own and (document is not None or name in clear_columns(run)):
            labels.add(UNNAMED)
        if name in dict(run.columns or ()):
            protected.append(document is not None)
    return Column(name, frozenset(labels), all(protected))
