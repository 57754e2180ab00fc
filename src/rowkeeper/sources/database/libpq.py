"""One connection to PostgreSQL, asked by libpq itself: every wait has an end, and rows come as the bytes of a COPY.

psycopg's own cursors wait for as long as the server likes, and make a Python object of every value.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from rowkeeper.resilience.deadline import seconds_left, sql_seconds_left
from rowkeeper.sources.database.described import Sizes

if TYPE_CHECKING:
    import psycopg

STEP_SECONDS_MAX = 60.0  # for which a server that is at work may say nothing
SLICE_SECONDS = 0.5  # after which it is looked whether anybody still waits
MILLISECONDS = 1000


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """Nobody waits for the rows any more."""


class Asking:
    """A connection that is asked one thing at a time.

    Args:
        stop: set when nobody waits any more.
    """

    def __init__(self, connection: psycopg.Connection[Any], stop: threading.Event | None = None) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._stop = stop

    def close(self) -> None:
        """Gives the connection back; what it was doing ends at the server."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def rows(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of the last of some statements, each value as text. Raises psycopg.Error, TimeoutError."""
        found = self.result(sql)
        return [
            tuple(
                [None if (value := found.get_value(row, at)) is None else value.decode() for at in range(found.nfields)]
            )
            for row in range(found.ntuples)
        ]

    def result(self, sql: str) -> Any:
        """What the last of some statements gave, as libpq holds it."""
        self._send(sql)
        last = None
        while (found := self._next()) is not None:
            last = found
        return last

    def lines(self, sql: str, sizes: Sizes) -> tuple[list[bytes], bool]:
        """The rows of a query as lines of CSV, and whether it gave up because they are large.

        After that, the connection is of no use any more.
        """
        lines: list[bytes] = []
        size = 0
        with contextlib.closing(self._copied(sql)) as rows:
            for line in rows:
                lines.append(line)
                size += len(line)
                if size > sizes.size_bytes:
                    return lines, True
        return lines, False

    def stream(self, sql: str, sizes: Sizes) -> Iterator[list[bytes]]:
        """The same for a query of any length, some rows at a time."""
        lines: list[bytes] = []
        size = 0
        for line in self._copied(sql, limited=False):
            lines.append(line)
            size += len(line)
            if size > sizes.size_bytes or len(lines) >= sizes.rows:
                yield lines
                lines, size = [], 0
        if lines:
            yield lines

    def _copied(self, sql: str, *, limited: bool = True) -> Generator[bytes, None, None]:
        left = sql_seconds_left() if limited else None
        milliseconds = 0 if left is None else max(1, int(left * MILLISECONDS))
        self._send(f"SET LOCAL statement_timeout = {milliseconds}; COPY ({sql}) TO STDOUT (FORMAT csv)")
        self._next()  # of SET; raises if it, or the parsing of both, failed
        self._next()  # of COPY: it begins
        get = self._pg.get_copy_data
        while True:
            size, data = get(1)
            if size > 0:
                yield bytes(data)
            elif size == 0:
                self._wait()
            else:
                break
        while self._next() is not None:
            pass

    def _send(self, sql: str) -> None:
        self._pg.send_query(sql.encode())

    def _next(self) -> Any:
        """The next result; None after the last. Raises what the server said was wrong."""
        import psycopg  # noqa: PLC0415 - of an extra, and slow to import

        while self._pg.is_busy():
            self._wait()
        found = self._pg.get_result()
        if found is not None and found.status in (
            psycopg.pq.ExecStatus.FATAL_ERROR,
            psycopg.pq.ExecStatus.BAD_RESPONSE,
        ):
            error = psycopg.errors.error_from_result(found, encoding="utf-8")
            while self._pg.get_result() is not None:  # the server says no more than that it is ready again
                pass
            raise error
        return found

    def _wait(self) -> None:
        """Until the server says something. Raises TimeoutError, DeadlineExceeded, Stopped."""
        poll = select.poll()
        poll.register(self._pg.socket, select.POLLIN)
        waited = 0.0
        while True:
            limit = min(seconds_left(STEP_SECONDS_MAX) or SLICE_SECONDS, SLICE_SECONDS)
            if poll.poll(limit * MILLISECONDS):
                self._pg.consume_input()
                return
            waited += limit
            if self._stop is not None and self._stop.is_set():
                raise Stopped
            if waited >= STEP_SECONDS_MAX:
                raise TimeoutError("the database says nothing")
