"""The ledger's database: opened, migrated, and its failures put in our words."""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rowkeeper.errors import (
    ConfigurationError,
    DatabaseError,
    DiskFull,
    FrameworkError,
    IntegrityError,
    LedgerBusy,
    StateError,
)
from rowkeeper.ledger import postgresql
from rowkeeper.ledger.remote import CONNECT_SECONDS_MIN, HAS_CONNECT_TIMEOUT, made_engine, password_of, reach
from rowkeeper.ledger.securing import Transport, connect_securely, remember, transport_of
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.deadline import exceeded, remaining, seconds_left
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.secret import Secret

KEPT_CONNECTIONS = 16  # as many as a server has threads: those beyond would be opened anew for each question
BUSY_SECONDS = 30.0
HASTY_BUSY_SECONDS = 0.25
BUSY_SLICE_MS = 50
QUERY_CANCELED = "57014"  # by `statement_timeout`
DATABASE_BYTES = "pg_catalog.pg_database_size(pg_catalog.current_database())"
MIGRATIONS = Path(__file__).parent / "migrations"


def connect(
    url: str | None,
    home: Path,
    calls: Calls | None = None,
    *,
    transport: Transport | None = None,
    password: Callable[[], Secret] | None = None,
    way_out: WayOut | None = None,
) -> Engine:
    """An engine for the ledger: SQLite in the state folder unless a URL says otherwise.

    Args:
        calls: how another machine is called.
        transport: whether that is by TLS, and whose word is taken.
        password: reads the password of another machine's database, at each connect.
        way_out: which addresses of it are connected to; None leaves it to the driver.
    """
    if url is not None and not url.startswith("sqlite"):
        with explained("opened"):
            try:
                engine = made_engine(url, password)
                remember(engine, transport)
                reach(engine, calls or Calls(), way_out)
                return engine
            except (ImportError, SQLAlchemyError) as error:
                raise ConfigurationError(
                    f"the ledger's URL cannot be used: {type(error).__name__}",
                    hint="ROWKEEPER_LEDGER_URL is a SQLAlchemy URL; its driver must be installed",
                ) from error
    path = home / "ledger.sqlite"
    engine = create_engine(
        url or f"sqlite:///{path}",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=KEPT_CONNECTIONS,
    )
    event.listen(engine, "connect", _tune)
    event.listen(engine, "begin", functools.partial(_begin, BUSY_SECONDS))
    if url is None:
        _make_private(path)
    return engine


def hasty(engine: Engine, way_out: WayOut | None = None) -> Engine:
    """The same database for what may be lost and must not wait: no wait for the disk, next to none for its lock."""
    if engine.dialect.name != "sqlite":
        patience = {"connect_timeout": CONNECT_SECONDS_MIN} if engine.dialect.name in HAS_CONNECT_TIMEOUT else {}
        own = {"pool_size": 1, "pool_timeout": HASTY_BUSY_SECONDS, "connect_args": patience}
        made = made_engine(engine.url, password_of(engine), **own)
        connect_securely(made, transport_of(engine), way_out)
        if made.dialect.name == postgresql.POSTGRESQL:
            postgresql.tune_hasty(made)
        return made
    made = create_engine(engine.url, connect_args={"timeout": HASTY_BUSY_SECONDS, "check_same_thread": False})
    event.listen(made, "connect", _tune_hasty)
    event.listen(made, "begin", functools.partial(_begin, HASTY_BUSY_SECONDS))
    return made


def _make_private(path: Path) -> None:
    """0600 before SQLite writes a byte; the files beside it (-wal, -shm) take over its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StateError(
            f"the ledger {path} cannot be written: {error.strerror}",
            hint="run as the user who owns the state folder, or free some space",
        ) from error


def _tune(connection: sqlite3.Connection, _record: object) -> None:
    """An acknowledged commit survives a power cut: WAL with NORMAL keeps none of 100, with FULL all of them."""
    connection.isolation_level = None  # BEGIN is ours to say
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _tune_hasty(connection: sqlite3.Connection, _record: object) -> None:
    """The journal's mode is the file's own; only this connection leaves syncing to the next commit that needs it."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = NORMAL").close()


def _begin(busy_seconds: float, connection: Connection) -> None:
    """Takes the write lock at the start: a transaction that reads and then writes cannot fail in the middle.

    Only here anybody waits for another process, and a little at a time: SQLite waits in native code, where neither a
    signal nor a deadline reaches it.
    """
    seconds_left()
    if not connection.info.get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    # By the driver: each way through SQLAlchemy takes as long as all that SQLite does for a small step of a run.
    driver: Any = connection.connection.dbapi_connection
    _take_lock(driver, busy_seconds)


def _take_lock(driver: sqlite3.Connection, busy_seconds: float) -> None:
    until = time.monotonic() + busy_seconds
    driver.execute(f"PRAGMA busy_timeout = {BUSY_SLICE_MS}")
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _is_locked(error) or time.monotonic() >= until:
                raise
            seconds_left()
        else:
            break
    driver.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")


