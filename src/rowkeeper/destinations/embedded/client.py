"""A clickhouse-connect client for the embedded engine: the ordinary driver over a Unix socket."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import connect, ensure_host
from rowkeeper.destinations.mergetree.oneplace import OnePlace
from rowkeeper.errors import (
    CircuitOpenError,
    DatabaseError,
    DeadlineExceeded,
    DiskFull,
    EngineDied,
    EngineMemory,
    FrameworkError,
    RetryError,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.classifying import Classifier
from rowkeeper.resilience.deadline import exceeded, remaining, sql_seconds_left
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry
from rowkeeper.resilience.sockets import bounded

# What fails is raised, and told in our words. Without a handler the driver's warnings would go, with tracebacks, to
# standard error.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

HOST = "embedded engine"
# A statement takes as long as it takes, and the caller's deadline is the only one. An engine that dies at every
# statement is left alone for a while: each start of it costs seconds.
ENGINE = Resilience(
    retry=Retry(attempts=3, wait_seconds_initial=0.02, wait_seconds_max=0.2, attempt_seconds_max=None),
    breaker=CircuitBreaker(slow_seconds=24 * 3600.0, slow_rate=1.0),
    deadline_seconds=None,
)
REFUSALS = (OSError, urllib3.exceptions.HTTPError, ClickHouseError)
OUT_OF_SPACE = re.compile(r"No space left|NOT_ENOUGH_SPACE|ENOSPC|Code: 243\b")
CODE_NOT_ENOUGH_SPACE = 243
CODE_TIMEOUT_EXCEEDED = 159
CODE_MEMORY_LIMIT_EXCEEDED = 241
CODE_AUTHENTICATION = 516
TIME_LIMIT = "max_execution_time"
# Settings that a governed query is run with: its limits, and that the engine does with it what was looked at.
GOVERNING = frozenset(
    {"enable_analyzer", "limit", "max_result_bytes", "prefer_column_name_to_alias", "result_overflow_mode"}
)
# A statement ends when the engine says so: giving up on one that goes on would look like an engine that died. Only a
# deadline ends it sooner, at the engine first (`max_execution_time`) and then at the socket.
ANSWER_SECONDS_MAX = 7 * 24 * 3600


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, places: EnginePlaces) -> None:
        super().__init__("localhost", maxsize=8)
        self._places = places

    def _new_conn(self) -> Any:
        return _UrllibConnection(self._places)


class _UrllibConnection(urllib3.connection.HTTPConnection):
    def __init__(self, places: EnginePlaces) -> None:
        super().__init__("localhost")
        self._places = places

    def _new_conn(self) -> Any:
        try:
            return bounded(connect(self._places, None))
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, "no host is up") from error


def close(client: Client) -> None:
    """Gives a client's connections back; `close` alone leaves a pool open that the driver did not make."""
    client.close()
    client.close_connections()


def engine_client(site: Site, *, writes: bool, policy: Resilience = ENGINE) -> Client:
    """Connects to the embedded engine, starting its host if none is up.

    Args:
        writes: as the user `rowkeeper`; otherwise as `default`, read only for good.

    Raises:
        DatabaseError: the engine cannot be started or reached.
        RetryError: there is no time for it, or it failed so often that it is left alone.
    """
    line = site.calls.to(HOST, "connect", policy, Classifier((judge_connecting,)))
    with told_in_our_words():
        return line.call(lambda: connected(site, writes=writes), effect=Effect.READ)


@contextmanager
def told_in_our_words() -> Iterator[None]:
    """Raises what the driver said in our words, also where it was said at the last of several tries."""
    try:
        yield
    except RetryError as error:
        cause = _behind(error)
        if isinstance(cause, REFUSALS):
            raise explain(cause) from cause
        raise cause  # noqa: B904 - it has its own cause
    except REFUSALS as error:
        raise explain(error) from error


def _behind(error: BaseException) -> BaseException:
    """What the tries, and the looks, ended in; the error itself where it says more than that."""
    at = error
    while isinstance(at, RetryError) and not isinstance(at, (CircuitOpenError, DeadlineExceeded)) and at.__cause__:
        at = at.__cause__
    return at


def connected(site: Site, *, writes: bool) -> Client:
    """One try to connect, starting the host if none is up."""
    places = ensure_host(site)
    pool = OnePlace(lambda: _Pool(places))
    try:
        client = clickhouse_connect.get_client(
            host="localhost",
            username="rowkeeper" if writes else "default",
            password=places.secret.read_text() if writes else "",
            pool_mgr=pool,
            compress=False,
            send_receive_timeout=ANSWER_SECONDS_MAX,
            autogenerate_session_id=False,
            show_clickhouse_errors=True,
        )
    except REFUSALS:
        pool.clear()
        raise
    # The host takes a shorter time from a user who only reads as well, which ClickHouse would not.
    client.valid_transport_settings = client.valid_transport_settings | {TIME_LIMIT, *GOVERNING}
    return client


def time_limit() -> dict[str, Any]:
    """The setting that ends a statement at the deadline; none without one. Raises DeadlineExceeded if it has passed."""
    left = sql_seconds_left()
    return {} if left is None else {TIME_LIMIT: round(left, 3)}


def judge_connecting(error: BaseException) -> Judgement | None:
    """What keeps a connection from being made may be gone with the next host; our own errors are final."""
    return Judgement(Outcome.TRANSIENT) if isinstance(error, REFUSALS) else None


def judge_speaking(error: BaseException) -> Judgement | None:
    """Only a host that goes away is met by another try; what the engine refuses once it refuses again.

    A statement that found no host, or one that is not the one that the secret is of, was not begun.
    """
    if isinstance(error, DeadlineExceeded):
        return Judgement(Outcome.AMBIGUOUS)
    if isinstance(error, urllib3.exceptions.NewConnectionError) or getattr(error, "code", None) == CODE_AUTHENTICATION:
        return Judgement(Outcome.TRANSIENT)
    if isinstance(error, ClickHouseError):
        return Judgement(Outcome.PERMANENT) if is_answer(error) else None
    return Judgement(Outcome.AMBIGUOUS) if isinstance(error, REFUSALS) else None


def is_answer(error: Exception) -> bool:
    """Whether the engine itself said this."""
    return getattr(error, "code", None) is not None or "DB::Exception" in str(error)


def explain(error: Exception) -> FrameworkError:
    """What the driver raised, in our words; without values, which ClickHouse likes to quote."""
    text = str(error)
    code = getattr(error, "code", None)
    if code == CODE_NOT_ENOUGH_SPACE or OUT_OF_SPACE.search(text):
        return DiskFull("no room left on the disk to write the table", hint="free some space and run again")
    left = remaining()
    if left is not None and (code == CODE_TIMEOUT_EXCEEDED or left <= 0):
        return exceeded()
    if code == CODE_MEMORY_LIMIT_EXCEEDED:
        return EngineMemory(
            "the embedded ClickHouse would have needed more memory than it may take",
            hint="let it have more: ROWKEEPER_MEMORY_MAX; rowkeeper doctor shows the limits",
            context={"clickhouse": "MEMORY_LIMIT_EXCEEDED"},
        )
    if not is_answer(error):
        return EngineDied(
            "the embedded ClickHouse went away in mid-work",
            hint="run again: what was staged is kept, and the next command finds out what took effect",
        )
    name = getattr(error, "name", None) or f"code {code}"
    return DatabaseError(
        f"ClickHouse refused: {name}",
        hint="rowkeeper doctor says what is wrong; --debug shows what was called",
        context={"clickhouse": name},
    )
