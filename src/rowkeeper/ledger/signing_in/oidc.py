"""Signing in at an identity provider: attempts under way, and who of the provider's people is which account."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, delete, insert, select

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import oidc_attempts, oidc_identities


class LedgerOidc:
    """What an installation knows of an identity provider's people."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def begin(self, state: str, browser: str, lasts: timedelta) -> None:
        """Notes that somebody was sent to the provider; by hashes."""
        with writing(self._engine, "oidc_begin") as connection:
            now = self._clock()
            connection.execute(delete(oidc_attempts).where(oidc_attempts.c.expires_at < now))
            connection.execute(insert(oidc_attempts).values(state=state, browser=browser, expires_at=now + lasts))

    def take(self, state: str, browser: str) -> bool:
        """Ends an attempt. Returns whether it was under way, in this browser: an answer is good once."""
        with writing(self._engine, "oidc_take") as connection:
            mine = oidc_attempts.c.state == state
            found = connection.execute(select(oidc_attempts).where(mine).with_for_update()).one_or_none()
            connection.execute(delete(oidc_attempts).where(mine))
            return found is not None and found.browser == browser and found.expires_at > self._clock()

    def user_of(self, issuer: str, subject: str) -> str | None:
        """The account of somebody whom the provider names by this."""
        own = (oidc_identities.c.issuer == issuer) & (oidc_identities.c.subject == subject)
        with reading(self._engine) as connection:
            return connection.execute(select(oidc_identities.c.user).where(own)).scalar_one_or_none()

    def subjects_of(self, issuer: str, user: str) -> list[str]:
        """Whom of the provider's people an account is of."""
        own = (oidc_identities.c.issuer == issuer) & (oidc_identities.c.user == user)
        with reading(self._engine) as connection:
            found = connection.execute(select(oidc_identities.c.subject).where(own))
            return sorted(found.scalars())

    def bind(self, issuer: str, subject: str, user: str) -> bool:
        """From now on somebody of the provider's is this account. Returns False if they are one already."""
        with writing(self._engine, "oidc_bind") as connection:
            own = (oidc_identities.c.issuer == issuer) & (oidc_identities.c.subject == subject)
            if connection.execute(select(oidc_identities.c.user).where(own)).scalar() is not None:
                return False
            values = {"issuer": issuer, "subject": subject, "user": user, "bound_at": self._clock()}
            connection.execute(insert(oidc_identities).values(**values))
            on = {"user": self._audit.user_id(connection, user)}
            self._audit.write(connection, Event("user.identify", on, detail={"issuer": issuer}))
        return True

    def loose(self, issuer: str, user: str) -> bool:
        """The account is nobody's of the provider's any more. Returns whether it was."""
        with writing(self._engine, "oidc_loose") as connection:
            own = (oidc_identities.c.issuer == issuer) & (oidc_identities.c.user == user)
            if connection.execute(delete(oidc_identities).where(own)).rowcount == 0:
                return False
            on = {"user": self._audit.user_id(connection, user)}
            self._audit.write(connection, Event("user.unidentify", on, detail={"issuer": issuer}))
        return True