def _is_locked(error: BaseException) -> bool:
    return "locked" in str(error).lower()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the ledger."""
    with explained("read"), engine.connect() as connection:
        connection.info["writes"] = ""
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine, step: str) -> Iterator[Connection]:
    """One transaction: all of it or nothing. `step` names its failpoints.

    What is put in `connection.info["after_commit"]` is done once it is committed.
    """
    with explained("written"), engine.connect() as connection:
        connection.info["writes"] = step
        connection.info["after_commit"] = after = list[Callable[[], None]]()
        with connection.begin() as begun:
            yield connection
            failpoint(f"ledger.before_commit:{step}")
            if engine.dialect.name == postgresql.POSTGRESQL:
                postgresql.commit(engine, connection, begun, step)
    for act in after:
        act()
    failpoint(f"ledger.after_commit:{step}")


@contextmanager
def driving(engine: Engine, step: str) -> Iterator[sqlite3.Connection]:
    """As `writing`, for SQLite and by its driver alone: for a step so small that SQLAlchemy would be most of it."""
    with explained("written"):
        seconds_left()
        pooled = engine.raw_connection()
        try:
            driver: Any = pooled.driver_connection
            _take_lock(driver, BUSY_SECONDS)
            yield driver
            failpoint(f"ledger.before_commit:{step}")
            driver.execute("COMMIT")
        finally:
            pooled.close()  # which takes back what was not committed
    failpoint(f"ledger.after_commit:{step}")


@contextmanager
def explained(done: str) -> Iterator[None]:
    """Puts what the database says in our words: never its SQL, never its parameters."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, done) from error
    except DBAPIError as error:
        raise _explain(error.orig or error, done) from error
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"the ledger could not be {done}: {type(error).__name__}", hint="rowkeeper doctor says what is wrong"
        ) from error


def _explain(error: BaseException, done: str) -> FrameworkError:
    if getattr(error, "sqlstate", None) == QUERY_CANCELED and remaining() is not None:
        return exceeded()
    return postgresql.explain(error, done) or _explain_by_words(error, done)


def _explain_by_words(error: BaseException, done: str) -> FrameworkError:
    text = str(error).lower()
    context = {"driver_error": type(error).__name__}
    if "full" in text or "no space" in text:
        return DiskFull(
            "no room left on the disk for the ledger", hint="free some space and run again", context=context
        )
    if "readonly" in text or "permission" in text or "unable to open" in text:
        return StateError(
            f"the ledger could not be {done}: no permission",
            hint="run as the user who owns the state folder",
            context=context,
        )
    if "malformed" in text or "not a database" in text:
        return IntegrityError("the ledger is damaged", hint="restore it from a backup", context=context)
    if _is_locked(error):
        return LedgerBusy(
            f"the ledger was locked by another process for {BUSY_SECONDS:.0f} s", hint="try again", context=context
        )
    return DatabaseError(
        f"the ledger could not be {done}: {type(error).__name__}",
        hint="rowkeeper doctor says what is wrong",
        context=context,
    )


def migrate(engine: Engine) -> None:
    """Brings the ledger to this version's schema, each step in the transaction that notes it.

    Alembic is loaded only if there is a step to take: it costs a tenth of what a command takes to start.

    Raises NewerState if a newer version of Rowkeeper has been here.
    """
    with reading(engine) as connection:
        current = schema_of(connection)
    if current != max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")):
        upgrade = import_module("rowkeeper.ledger.migrating").upgrade  # before anybody waits for the lock
        with writing(engine, "migrate") as connection:
            upgrade(connection, MIGRATIONS)


def revision(engine: Engine) -> str:
    """The schema's version, such as `0004`."""
    with reading(engine) as connection:
        return str(schema_of(connection))


def schema_of(connection: Connection) -> str | None:
    """The schema's version; None of a ledger that is yet to be founded."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def size_bytes(engine: Engine) -> int:
    """How large the ledger is; of PostgreSQL the database that it is in."""
    with reading(engine) as connection:
        if engine.dialect.name != "sqlite":
            return int(
                connection.exec_driver_sql("SELECT pg_catalog.pg_database_size(current_database())").scalar_one()
            )
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        return pages * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def server_time(engine: Engine) -> datetime | None:
    """What time it is at the database's server; None where there is none."""
    if engine.dialect.name != postgresql.POSTGRESQL:
        return None
    with reading(engine) as connection:
        found: datetime = connection.exec_driver_sql("SELECT pg_catalog.clock_timestamp()").scalar_one()
        return found.astimezone(UTC)


def as_bytes(value: object) -> bytes:
    """What a column of bytes holds. SQLite takes text there from somebody who writes the file: that is what it is."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")


def faults(engine: Engine) -> list[str]:
    """What the database says of its own health; empty if it is sound."""
    if engine.dialect.name != "sqlite":
        return []
    with reading(engine) as connection:
        answers: list[Any] = list(connection.exec_driver_sql("PRAGMA integrity_check").scalars())
        broken = list(connection.exec_driver_sql("PRAGMA foreign_key_check"))
    return [str(answer) for answer in answers if answer != "ok"] + [f"{len(broken)} dangling rows"] * bool(broken)
