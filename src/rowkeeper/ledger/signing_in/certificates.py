"""Which client certificate is which account: by a name that the certificate bears, or its fingerprint."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import client_certificates


class LedgerCertificates:
    """The client certificates that an installation knows."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def users_of(self, names: Collection[str]) -> set[str]:
        """The accounts that any of these names is of."""
        own = select(client_certificates.c.user).where(client_certificates.c.name.in_(list(names)))
        with reading(self._engine) as connection:
            return set(connection.execute(own).scalars())

    def of(self, user: str) -> list[tuple[str, datetime]]:
        """The names of an account's certificates, and since when."""
        own = select(client_certificates.c.name, client_certificates.c.bound_at)
        own = own.where(client_certificates.c.user == user).order_by(client_certificates.c.name)
        with reading(self._engine) as connection:
            return [(row.name, row.bound_at) for row in connection.execute(own)]

    def bind(self, name: str, user: str) -> bool:
        """From now on a certificate of this name is this account. Returns False if it is one already."""
        with writing(self._engine, "certificate_bind") as connection:
            taken = select(client_certificates.c.user).where(client_certificates.c.name == name)
            if connection.execute(taken).scalar() is not None:
                return False
            connection.execute(insert(client_certificates).values(name=name, user=user, bound_at=self._clock()))
            on = {"certificate": name, "user": self._audit.user_id(connection, user)}
            self._audit.write(connection, Event("user.certify", on))
        return True

    def unbind(self, name: str, user: str) -> bool:
        """It is no more. Returns whether it was."""
        with writing(self._engine, "certificate_unbind") as connection:
            own = (client_certificates.c.name == name) & (client_certificates.c.user == user)
            if connection.execute(delete(client_certificates).where(own)).rowcount != 1:
                return False
            on = {"certificate": name, "user": self._audit.user_id(connection, user)}
            self._audit.write(connection, Event("user.uncertify", on))
        return True
