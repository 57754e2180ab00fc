"""What `rowkeeper audit` does with the trail: listed, verified, proved, taken elsewhere, accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import ConfigurationError
from rowkeeper.ledger.audit import Entry, Event, exporting, verifying
from rowkeeper.ledger.audit.verifying import AuditVerdict
from rowkeeper.runs.workspace import Workspace


def list_entries(workspace: Workspace, *, limit: int, action: str | None = None) -> list[Entry]:
    """The newest entries of the trail, in order; none for who may not read it.

    Args:
        action: only these: `run.publish`, or `run` for all that begin with it.
    """
    if not workspace.access.may("audit.list", of_installation()):
        return []
    return workspace.ledger.audit.newest(limit, action)


def verify_trail(workspace: Workspace, kept: Mapping[str, str]) -> AuditVerdict:
    """Hashes the whole trail anew, and compares it with what was signed, and the ledger's runs with it.

    Args:
        kept: signed checkpoints, by where they come from; those that this installation writes outside are looked at
            besides.

    Raises AccessDenied; ConfigurationError if a checkpoint outside cannot be read.
    """
    workspace.access.require("audit.list", of_installation())
    trail = workspace.ledger.audit
    outside = {str(path): text_of(path) for path in trail.outside if path.exists()}
    return verifying.verify(trail, {**kept, **outside})


def prove_entry(workspace: Workspace, number: int) -> str:
    """The proof that an entry is in the trail, which holds the entry. Raises AccessDenied, ConfigurationError."""
    workspace.access.require("audit.list", of_installation())
    return exporting.prove(workspace.ledger.audit, number)


def export_trail(workspace: Workspace, folder: Path) -> int:
    """Writes the trail into a folder as tiles, over an older export; how many entries. That is an entry of its own.

    Raises AccessDenied, or StateError if the folder cannot be written.
    """
    workspace.access.require("audit.export", of_installation())
    workspace.ledger.audit.record(Event("audit.export"))
    return exporting.export(workspace.ledger.audit, folder)


def public_key(workspace: Workspace) -> str:
    """The public key of this installation's checkpoints, which is no secret. Raises AccessDenied."""
    workspace.access.require("audit.list", of_installation())
    return str(workspace.ledger.audit.verifiers[0])


def accept_trail(workspace: Workspace, reason: str) -> int:
    """Goes on with a ledger that was put back from an older copy; how many entries it has.

    Raises AccessDenied, or ConfigurationError if no reason is given.
    """
    workspace.access.require("audit.accept", of_installation())
    if not reason.strip():
        raise ConfigurationError("the reason is empty", hint='--reason "restored after the disk failed"')
    workspace.ledger.audit.accept(reason.strip())
    return workspace.ledger.audit.head()[0]


def text_of(path: Path) -> str:
    """A file that somebody names. Raises ConfigurationError if it is none, or no text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="name another file") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no text", hint="name another file") from error


def entry_document(entry: Entry) -> dict[str, Any]:
    """One entry, as JSON."""
    event = entry.event
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "who": entry.who,
        "name": entry.name,
        "from": {
            "host": entry.host,
            "process": entry.process,
            "address": entry.address,
            "session": entry.session,
        },
        "action": event.action,
        "on": dict(event.on),
        "outcome": event.outcome.value,
        "detail": dict(event.detail),
        "purpose": event.purpose,
        "reason": event.reason,
    }


def verdict_document(verdict: AuditVerdict) -> dict[str, Any]:
    """What a verification found, as JSON."""
    return {
        "sound": verdict.sound,
        "entries": verdict.size,
        "against": dict(verdict.against),
        "findings": list(verdict.findings),
        "checkpoint": verdict.checkpoint,
    }
