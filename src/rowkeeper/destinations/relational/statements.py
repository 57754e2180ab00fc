"""Transactions on their way to the database: repeated where that is right, looked up where it is not known.

One connection is kept for a session. One that breaks is given up, and the next try makes another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from rowkeeper.destinations.relational.dialect import Cursor, Dialect
from rowkeeper.errors import (
    CircuitOpenError,
    DeadlineExceeded,
    DestinationUnreachable,
    FrameworkError,
    LeaseError,
    RetryError,
)
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Happened, Judgement, Outcome
from rowkeeper.resilience.policy import Resilience, Retry

T = TypeVar("T")
Work = Callable[[Cursor], T]
DATABASE = Resilience(retry=Retry(attempts=5, wait_seconds_initial=0.25, wait_seconds_max=4.0), deadline_seconds=None)


class Statements:
    """Transactions with one database.

    Args:
        place: its name, for people.
    """

    def __init__(self, dialect: Dialect, place: str, calls: Calls, policy: Resilience | None) -> None:
        self.dialect = dialect
        self.place = place
        self._line = calls.to(place, "database", policy or DATABASE, DEFAULT.with_rules(_judge_ours, dialect.judge))
        self._connection: Any = None
        self._mark = ""

    def marked(self, mark: str) -> None:
        """From now on the database knows this session by a mark."""
        if mark != self._mark:
            self._mark = mark
            self._give_up()

    def read(self, work: Work[T]) -> T:
        """A transaction that may be repeated: it reads, or leaves the same behind however often it is done."""
        return self._within(work, Effect.READ, None)

    def write(self, work: Work[T], happened: Work[Happened[T] | None]) -> T:
        """A transaction that must take effect once; `happened` looks whether it did, should nobody answer."""
        return self._within(work, Effect.WRITE, lambda: self._once(happened))

    def _within(self, work: Work[T], effect: Effect, happened: Callable[[], Happened[T] | None] | None) -> T:
        try:
            return self._line.call(lambda: self._once(work), effect=effect, happened=happened)
        except (CircuitOpenError, DeadlineExceeded):
            raise
        except RetryError as error:
            cause = error.__cause__
            if isinstance(cause, self.dialect.errors):
                told = self.dialect.told(cause, self.place)
                raise (
                    told if told.retryable else DestinationUnreachable(f"{self.place}: {error.what}", hint=error.hint)
                ) from cause
            raise
        except self.dialect.errors as error:
            raise self.dialect.told(error, self.place) from error

    def _once(self, work: Work[T]) -> T:
        connection = self._connected()
        try:
            cursor = self.dialect.begin(connection)
            found = work(cursor)
            connection.commit()
        except BaseException:
            self._undo(connection)
            raise
        return found

    def _connected(self) -> Any:
        if self._connection is None:
            connection = self.dialect.connect()
            if self._mark:
                self.dialect.mark(connection, self._mark)
            self._connection = connection
        return self._connection

    def _undo(self, connection: Any) -> None:
        try:
            if not self.dialect.is_lost(connection):
                connection.rollback()
        except self.dialect.errors:
            self._give_up()
        if self.dialect.is_lost(connection):
            self._give_up()

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*self.dialect.errors, FrameworkError):
                connection.close()

    def close(self) -> None:
        """Gives the connection back."""
        self._give_up()


def _judge_ours(error: BaseException) -> Judgement | None:
    """Who lost the lease finds it lost however often it tries."""
    return Judgement(Outcome.PERMANENT) if isinstance(error, LeaseError) else None


def rows_of(cursor: Cursor, sql: str) -> list[Any]:
    """The rows of a query."""
    cursor.execute(sql)
    return cursor.fetchall()


def number_of(cursor: Cursor, sql: str) -> int:
    """The one number of a query."""
    return int(rows_of(cursor, sql)[0][0])
