"""The first user: made once, with a token that is good once, in one transaction that finds that there is none."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import first_user_tokens, user_roles, users
from rowkeeper.ledger.signing_in.passwords import put_password
from rowkeeper.ledger.signing_in.records import NOBODY

CLAIM = "user.first"


class LedgerFirstUser:
    """Offers the first user's place, and gives it away once."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def is_open(self) -> bool:
        """Whether there are no people yet."""
        with reading(self._engine) as connection:
            return _is_open(connection)

    def offer(self, hash: str, lasts: timedelta) -> bool:
        """From now on the token of this hash is good, and none of before. Returns False if there are people."""
        with writing(self._engine, "first_user_offer") as connection:
            if not _is_open(connection):
                return False
            connection.execute(delete(first_user_tokens))
            until: datetime = self._clock() + lasts
            connection.execute(insert(first_user_tokens).values(id=1, hash=hash, expires_at=until))
            self._audit.write(connection, Event("user.offer", detail={"until": until.isoformat(timespec="seconds")}))
        return True

    def claim(self, hash: str, name: str, password_hash: str, role: str, address: str) -> bool:
        """Makes the first user, if the token is good. Returns whether it did; a refusal is on the record."""
        caller = Caller(CallerKind.ANONYMOUS, NOBODY, address=address)
        with acting(caller), writing(self._engine, "first_user_claim") as connection:
            now = self._clock()
            good = (first_user_tokens.c.hash == hash) & first_user_tokens.c.used_at.is_(None)
            good &= first_user_tokens.c.expires_at > now
            used = connection.execute(update(first_user_tokens).where(good).values(used_at=now)).rowcount == 1
            taken = connection.execute(select(users.c.name).where(users.c.name == name)).scalar() is not None
            if not used or not _is_open(connection) or taken:
                self._audit.write(connection, Event(CLAIM, outcome=Outcome.REFUSED))
                return False
            connection.execute(insert(users).values(name=name, kind=CallerKind.USER.value, created_at=now))
            connection.execute(insert(user_roles).values(user=name, role=role))
            put_password(connection, name, password_hash, now)
            on = {"user": self._audit.user_id(connection, name)}
            self._audit.write(connection, Event(CLAIM, on, detail={"roles": [role]}))
        return True

    def refuse(self, address: str) -> None:
        """Puts a refusal on the record, of a request that is not looked at further."""
        with acting(Caller(CallerKind.ANONYMOUS, NOBODY, address=address)):
            self._audit.record(Event(CLAIM, outcome=Outcome.REFUSED))


def _is_open(connection: Connection) -> bool:
    people = select(func.count()).select_from(users).where(users.c.kind == CallerKind.USER.value)
    return connection.execute(people).scalar_one() == 0
