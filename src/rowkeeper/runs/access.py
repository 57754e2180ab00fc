"""Reading data is on the record: an entry of the audit trail comes first, and without it nothing is shown."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from rowkeeper.access import Resource
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import DeclarationError, RevealRefused
from rowkeeper.ledger.audit import Event, Outcome
from rowkeeper.logs import logger
from rowkeeper.runs.workspace import Workspace

log = logger("run")


def signature() -> str:
    """Who decides or takes something out, as the ledger keeps it beside a run: `root` of a command, else `user:ann`."""
    caller = current_caller()
    return caller.name if caller.kind is CallerKind.OS_USER else str(caller)


def note_query(space: Workspace, sql: str, **on: Any) -> None:
    """Notes that SQL which somebody typed is about to be run: by its hash, as the statement may name a person.

    Args:
        on: what it is about, where that is known: a run.
    """
    digest = hashlib.sha256(sql.encode()).hexdigest()
    space.ledger.audit.record(Event("data.query", {**on, "sql_sha256": digest}))


class Look:
    """Somebody wants to see classified values in the clear. The one place where it is asked whether they may.

    A refusal is on the record too.

    Args:
        action: as the audit trail has it: `data.reveal`, `quarantine.reveal`.
        resource: of what: a column, a run.
        reason: why, in words; it is kept beside the trail.
        command: what to type, for whoever gave no reason.
        on: at what, as the entry says it.

    Raises:
        DeclarationError: no reason is given.
        RevealRefused: whoever asks may not.
    """

    def __init__(
        self, space: Workspace, action: str, resource: Resource, *, reason: str, command: str, on: Mapping[str, Any]
    ) -> None:
        if not reason.strip():
            raise DeclarationError("revealing needs a reason, which is noted", hint=f'{command} --reason "REASON"')
        self._space = space
        self._event = Event(action, on, reason=reason.strip())
        if not space.access.may(action, resource):
            space.ledger.audit.record(dataclasses.replace(self._event, outcome=Outcome.REFUSED))
            raise RevealRefused(
                f"{current_caller()} may not see classified values of {resource}",
                hint="ask who administers this installation",
            )

    def note(self, rows: int) -> None:
        """Notes that so many rows are about to be shown: after this call they may be, and not before."""
        self._space.ledger.audit.record(dataclasses.replace(self._event, detail={"rows": rows}))
        log.warning(
            "classified values revealed", operation=self._event.action, run=self._event.on.get("run"), rows=rows
        )
