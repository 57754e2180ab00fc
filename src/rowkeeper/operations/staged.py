"""What a run has staged and not published: its account, its gates, its rows, as far as the caller may see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rowkeeper.access import Column, Sight, TableView, of_table
from rowkeeper.destinations import read_client
from rowkeeper.errors import QueryRefused
from rowkeeper.ledger import RunRecord
from rowkeeper.runs.access import note_query
from rowkeeper.runs.columnfacts import table_of
from rowkeeper.runs.holding import StagedRun, look_at
from rowkeeper.runs.protecting import SOURCE_KEY, clear_columns
from rowkeeper.runs.querying import is_owner
from rowkeeper.runs.reconciling import destination_of
from rowkeeper.runs.report import gate_document
from rowkeeper.runs.shielding import HIDDEN
from rowkeeper.runs.workspace import Workspace

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.reading import QueryResult, ReadClient

OWN = "_rk_"  # how the columns begin that no contract has
CLASSIFIED = frozenset({"classified"})  # of a column of which the ledger knows that, and not as what


@dataclasses.dataclass(frozen=True, slots=True)
class StagedLook:
    """A staged run with some of its rows.

    Attributes:
        columns: (name, ClickHouse type) of each that the caller may see.
        rows: JSON-safe values.
    """

    staged: StagedRun
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        run, account = self.staged.run, self.staged.account
        return {
            "run": run.run,
            "pipeline": run.pipeline,
            "status": run.status.value,
            "staged": account.committed,
            "read": account.read,
            "quarantined": account.quarantined,
            "filtered": account.filtered,
            "gates": [gate_document(each) for each in self.staged.gates],
            "samples": [{"gate": gate, "rows": rows} for gate, rows in self.staged.samples],
            "columns": [{"name": name, "type": kind} for name, kind in self.columns],
            "rows": [list(row) for row in self.rows],
        }


def show_staged(number: int, workspace: Workspace, *, limit: int = 10, sql: str | None = None) -> StagedLook:
    """Looks at what a run has staged. It is on the record before it is shown.

    Args:
        limit: how many rows.
        sql: a query instead, in which the staged rows are `{staged}`; for the owner of the state folder at its
            machine alone.

    Raises:
        AccessDenied, UnknownRun: the caller may not, or nobody could.
        RunUnfit: nothing of it is staged.
        QueryError: in ClickHouse's own words.
    """
    found = look_at(number, workspace, limit)
    if not found.relation:
        return _peeked(found, workspace, sql)
    with read_client(workspace.site, destination_of(found.run)) as client:
        result = _shown(found, workspace, client, limit) if sql is None else _asked(found, workspace, client, sql)
    return StagedLook(found, () if result is None else result.columns, () if result is None else result.rows)


def _peeked(found: StagedRun, workspace: Workspace, sql: str | None) -> StagedLook:
    """Rows that lie in another database than the embedded one: as far as the caller may see columns, and whole rows.

    A row filter is in ClickHouse's SQL: who has one sees no rows here.
    """
    if sql is not None:
        raise QueryRefused(
            f"the rows of run {found.run.run} are staged in a database that typed SQL does not reach",
            hint=f"ask that database itself, or leave out --sql: rowkeeper staging {found.run.run}",
        )
    view = workspace.access.view(table_of(found.run.target), _columns(found.run, [name for name, _ in found.columns]))
    if view is None or view.row_filter is not None:
        return StagedLook(found, (), ())
    sights = [view.sights.get(name, Sight.REFUSED) for name, _ in found.columns]
    kept = [place for place, sight in enumerate(sights) if sight is not Sight.REFUSED]
    rows = tuple(
        tuple(_safe(row[place]) if sights[place] is Sight.CLEAR else HIDDEN for place in kept) for row in found.rows
    )
    return StagedLook(found, tuple(found.columns[place] for place in kept), rows)


def _safe(value: object) -> object:
    """A value as JSON has it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _shown(found: StagedRun, workspace: Workspace, client: ReadClient, limit: int) -> QueryResult | None:
    """Some rows; None for who may not read the table that they are meant for."""
    view = _view(found, workspace, client)
    if view is None:
        return None
    filtered = "" if view.row_filter is None else f" WHERE {view.row_filter}"
    chosen = [_chosen(name, sight) for name, sight in view.sights.items() if sight is not Sight.REFUSED]
    return client.query(f"SELECT {', '.join(chosen)} FROM {found.relation}{filtered} LIMIT {limit}") if chosen else None


def _chosen(name: str, sight: Sight) -> str:
    quoted = "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
    return quoted if sight is Sight.CLEAR else f"'{HIDDEN}' AS {quoted}"


def _asked(found: StagedRun, workspace: Workspace, client: ReadClient, sql: str) -> QueryResult:
    """The answer to typed SQL, of the owner alone: it may read any table, and is not rewritten to what one may see."""
    table, query = of_table(table_of(found.run.target)), sql.replace("{staged}", found.relation)
    if not is_owner(workspace):
        workspace.access.refuse("data.query", table, run=found.run.run)
    note_query(workspace, query, run=found.run.run)
    return client.query(query)


def _view(found: StagedRun, workspace: Workspace, client: ReadClient) -> TableView | None:
    """What the caller may see of the table that the run is to be published to; Rowkeeper's own columns besides."""
    names = [name for name, _ in client.query(f"SELECT * FROM {found.relation} LIMIT 0").columns]
    own = {name: Sight.CLEAR for name in names if name.startswith(OWN)}
    columns = _columns(found.run, [name for name in names if name not in own])
    view = workspace.access.view(table_of(found.run.target), columns)
    if view is None:
        return None
    sights = {name: own.get(name) or view.sights.get(name, Sight.REFUSED) for name in names}
    return dataclasses.replace(view, sights=sights)


def _columns(run: RunRecord, names: Sequence[str]) -> list[Column]:
    """The columns, as far as permissions see them: as what they were classified, and whether they are protected."""
    protections, clear = run.source.get(SOURCE_KEY, {}), clear_columns(run)
    return [
        Column(
            name,
            frozenset(protections.get(name, {}).get("labels", ())) or (CLASSIFIED if name in clear else frozenset()),
            protected=name in protections,
        )
        for name in names
    ]
