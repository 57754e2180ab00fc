"""What answers hold, as far as several topics share it. The functions behind the commands make the same documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from typing_extensions import TypedDict


class AccountDocument(TypedDict):
    """Where the rows of a run are: read = committed + quarantined + duplicate + filtered."""

    read: int
    committed: int
    quarantined: int
    duplicate: int
    filtered: int


class RunDocument(TypedDict):
    """A run, as `rowkeeper runs --json` has it."""

    run: int
    pipeline: str
    target: str
    kind: str
    status: str
    account: AccountDocument
    guarantees: dict[str, str]
    fingerprint: str
    reverses: int | None
    started_at: str
    finished_at: str | None
    seconds: float | None
    error: dict[str, Any] | None
    note: str | None
    degraded: list[Any]


class GateDocument(TypedDict):
    """What one quality gate said."""

    gate: str
    dimension: str
    severity: str
    status: str
    rows: int
    offending: int | None
    measured: float | None
    threshold: Any
    told: str
    sample: str | None
    judged_at: str


class JobDocument(TypedDict):
    """A job: long work, asked for by somebody.

    `outcome` is the report of what was done, or the error that it ended in; null while it goes on.
    """

    id: str
    number: int
    work: str
    pipeline: str
    run: int | None
    caller: str
    state: Literal["waiting", "running", "done", "failed", "cancelled", "lost"]
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: dict[str, Any] | None


class UserDocument(TypedDict):
    """An account of a person or a service."""

    name: str
    kind: str
    roles: list[str]
    enabled: bool
    created_at: str
    disabled_at: str | None


class KeyDocument(TypedDict):
    """A key, as it is told of: never the key."""

    purpose: str
    id: str
    status: str
    made: datetime
    revoked: datetime | None
    reason: str | None
    files: int | None
