"""What the audit trail says of one change or one access.

An entry is canonical JSON (keys sorted, no spaces, UTF-8), as other programs have to hash the same bytes. It holds no
classified value, and names no person: a person is an id whose meaning lies beside the trail, and so is the address that
a request came from; the text of a reason lies there too, and the entry holds a salted hash of it. Whoever has to be
forgotten can be, and every proof stays valid.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

ENTRY_BYTES_MAX = 65_535  # an entry's length is told in two bytes (c2sp.org/tlog-tiles)
VERSION = 1


class Outcome(enum.StrEnum):
    """How it ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One change, or one access to data or secrets.

    Attributes:
        action: what, as `room.verb`: `run.publish`, `quarantine.export`.
        on: what it was done to, by kind: `{"run": 12, "pipeline": "flights"}`; names and numbers, no values of rows.
        outcome: how it ended.
        detail: figures that make it clear: an account, a fingerprint.
        purpose: what for, in one word of the caller's, such as `billing`; the caller's own if it is not given.
        reason: why, in the caller's own words; kept beside the trail.
    """

    action: str
    on: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    _: dataclasses.KW_ONLY
    outcome: Outcome = Outcome.DONE
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    purpose: str | None = None
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the trail, read.

    Attributes:
        number: its place in the trail, from 0.
        at: when, UTC, by the clock of the machine that wrote it.
        who: the id of the person or service.
        name: what the id means; None if that was forgotten.
        host, process: from where.
        address: from where a request came; None for a command, or if it was forgotten.
        session: by which session or token.
        reason: why; None if nobody said, or if it was forgotten.
    """

    number: int
    at: datetime
    who: str
    name: str | None
    host: str
    process: int
    address: str | None
    session: str | None
    event: Event


class Writer:
    """Makes the bytes of entries that are written together: what is hashed and stored.

    Args:
        at: now, UTC.
        who: the id of the person or service.
        host, process: from where.
        address: the id of the network address that asked; None for a command.
        session: by which session or token.
        purpose: what for, unless an event says otherwise.
    """

    def __init__(
        self,
        at: datetime,
        who: str,
        host: str,
        process: int,
        *,
        address: str | None = None,
        session: str | None = None,
        purpose: str | None = None,
    ) -> None:
        origin: dict[str, Any] = {"host": host, "process": process}
        origin |= {} if address is None else {"address": address}
        origin |= {} if session is None else {"session": session}
        self._purpose = purpose
        self._common = {
            "v": VERSION,
            "at": at.isoformat(timespec="microseconds"),
            "who": who,
            "from": origin,
        }

    def entry(self, event: Event, salt: bytes) -> bytes:
        """An entry's bytes.

        Args:
            salt: random bytes; they hide the reason, which may be easy to guess.
        """
        document = {**self._common, "action": event.action, "on": event.on, "outcome": event.outcome}
        if event.detail:
            document["detail"] = event.detail
        purpose = event.purpose or self._purpose
        if purpose is not None:
            document["purpose"] = purpose
        if event.reason is not None:
            document["reason"] = reason_hash(event.reason, salt)
        data = msgspec.json.encode(document, order="deterministic")
        assert len(data) <= ENTRY_BYTES_MAX, f"an audit entry of {len(data)} bytes"
        return data


def reason_hash(reason: str, salt: bytes) -> str:
    """What an entry holds in the place of a reason."""
    return hashlib.sha256(salt + reason.encode()).hexdigest()


def parsed(number: int, data: bytes, *, reason: str | None) -> Entry:
    """Reads an entry; what its ids mean is the reader's to look up."""
    document = json.loads(data)
    return Entry(
        number=number,
        at=datetime.fromisoformat(document["at"]),
        who=document["who"],
        name=None,
        host=document["from"]["host"],
        process=document["from"]["process"],
        address=document["from"].get("address"),
        session=document["from"].get("session"),
        event=Event(
            document["action"],
            document["on"],
            outcome=Outcome(document["outcome"]),
            detail=document.get("detail", {}),
            purpose=document.get("purpose"),
            reason=reason,
        ),
    )
