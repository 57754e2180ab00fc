"""What answers hold, as far as several topics share it. The functions behind the commands make the same documents."""

from __future__ import annotations

from typing import Any

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
    fingerprint: str
    reverses: int | None
    started_at: str
    finished_at: str | None
    seconds: float | None
    error: dict[str, Any] | None
    note: str | None
    degraded: list[Any]
