"""What `rowkeeper audit` does with the trail: listed, verified, proved, taken elsewhere, accepted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import ConfigurationError
from rowkeeper.ledger.audit import Entry, Event, exporting, verifying
from rowkeeper.ledger.audit.listing import ALL, Wanted, newest
from rowkeeper.ledger.audit.verifying import AuditVerdict
from rowkeeper.operations.elsewhere import ask_elsewhere, with_findings
from rowkeeper.runs.checkpoints import Sent
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found.

    Attributes:
        unreachable: who elsewhere could not be asked, and why.
        lags: how many entries each place elsewhere lacks.
    """

    verdict: AuditVerdict
    unreachable: Mapping[str, str]
    lags: Mapping[str, int]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with the trail."""
        return self.verdict.sound

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sound": self.verdict.sound,
            "entries": self.verdict.size,
            "against": dict(self.verdict.against),
            "findings": list(self.verdict.findings),
            "unreachable": dict(self.unreachable),
            "lags": dict(self.lags),
            "checkpoint": self.verdict.checkpoint,
        }


def list_entries(workspace: Workspace, *, limit: int, wanted: Wanted = ALL) -> list[Entry]:
    """The newest entries of those that are wanted, in order. Raises AccessDenied."""
    workspace.access.require("audit.list", of_installation())
    return newest(workspace.ledger.audit.engine, limit, wanted)


def verify_trail(workspace: Workspace, kept: Mapping[str, str], *, offline: bool = False) -> AuditCheck:
    """Hashes the whole trail anew, and compares it with what was signed and kept elsewhere, and the runs with it.

    Args:
        kept: signed checkpoints, by where they come from; those that this installation writes outside are looked at
            besides.
        offline: ask neither the URL nor the witnesses.

    Raises AccessDenied; ConfigurationError if a checkpoint outside cannot be read.
    """
    workspace.access.require("audit.list", of_installation())
    trail, checkpoints = workspace.ledger.audit, workspace.checkpoints
    elsewhere = None if offline else ask_elsewhere(checkpoints)
    outside = {str(path): text_of(path) for path in trail.outside if path.exists()}
    notes = elsewhere.notes if elsewhere else {}
    verdict = verifying.verify(trail, {**kept, **outside, **checkpoints.cosigned_files(), **notes})
    lags = {place.name: lag for place, _, lag in checkpoints.lags()}
    return AuditCheck(with_findings(verdict, elsewhere), elsewhere.unreachable if elsewhere else {}, lags)


def send_checkpoint(workspace: Workspace) -> tuple[Sent, ...]:
    """Brings the newest checkpoint to the URL and the witnesses that the settings name. Raises AccessDenied."""
    workspace.access.require("audit.export", of_installation())
    places = workspace.checkpoints.places if workspace.ledger.audit.head()[0] else ()
    return tuple(workspace.checkpoints.send(places))


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
