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
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from rowkeeper.errors import AuditEntryTooLong

ENTRY_BYTES_MAX = 65_535  # an entry's length is told in two bytes (c2sp.org/tlog-tiles)
VERSION = 1
IDS_BYTES_MAX = 256  # of who asked and from which address
SALT_BYTES = 16
ADDRESS = "address:"  # how the name of an address begins, among the people
END = b',"v":%d,"who":"' % VERSION

_encoded = msgspec.json.Encoder(order="deterministic").encode


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


_OUTCOMES = {each: b',"outcome":"%b"' % each.encode() for each in Outcome}


class Draft(NamedTuple):
    """An entry but for the ids of who asks and from which address: only the ledger knows those.

    Attributes:
        front, middle: its bytes up to the id of the address, and from there up to the id of the person.
        salt, reason: what is kept beside the trail; None if no reason was given.
    """

    front: bytes
    middle: bytes
    salt: bytes
    reason: str | None

    def entry(self, who: bytes, address: bytes) -> bytes:
        """The entry's bytes: what is hashed and stored.

        Args:
            who: the id of the person or service.
            address: the field of the network address that asked, as `address_field` makes it.
        """
        return b"".join((self.front, address, self.middle, who, b'"}'))


def address_field(identity: str | None) -> bytes:
    """Where an entry holds the id of a network address; empty for a command."""
    return b"" if identity is None else b'"address":%b,' % _encoded(identity)


class Drafter:
    """Makes the bytes of entries that are written together. Its pieces are canonical JSON, put together by hand: that
    is several times as fast as encoding a document for each entry.

    Args:
        at: now, UTC.
        host, process: from where.
        session: by which session or token.
        purpose: what for, unless an event says otherwise.
    """

    def __init__(
        self, at: datetime, host: str, process: int, *, session: str | None = None, purpose: str | None = None
    ) -> None:
        self._purpose = purpose
        self._at = b',"at":"%b"' % at.isoformat(timespec="microseconds").encode()
        origin: dict[str, Any] = {"host": host, "process": process}
        origin |= {} if session is None else {"session": session}
        self._origin = _encoded(origin)[1:] + b',"on":'
        self._actions: dict[str, bytes] = {}

    def draft(self, event: Event) -> Draft:
        """An event's draft. Raises AuditEntryTooLong."""
        front = self._actions.get(event.action)
        if front is None:
            front = self._actions[event.action] = b'{"action":' + _encoded(event.action) + self._at
        if event.detail:
            front += b',"detail":' + _encoded(event.detail)
        front += b',"from":{'
        middle = self._origin + _encoded(event.on) + _OUTCOMES[event.outcome]
        purpose = event.purpose or self._purpose
        if purpose is not None:
            middle += b',"purpose":' + _encoded(purpose)
        salt = b""
        if event.reason is not None:
            salt = secrets.token_bytes(SALT_BYTES)  # it hides the reason, which may be easy to guess
            middle += b',"reason":"' + reason_hash(event.reason, salt).encode() + b'"'
        if len(front) + len(middle) > ENTRY_BYTES_MAX - IDS_BYTES_MAX:
            raise AuditEntryTooLong(
                f"the audit entry of {event.action} would have {len(front) + len(middle):,} bytes, of "
                f"{ENTRY_BYTES_MAX:,} that it may have; it was not done",
                hint="use shorter names, or do it in several steps",
            )
        return Draft(front, middle + END, salt, event.reason)


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
