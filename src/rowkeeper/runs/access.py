"""Reading data is on the record: an entry of the audit trail comes first, and without it nothing is shown."""

from __future__ import annotations

import hashlib
from typing import Any

from rowkeeper.ledger import BatchRecord
from rowkeeper.ledger.audit import Event
from rowkeeper.runs.workspace import Workspace


def note_query(space: Workspace, sql: str, **on: Any) -> None:
    """Notes that SQL which somebody typed is about to be run: by its hash, as the statement may name a person.

    Args:
        on: what it is about, where that is known: a run.
    """
    digest = hashlib.sha256(sql.encode()).hexdigest()
    space.ledger.audit.record(Event("data.query", {**on, "sql_sha256": digest}))


def quarantine_to_show(space: Workspace, run: int) -> list[BatchRecord]:
    """The quarantine files of a run, noted as being shown. Raises UnknownRun."""
    record = space.ledger.run(run)
    space.ledger.audit.record(Event("quarantine.show", {"run": run, "pipeline": record.pipeline}))
    return space.ledger.quarantine(run)
