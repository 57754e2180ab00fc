"""Second factors in the ledger: the sealed secret, the newest step that was used, hashes of recovery codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import recovery_codes, second_factors
from rowkeeper.ledger.signing_in.records import FactorRecord


class LedgerFactors:
    """The second factors of an installation."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def find(self, user: str) -> FactorRecord | None:
        """An account's second factor, also one whose first code is waited for."""
        with reading(self._engine) as connection:
            row = connection.execute(select(second_factors).where(second_factors.c.user == user)).one_or_none()
            unused = (recovery_codes.c.user == user) & recovery_codes.c.used_at.is_(None)
            left = connection.execute(select(func.count()).select_from(recovery_codes).where(unused)).scalar_one()
        if row is None:
            return None
        return FactorRecord(user, row.sealed, row.key_id, row.made_at, row.confirmed_at, row.used_step, left)

    def put(self, user: str, sealed: bytes, key_id: int) -> None:
        """Begins an enrolment, in the place of one that was not confirmed, or of the factor there was."""
        with writing(self._engine, "factor_put") as connection:
            _drop(connection, user)
            row = {"sealed": sealed, "key_id": key_id, "made_at": self._clock(), "used_step": 0}
            connection.execute(insert(second_factors).values(user=user, **row))
            self._note(connection, "totp.enrol", user)

    def reseal(self, user: str, before: bytes, sealed: bytes, key_id: int) -> None:
        """The same secret, sealed with another key: no change of it."""
        same = (second_factors.c.user == user) & (second_factors.c.sealed == before)
        with writing(self._engine, "factor_reseal") as connection:
            connection.execute(update(second_factors).where(same).values(sealed=sealed, key_id=key_id))

    def confirm(self, user: str, step: int, codes: Sequence[str]) -> bool:
        """From now on it is asked for. Returns whether there was one to confirm, and this step's code was unused.

        Args:
            codes: hashes of recovery codes.
        """
        with writing(self._engine, "factor_confirm") as connection:
            waiting = (second_factors.c.user == user) & second_factors.c.confirmed_at.is_(None)
            done = connection.execute(
                update(second_factors).where(waiting).values(confirmed_at=self._clock(), used_step=step)
            )
            if done.rowcount != 1:
                return False
            connection.execute(insert(recovery_codes), [{"hash": each, "user": user} for each in codes])
            self._note(connection, "totp.confirm", user)
        return True

    def use(self, user: str, step: int | None, recovery_code: str | None) -> bool:
        """Takes a code as used, if one was wanted. Returns False if it was used before."""
        with writing(self._engine, "factor_use") as connection:
            if recovery_code is not None:
                return use_recovery_code(connection, user, recovery_code, self._clock())
            return step is None or use_step(connection, user, step)

    def remove(self, user: str) -> bool:
        """Takes the second factor away, its recovery codes with it. Returns whether there was one."""
        with writing(self._engine, "factor_remove") as connection:
            if not _drop(connection, user):
                return False
            self._note(connection, "totp.remove", user)
        return True

    def key_ids(self) -> Counter[int]:
        """How many are sealed with which key."""
        counts = select(second_factors.c.key_id, func.count()).group_by(second_factors.c.key_id)
        with reading(self._engine) as connection:
            return Counter({int(row[0]): int(row[1]) for row in connection.execute(counts)})

    def _note(self, connection: Connection, action: str, user: str) -> None:
        self._audit.write(connection, Event(action, {"user": self._audit.user_id(connection, user)}))


def use_step(connection: Connection, user: str, step: int) -> bool:
    """Takes a time step's code as used, as part of a transaction. Returns False if it or a later one was."""
    unused = (second_factors.c.user == user) & (second_factors.c.used_step < step)
    confirmed = second_factors.c.confirmed_at.is_not(None)
    done = connection.execute(update(second_factors).where(unused & confirmed).values(used_step=step))
    return done.rowcount == 1


def use_recovery_code(connection: Connection, user: str, hash: str, at: object) -> bool:
    """Takes a recovery code as used, as part of a transaction. Returns False if there is none, or it was."""
    unused = (recovery_codes.c.hash == hash) & (recovery_codes.c.user == user) & recovery_codes.c.used_at.is_(None)
    return connection.execute(update(recovery_codes).where(unused).values(used_at=at)).rowcount == 1


def _drop(connection: Connection, user: str) -> bool:
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user == user))
    return connection.execute(delete(second_factors).where(second_factors.c.user == user)).rowcount == 1
