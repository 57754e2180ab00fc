"""API tokens in the ledger, by the hash of their secret; made and revoked with an audit entry, used without."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine, Row, insert, select, update

from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import api_tokens
from rowkeeper.ledger.signing_in.records import NOBODY, TokenRecord


class LedgerTokens:
    """The API tokens of an installation."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def find(self, hash: str) -> TokenRecord | None:
        """The token whose secret has this hash, also one that is over."""
        with reading(self._engine) as connection:
            row = connection.execute(select(api_tokens).where(api_tokens.c.hash == hash)).one_or_none()
        return None if row is None else _token_of(row)

    def all(self, user: str | None = None) -> list[TokenRecord]:
        """All tokens, or an account's, also those that are over, the newest first."""
        chosen = select(api_tokens).order_by(api_tokens.c.made_at.desc(), api_tokens.c.id)
        if user is not None:
            chosen = chosen.where(api_tokens.c.user == user)
        with reading(self._engine) as connection:
            return [_token_of(row) for row in connection.execute(chosen)]

    def add(self, record: TokenRecord, hash: str) -> None:
        """Adds a token."""
        with writing(self._engine, "token_make") as connection:
            connection.execute(
                insert(api_tokens).values(
                    id=record.id,
                    hash=hash,
                    user=record.user,
                    label=record.label,
                    roles=_listed(record.roles),
                    actions=_listed(record.actions),
                    pipelines=_listed(record.pipelines),
                    made_at=record.made_at,
                    expires_at=record.expires_at,
                )
            )
            detail: dict[str, Any] = {"expires": record.expires_at.isoformat(timespec="seconds")}
            for name in ("roles", "actions", "pipelines"):
                limit = _listed(getattr(record, name))
                detail |= {} if limit is None else {name: limit}
            on = {"token": record.id, "user": self._audit.user_id(connection, record.user)}
            self._audit.write(connection, Event("token.make", on, detail=detail))

    def revoke(self, ids: Collection[str]) -> list[str]:
        """Revokes tokens, as far as they were not. Returns the ids of those that were."""
        with writing(self._engine, "token_revoke") as connection:
            mine = api_tokens.c.id.in_(list(ids)) & api_tokens.c.revoked_at.is_(None)
            rows = connection.execute(select(api_tokens.c.id, api_tokens.c.user).where(mine)).all()
            if not rows:
                return []
            connection.execute(update(api_tokens).where(mine).values(revoked_at=self._clock()))
            events = [
                Event("token.revoke", {"token": row.id, "user": self._audit.user_id(connection, row.user)})
                for row in rows
            ]
            self._audit.write(connection, *events)
            return [row.id for row in rows]

    def refused(self, token: TokenRecord, why: str, address: str | None) -> None:
        """Puts on the record that somebody, at this address, has shown a token that is over.

        Args:
            why: `revoked`, `expired`, or `disabled` of its account.
        """
        with (
            acting(Caller(CallerKind.ANONYMOUS, NOBODY, address=address)),
            writing(self._engine, "token_refuse") as connection,
        ):
            on = {"token": token.id, "user": self._audit.user_id(connection, token.user)}
            self._audit.write(connection, Event("token.use", on, outcome=Outcome.REFUSED, detail={"why": why}))

    def seen(self, id: str) -> None:
        """Notes that it was used just now."""
        with writing(self._engine, "token_seen") as connection:
            connection.execute(update(api_tokens).where(api_tokens.c.id == id).values(seen_at=self._clock()))


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _limit(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _token_of(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        user=row.user,
        label=row.label,
        roles=_limit(row.roles),
        actions=_limit(row.actions),
        pipelines=_limit(row.pipelines),
        made_at=row.made_at,
        expires_at=row.expires_at,
        seen_at=row.seen_at,
        revoked_at=row.revoked_at,
    )
