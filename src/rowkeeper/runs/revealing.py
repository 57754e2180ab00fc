"""`rowkeeper reveal`: protected values turned back, for a reason, and on the record.

The order is what makes the record whole: a reason is given; who asks may; the values are looked up and opened; the
audit trail notes who sees what and why; only then are they handed over. What cannot be noted is not shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from rowkeeper.access import Resource, of_column, of_table
from rowkeeper.access.access import NAMED_LENGTH
from rowkeeper.errors import ConfigurationError, DeclarationError, RevealIrreversible
from rowkeeper.ledger import BatchRecord, RunRecord
from rowkeeper.nearest import did_you_mean
from rowkeeper.runs.access import Look
from rowkeeper.runs.asking import kept_rejects, look_for
from rowkeeper.runs.columnfacts import table_of
from rowkeeper.runs.exporting import Exported, export
from rowkeeper.runs.protecting import SOURCE_KEY
from rowkeeper.runs.reconciling import destination_of
from rowkeeper.runs.rejects import clear_rejects, describe_rejects
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.protection import columnar
from rowkeeper.security.protection.method import Method, Use, use_of
from rowkeeper.security.protection.plan import column_of_document
from rowkeeper.security.protection.policy import METHODS

KINDS: Mapping[str, pa.DataType] = {"text": pa.string(), "integer": pa.int64(), "bytes": pa.binary()}


@dataclasses.dataclass(frozen=True, slots=True)
class Revealed:
    """What was shown.

    Attributes:
        rows: by column: the key and what was asked for as the table has it, and the revealed value.
    """

    table: str
    column: str
    rows: tuple[Mapping[str, Any], ...]


# -------------------------------------------------------------------------------------------- of tables


def reveal_column(
    table: str, column: str, workspace: Workspace, *, where: Mapping[str, str], limit: int, reason: str
) -> Revealed:
    """Turns the values of a protected column back.

    Args:
        table: `table`, or `database.table`.
        where: values that other columns must have, as text; of a column whose protection joins, the clear value.
        limit: how many rows at most.
        reason: why, in words; it is kept beside the audit trail.

    Raises:
        RevealRefused: whoever asks may not.
        RevealIrreversible: there is no way back.
        RevealFailed, KeyUnusable: a value cannot be opened.
        ConfigurationError: there is no such table or column, or a condition cannot be looked up.
    """
    run = _last_run(workspace, table)
    protections: Mapping[str, Mapping[str, Any]] = {} if run is None else run.source.get(SOURCE_KEY, {})
    look = Look(
        workspace,
        "data.reveal",
        _column_of(table, column, protections.get(column)),
        reason=reason,
        command=f"rowkeeper reveal {table} --column {column}",
        on={"run": run and run.run, "table": table[:NAMED_LENGTH], "column": column[:NAMED_LENGTH]},
    )
    if run is None:
        raise _unknown(workspace, table)
    method, use = _at_work(column, protections.get(column), table, workspace)
    conditions = {name: _searched(name, value, protections.get(name), workspace) for name, value in where.items()}
    beside = [name for name in dict.fromkeys((*(run.destination.get("key") or ()), *where)) if name != column]
    session = destination_of(run).connect(workspace.site, None)
    try:
        found = session.look_up((*beside, column), conditions, limit)
    finally:
        session.close()
    stored: Any = pa.array([row[-1] for row in found], method.stored(use.field).type)
    clear: Any = columnar.revealed(stored, method, use)
    rows = tuple(
        {**dict(zip(beside, map(str, row[:-1]), strict=True)), column: value}
        for row, value in zip(found, clear.to_pylist(), strict=True)
    )
    look.note(len(rows))
    return Revealed(table, column, rows)


def _column_of(table: str, name: str, document: Mapping[str, Any] | None) -> Resource:
    """A column as permissions see it."""
    labels = frozenset(() if document is None else document.get("labels", ()))
    return of_column(_qualified(table), name, labels, protected=document is not None)


def _qualified(table: str) -> str:
    """`database.table`."""
    return table if "." in table else f"default.{table}"


def _last_run(workspace: Workspace, table: str) -> RunRecord | None:
    """The newest run whose rows the table holds; None if there is none."""
    names = (table, _qualified(table))
    target = next((each for each in workspace.ledger.targets() if table_of(each) in names), None)
    held = [] if target is None else [run for run, rows in workspace.ledger.balance(target).items() if rows.rows]
    return workspace.ledger.run(max(held)) if held else None


def _unknown(workspace: Workspace, table: str) -> ConfigurationError:
    known = [table_of(each) for each in workspace.ledger.targets()]
    shown = workspace.access.only("data.query", known, of_table)
    return ConfigurationError(
        f"no run has brought rows to a table {table}",
        hint=did_you_mean(table, shown, "rowkeeper runs shows what there is"),
    )


def _at_work(column: str, document: Mapping[str, Any] | None, table: str, workspace: Workspace) -> tuple[Method, Use]:
    """The method of a column and its keys. Raises RevealIrreversible."""
    if document is None:
        raise RevealIrreversible(
            f"the column {column} of {table} is not protected",
            hint="rowkeeper query shows what is in it",
        )
    method = column_of_document(column, document, METHODS)
    if not method.reversible:
        raise RevealIrreversible(
            f"the column {column} of {table} is protected by {method.word}, from which there is no way back",
            hint="the source has its values",
        )
    return method, _use(column, method, document, workspace)


def _use(column: str, method: Method, document: Mapping[str, Any], workspace: Workspace) -> Use:
    field = pa.field(column, KINDS[str(document["kind"])])
    return use_of(method, field, str(document.get("purpose", "")), workspace.keysets, document.get("key"))


def _searched(name: str, value: str, document: Mapping[str, Any] | None, workspace: Workspace) -> str:
    """A clear value as the table has it. Raises DeclarationError where equal values cannot be found."""
    if document is None:
        return value
    method = column_of_document(name, document, METHODS)
    if not method.joins:
        raise DeclarationError(
            f"the column {name} is protected by {method.word}: a value cannot be looked up in it",
            hint="name another column: --where COLUMN=VALUE",
        )
    use = _use(name, method, document, workspace)
    try:
        given: Any = pa.array([value]).cast(use.field.type)
    except pa.ArrowInvalid:
        raise DeclarationError(f"--where {name}: the column holds whole numbers", hint="give one") from None
    if method.unfit(given):
        raise DeclarationError(f"--where {name}: no such value can be in the column", hint="see to its form") from None
    found: list[Any] = columnar.protected(given, method, use).to_pylist()
    return str(found[0])


# -------------------------------------------------------------------------------------- of quarantine


def reveal_rejected(number: int, workspace: Workspace, *, limit: int, reason: str) -> list[dict[str, Any]]:
    """Rejected rows of a run with their classified values in the clear. Raises RevealRefused or UnknownRun."""
    look = _look_at_run(number, workspace, reason, f"rowkeeper quarantine show {number} --reveal")
    workspace.ledger.run(number)
    rows = list(_limited(workspace, kept_rejects(workspace, number), limit))
    look.note(len(rows))
    return rows


def _limited(workspace: Workspace, records: Sequence[BatchRecord], limit: int) -> Iterator[dict[str, Any]]:
    left = limit
    for record in records:
        table = clear_rejects(workspace.quarantine, str(record.quarantine_file), workspace.keysets).slice(0, left)
        left -= table.num_rows
        yield from describe_rejects(table, workspace.keysets)


def look_at_rejected(number: int, workspace: Workspace, to: Path, reason: str) -> Look:
    """Asks whether the caller may have rejected rows written to a file in the clear. Raises RevealRefused."""
    return _look_at_run(number, workspace, reason, f"rowkeeper quarantine export {number} --to {to} --reveal")


def _look_at_run(number: int, workspace: Workspace, reason: str, command: str) -> Look:
    run, resource = look_for(workspace, number)
    on = {"run": str(number)} if run is None else {"run": number, "pipeline": run.pipeline}
    return Look(workspace, "quarantine.reveal", resource, reason=reason, command=command, on=on)


def export_revealed(
    run: RunRecord, records: tuple[BatchRecord, ...], to: Path, workspace: Workspace, look: Look
) -> Exported:
    """Writes rejected rows to a file with their classified values in the clear."""
    look.note(sum(each.quarantined for each in records))
    return export(run, records, to, workspace, reveal=True)
