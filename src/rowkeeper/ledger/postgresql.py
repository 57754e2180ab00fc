"""How transactions of a ledger on PostgreSQL begin and end.

    a reader   sees one state of the ledger (REPEATABLE READ), and waits for nobody
    a writer   takes a lock that all writers of this ledger take, as SQLite's do, and sees what the last one committed

So what is read before it is written is still so when it is written, no transaction is rolled back for another's sake,
and none waits for another in a circle. The lock is an advisory one, of the transaction: it needs no rights, passes
through a pool of transactions (PgBouncer), and falls with the transaction, however that ends. A writer that falls
silent in the midst of one (its process stopped, its machine gone) is ended by the server before those who wait give up.

A commit whose answer was lost is looked up. Each writer's transaction leaves its number in the table `writers`; whoever
does not know whether it was committed connects again, takes the lock, which the lost transaction holds for as long as
it may still be committed, and reads the number.
"""

from __future__ import annotations

import functools
import select
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from rowkeeper.errors import (
    CommitUnknown,
    DiskFull,
    FrameworkError,
    IntegrityError,
    LedgerBusy,
    LedgerCrowded,
    LedgerForbids,
    LedgerLost,
    LedgerReadOnly,
    LedgerUnreachable,
)
from rowkeeper.resilience.deadline import sql_seconds_left

POSTGRESQL = "postgresql"
DRIVER = "psycopg"  # takes several statements in one round trip, and is told here when a transaction begins
LOCK_SECONDS = 30.0
SILENT_SECONDS = 20  # in the midst of a transaction; those who wait for the lock have more
HASTY_LOCK_SECONDS = 0.25
FOUNDING = "migrate"  # the step before which there is no table of writers
LOOKING = "look"  # what is written is looked up, under the lock
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('{of} ' || current_schema(), 0))"
FORGET = "DELETE FROM writers WHERE at < now() - interval '1 day'"
MARK = (
    "INSERT INTO writers (writer, transactions, at) VALUES ('{writer}', {number}, now()) "
    "ON CONFLICT (writer) DO UPDATE SET transactions = excluded.transactions, at = excluded.at"
)
MARKED = "SELECT transactions FROM writers WHERE writer = '{writer}'"
# A peer that is gone is known within half a minute: libpq waits for ever by itself.
ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}


def tune(engine: Engine) -> None:
    """Lets each transaction of an engine begin as one of a reader or of a writer, as `connection.info` says."""
    _tune(engine, functools.partial(_begun, "rowkeeper ledger", LOCK_SECONDS))


def tune_hasty(engine: Engine) -> None:
    """As `tune`, for what may be lost: a lock of its own, hardly waited for, and no wait for the server's disk."""
    _tune(engine, functools.partial(_begun, "rowkeeper breakers", HASTY_LOCK_SECONDS))


def _tune(engine: Engine, begun: Callable[[Connection], list[str]]) -> None:
    by_us = engine.dialect.driver == DRIVER
    if by_us:
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "checkout", _on_checkout)

    def begin(connection: Connection) -> None:
        statements = begun(connection)
        for each in ["; ".join(statements)] if by_us else ["ROLLBACK", *statements]:
            connection.exec_driver_sql(each)

    event.listen(engine, "begin", begin)


def _on_connect(connection: Any, _record: object) -> None:
    connection.autocommit = True  # BEGIN is ours to say
    connection.prepare_threshold = None  # behind a pool the next transaction may be on another connection


def _on_checkout(connection: Any, _record: object, _proxy: object) -> None:
    """One that the server has closed meanwhile has something to read; an idle one has not. That costs no round trip."""
    if not connection.closed:
        ears = select.poll()
        ears.register(connection.fileno(), select.POLLIN)
        if not ears.poll(0):
            return
    raise DisconnectionError("the server has closed it")


def _begun(lock: str, wait_seconds: float, connection: Connection) -> list[str]:
    """The statements with which a transaction begins."""
    left = sql_seconds_left()
    limit = [] if left is None else [f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}"]
    step = connection.info.get("writes")
    if not step:
        return [READ, *limit]
    hasty = wait_seconds < LOCK_SECONDS
    said = [
        WRITE,
        f"SET LOCAL lock_timeout = {int(wait_seconds * 1000)}",
        f"SET LOCAL idle_in_transaction_session_timeout = '{SILENT_SECONDS}s'",
        *(["SET LOCAL synchronous_commit = off"] if hasty else []),
        *limit,
        LOCK.format(of=lock),
    ]
    return said if hasty or step in (FOUNDING, LOOKING) else said + _marked(connection)


def _marked(connection: Connection) -> list[str]:
    """The statements that number this transaction."""
    info = connection.info
    first = "writer" not in info
    writer = info.setdefault("writer", uuid.uuid4().hex)
    info["transactions"] = number = info.get("transactions", 0) + 1
    return [*([FORGET] if first else []), MARK.format(writer=writer, number=number)]


