"""A ledger on another machine: connecting to it goes the one way that calls go.

A transaction that breaks is not repeated: the next command goes on where this one stood, as after any death of a
process. What becomes of a commit whose answer is lost, `postgresql.py` sees to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine import Dialect

from rowkeeper.errors import CircuitOpenError, DeadlineExceeded, RetryError
from rowkeeper.ledger import postgresql
from rowkeeper.ledger.pinning import kept, pinned
from rowkeeper.ledger.securing import explained, secured, transport_of
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.security.secret import Secret

CONNECTING = Resilience(
    retry=Retry(attempts=6, wait_seconds_initial=0.25, wait_seconds_max=4.0, attempt_seconds_max=10.0),
    deadline_seconds=30.0,
)
HAS_CONNECT_TIMEOUT = ("postgresql", "mysql", "mariadb")  # by this name, in their usual drivers
CONNECT_SECONDS_MIN = 2  # libpq takes 1 for 2
PASSWORD = "rowkeeper_password"  # noqa: S105 - the name of an option


def made_engine(url: str | URL, password: Callable[[], Secret] | None = None, **arguments: Any) -> Engine:
    """An engine whose URL has no password: it is read at each connect, as it may change."""
    place = make_url(url)
    if place.drivername == postgresql.POSTGRESQL:
        place = place.set(drivername=f"{place.drivername}+{postgresql.DRIVER}")
    arguments["pool_pre_ping"] = place.get_driver_name() != postgresql.DRIVER  # of that it is seen without asking
    engine = create_engine(place, execution_options={PASSWORD: password}, **arguments)
    if password is None:
        return engine

    def supply(dialect: Dialect, _record: object, args: list[Any], options: dict[str, Any]) -> None:
        in_full = engine.url.set(password=password().reveal())
        fresh_args, fresh = dialect.create_connect_args(in_full)  # each driver has a word of its own for it
        args[:] = fresh_args
        for name, value in fresh.items():
            options.setdefault(name, value)

    event.listen(engine, "do_connect", supply)
    return engine


def password_of(engine: Engine) -> Callable[[], Secret] | None:
    """What reads the password of an engine that was made here."""
    found: Callable[[], Secret] | None = engine.get_execution_options().get(PASSWORD)
    return found


def reach(engine: Engine, calls: Calls, way_out: WayOut | None = None) -> None:
    """Lets an engine connect by the one way, to checked addresses; and its transactions begin as this database's do."""
    host = engine.url.host or engine.url.query.get("host") or "elsewhere"
    dbapi = engine.dialect.loaded_dbapi

    def never_connected(error: BaseException) -> Judgement | None:
        """Drivers say no more than this of a server that is not up; who may not in is refused for good."""
        if not isinstance(error, dbapi.OperationalError) or getattr(error, "sqlstate", None) is not None:
            return None
        return Judgement(Outcome.PERMANENT if "authentication" in str(error) else Outcome.TRANSIENT)

    line = calls.to(f"ledger on {host}", "connect", CONNECTING, DEFAULT.with_rules(never_connected))

    def connect(dialect: Dialect, _record: object, args: list[Any], options: dict[str, Any]) -> Any:
        transport = transport_of(engine)
        demanded = secured(dialect.driver, options, transport)

        def once() -> Any:
            given = _with_limits(dialect, pinned(dialect, demanded, way_out))
            try:
                return kept(dialect, dialect.connect(*args, **given), way_out)
            except dbapi.OperationalError as error:
                told = explained(error, dialect.driver, given, transport)
                if told is not None:
                    raise told from error
                raise

        try:
            return line.call(once, effect=Effect.READ)
        except (CircuitOpenError, DeadlineExceeded):
            raise
        except RetryError as error:
            raise error.__cause__ or error  # noqa: B904 - the driver's own error, for SQLAlchemy

    event.listen(engine, "do_connect", connect)
    if engine.dialect.name == postgresql.POSTGRESQL:
        postgresql.tune(engine)


def _with_limits(dialect: Dialect, given: Mapping[str, Any]) -> dict[str, Any]:
    """How long a connect may take, and how a peer that is gone is known; what the URL says of that stays."""
    limit = seconds_left()
    bounded = limit is not None and dialect.name in HAS_CONNECT_TIMEOUT
    timeout = {"connect_timeout": max(CONNECT_SECONDS_MIN, math.ceil(limit or 0))} if bounded else {}
    return {**(postgresql.ALIVE if dialect.driver == postgresql.DRIVER else {}), **given, **timeout}
