"""Sessions and API tokens as documents: the same by command and by request."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict

from rowkeeper.ledger.signing_in import SessionRecord, TokenRecord


class SessionDocument(TypedDict):
    """Somebody who has signed in."""

    id: str
    user: str
    by: str
    address: str | None
    made_at: str
    seen_at: str
    expires_at: str
    ended_at: str | None
    ended_by: str | None


class TokenDocument(TypedDict):
    """An API token, without its text."""

    id: str
    user: str
    label: str
    roles: list[str] | None
    actions: list[str] | None
    pipelines: list[str] | None
    made_at: str
    expires_at: str
    seen_at: str | None
    revoked_at: str | None


def session_document(session: SessionRecord) -> SessionDocument:
    """A session as JSON values."""
    return {
        "id": session.id,
        "user": session.user,
        "by": session.by,
        "address": session.address,
        "made_at": _at(session.made_at),
        "seen_at": _at(session.seen_at),
        "expires_at": _at(session.expires_at),
        "ended_at": None if session.ended_at is None else _at(session.ended_at),
        "ended_by": session.ended_by,
    }


def token_document(token: TokenRecord) -> TokenDocument:
    """An API token as JSON values."""
    return {
        "id": token.id,
        "user": token.user,
        "label": token.label,
        "roles": _listed(token.roles),
        "actions": _listed(token.actions),
        "pipelines": _listed(token.pipelines),
        "made_at": _at(token.made_at),
        "expires_at": _at(token.expires_at),
        "seen_at": None if token.seen_at is None else _at(token.seen_at),
        "revoked_at": None if token.revoked_at is None else _at(token.revoked_at),
    }


def _at(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
