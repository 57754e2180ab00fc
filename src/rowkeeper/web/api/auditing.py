"""The audit trail: read, verified, proved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse
from typing_extensions import TypedDict

from rowkeeper.access import of_installation
from rowkeeper.ledger.audit.listing import Wanted
from rowkeeper.operations.auditing import entry_document, list_entries, prove_entry, verify_trail
from rowkeeper.web.api.paging import LIMIT, NUMBER_MAX, Limit
from rowkeeper.web.governed import Routes, asks
from rowkeeper.web.house import Space

routes = Routes("audit")


class EntryFrom(TypedDict):
    """From where something was done."""

    host: str
    process: int
    address: str | None
    session: str | None


EntryDocument = TypedDict(
    "EntryDocument",
    {
        "number": int,
        "at": datetime,
        "who": str,
        "name": str | None,
        "from": EntryFrom,
        "action": str,
        "on": dict[str, Any],
        "outcome": str,
        "detail": dict[str, Any],
        "purpose": str | None,
        "reason": str | None,
    },
)
"""One entry of the trail."""


class EntryList(TypedDict):
    """Entries in order, the newest last."""

    entries: list[EntryDocument]


class Verdict(TypedDict):
    """What a verification found."""

    sound: bool
    entries: int
    against: dict[str, Any]
    findings: list[Any]
    unreachable: dict[str, str]
    lags: dict[str, int]
    checkpoint: str


class Kept(BaseModel):
    """A signed checkpoint that was kept elsewhere: the trail must go on from it."""

    model_config = ConfigDict(extra="forbid")
    since: Annotated[str | None, Field(max_length=10_000)] = None


@routes.get("/audit", asks("audit.list"))
def show_audit(
    space: Space,
    limit: Limit = LIMIT,
    action: Annotated[
        str | None,
        Query(pattern=r"^[a-z_.]{1,64}$", description="Only these: run.publish, or run for all that begin with it."),
    ] = None,
) -> EntryList:
    """The newest entries: who did what, to what, from where, when and why."""
    found = list_entries(space, limit=limit, wanted=Wanted(actions=() if action is None else (action,)))
    return {"entries": [cast("EntryDocument", entry_document(each)) for each in found]}


@routes.post("/audit/verify", asks("audit.list"))
def verify_audit(space: Space, kept: Kept) -> Verdict:
    """Hashes the whole trail anew, and compares it with what was signed."""
    given = {} if kept.since is None else {"the request": kept.since}
    return cast("Verdict", verify_trail(space, given).as_dict())


@routes.get("/audit/{number}/proof", asks("audit.list"), response_class=PlainTextResponse)
def prove_audit(
    space: Space, number: Annotated[int, Path(ge=0, le=NUMBER_MAX, description="The number of an entry.")]
) -> PlainTextResponse:
    """The proof that an entry is in the trail, for `rowkeeper audit check-proof`, which trusts no database."""
    return PlainTextResponse(prove_entry(space, number))


@routes.get("/audit/checkpoint", asks("audit.list"), response_class=PlainTextResponse)
def show_checkpoint(space: Space) -> PlainTextResponse:
    """The newest signed checkpoint, to be kept elsewhere (c2sp.org/tlog-checkpoint)."""
    space.access.require("audit.list", of_installation())
    return PlainTextResponse(space.ledger.audit.head()[1])
