"""The steps from an older ledger, or from none, to this version's schema."""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from rowkeeper.errors import NewerState


def upgrade(connection: Connection, migrations: Path, to: str | None = None) -> None:
    """Takes the steps that are lacking, in the connection's transaction.

    Args:
        to: the last of them; None is this version's schema.

    Raises NewerState if a newer version of Rowkeeper has been here.
    """
    scripts = ScriptDirectory(str(migrations))
    steps = list(reversed(list(scripts.walk_revisions())))
    context = MigrationContext.configure(connection)
    current = context.get_current_revision()
    known = [step.revision for step in steps]
    if current is not None and current not in known:
        raise _newer(current)
    last = to or known[-1]
    if last not in known:
        raise _newer(last)
    context._ensure_version_table()
    with Operations.context(context):
        for step in steps[known.index(current) + 1 if current else 0 : known.index(last) + 1]:
            step.module.upgrade()
    context.stamp(scripts, last)


def _newer(schema: str) -> NewerState:
    return NewerState(
        f"the ledger was made by a newer version of Rowkeeper (schema {schema})",
        hint="upgrade: pip install --upgrade rowkeeper",
    )
