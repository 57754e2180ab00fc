"""The number by which a process sees that accounts, roles or grants were changed: in the ledger, and cheap to read."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, select, update

from rowkeeper.ledger.database import reading
from rowkeeper.ledger.schema import access_version

ONE = access_version.c.id == 1


class AccessVersion:
    """Counts changes of what somebody may do, and tells this process of its own at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls this after each change that is committed by this process."""
        self._listeners.append(listener)

    def number(self) -> int:
        """The number now. Raises DatabaseError."""
        with reading(self._engine) as connection:
            return number_in(connection)

    def bump(self, connection: Connection) -> None:
        """Counts on, as part of the transaction of a change."""
        connection.execute(update(access_version).where(ONE).values(number=access_version.c.number + 1))
        connection.info["after_commit"].append(self._tell)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def number_in(connection: Connection) -> int:
    """The number, as this transaction sees it."""
    return int(connection.execute(select(access_version.c.number).where(ONE)).scalar_one())