# --------------------------------------------------------------------------------------------- commits


def commit(engine: Engine, connection: Connection, begun: RootTransaction, step: str) -> None:
    """Commits a writer's transaction. What has no number (the founding; what may be lost) is not looked up.

    Raises:
        LedgerLost: the connection broke, and nothing of the transaction was written.
        CommitUnknown: the connection broke, and the server cannot be asked whether it was written.
    """
    info = dict(connection.info)  # with the connection it is gone
    try:
        begun.commit()
    except DBAPIError as error:
        if not error.connection_invalidated or step == FOUNDING or "writer" not in info:
            raise
        if not _was_committed(engine, info["writer"], info["transactions"]):
            raise LedgerLost(
                "the connection to the ledger broke while it was written to; nothing of this step was written",
                hint="run again: it goes on where it stopped",
            ) from error


def _was_committed(engine: Engine, writer: str, number: int) -> bool:
    """Asks, as soon as the server can say it for good. Raises CommitUnknown if it does not."""
    try:
        with engine.connect() as connection:
            connection.info["writes"] = LOOKING
            with connection.begin() as begun:
                found = connection.exec_driver_sql(MARKED.format(writer=writer)).scalar()
                begun.rollback()
        return found == number
    except (SQLAlchemyError, FrameworkError) as error:
        raise CommitUnknown(
            "the connection to the ledger broke at a commit, and its server cannot be asked whether that took effect",
            hint="when the server is back, run again: the next command finds out, and nothing is done twice",
        ) from error


# ---------------------------------------------------------------------------------------------- errors


Told = tuple[tuple[str, ...], tuple[str, ...], type[FrameworkError], str, str]
"""By which SQLSTATEs it is known, or, where a driver gives none, by which words of libpq's; our error, what, hint."""

TOLD: tuple[Told, ...] = (
    (
        ("53100",),
        ("no space left",),
        DiskFull,
        "no room left on the disk of the ledger's server",
        "free some space there, and run again: it goes on where it stopped",
    ),
    (
        ("53300",),
        ("too many clients", "too many connections", "connection slots"),
        LedgerCrowded,
        "the ledger's server takes no more connections",
        "try again later, or raise max_connections there: a command takes three, a server up to twenty",
    ),
    (
        ("25006",),
        ("read-only",),
        LedgerReadOnly,
        "the ledger's server takes no writes: it is a standby, or was made read-only",
        "let ROWKEEPER_LEDGER_URL lead to the primary (with several hosts: target_session_attrs=read-write)",
    ),
    (
        ("55P03", "40001", "40P01"),
        (),
        LedgerBusy,
        f"the ledger was locked by another process for {LOCK_SECONDS:.0f} s",
        "try again",
    ),
    (
        ("57014",),
        (),
        LedgerBusy,
        "the ledger's server ended a statement that took too long for it (statement_timeout)",
        "try again; if it stays so, see to what its server is busy with",
    ),
    (
        ("42501", "28000", "28P01", "3D000", "3F000"),
        ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted to log in", "no password"),
        LedgerForbids,
        "the ledger could not be {done}: its server does not let us in, or not do that",
        "docs/ledger-postgresql.md lists the rights that its user needs; see to database, user and password",
    ),
    (("XX001", "XX002"), (), IntegrityError, "the ledger is damaged", "restore it from a backup"),
    (
        ("57P03",),
        ("refused", "starting up", "shutting down", "recovery mode", "not yet accepting", "timeout expired",
         "could not translate", "no such file", "looked up", "no route"),
        LedgerUnreachable,
        "the ledger's server does not answer",
        "see that it is up, and that ROWKEEPER_LEDGER_URL leads to it; then run again: it goes on where it stopped",
    ),
    (
        ("57P01", "57P02", "57P05", "25P03", "25P04", "08000", "08003", "08006", "08P01"),
        ("server closed the connection", "terminating connection", "connection is lost", "connection is closed",
         "consuming input", "sending query", "could not receive", "could not send", "ssl syscall"),
        LedgerLost,
        "the connection to the ledger broke while it was {done}; nothing of this step was written",
        "run again: it goes on where it stopped",
    ),
)  # fmt: skip


def explain(error: BaseException, done: str) -> FrameworkError | None:
    """What a driver of PostgreSQL says, in our words; None of what is not known, or of another driver.

    Never the server's own words, which may hold values.
    """
    if isinstance(error, sqlite3.Error):
        return None
    state, text = getattr(error, "sqlstate", None), str(error).lower()
    context = {"driver_error": type(error).__name__, **({} if state is None else {"sqlstate": state})}
    for states, words, of, what, hint in TOLD:
        if state in states or (state is None and any(each in text for each in words)):
            return of(what.format(done=done), hint=hint, context=context)
    return None
