"""A clickhouse-connect client for the embedded engine: the ordinary driver over a Unix socket."""

from __future__ import annotations

import logging
import re
from typing import Any

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import connect, ensure_host
from rowkeeper.errors import DatabaseError, DiskFull, EngineDied, EngineMemory, FrameworkError, RetryError
from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.classifying import Classifier
from rowkeeper.resilience.deadline import exceeded, remaining, sql_seconds_left
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.resilience.sockets import bounded

# What fails is raised, and told in our words. Without a handler the driver's warnings would go, with tracebacks, to
# standard error.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

# A host that leaves, being idle, between our look and our first word; the next one has another secret. It is our own:
# nothing is gained by leaving it alone, and the caller's deadline is the only one.
CONNECTING = Resilience(
    retry=Retry(attempts=3, wait_seconds_initial=0.02, wait_seconds_max=0.2, attempt_seconds_max=None),
    breaker=None,
    deadline_seconds=None,
)
REFUSALS = (OSError, urllib3.exceptions.HTTPError, ClickHouseError)
OUT_OF_SPACE = re.compile(r"No space left|NOT_ENOUGH_SPACE|ENOSPC|Code: 243\b")
CODE_NOT_ENOUGH_SPACE = 243
CODE_TIMEOUT_EXCEEDED = 159
CODE_MEMORY_LIMIT_EXCEEDED = 241
TIME_LIMIT = "max_execution_time"
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
        return bounded(connect(self._places, None))


class _PoolManager(urllib3.PoolManager):
    """Every address leads to the host's socket. Nothing is retried: whether a statement took effect is not known."""

    def __init__(self, places: EnginePlaces) -> None:
        super().__init__(retries=False)
        self._places = places
        self._pool = _Pool(places)

    def connection_from_host(self, *_args: Any, **_kwargs: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def clear(self) -> None:
        """Closes the connections. The driver asks for it now and then, and makes new ones."""
        self._pool.close()
        self._pool = _Pool(self._places)


def close(client: Client) -> None:
    """Gives a client's connections back; `close` alone leaves a pool open that the driver did not make."""
    client.close()
    client.close_connections()


def engine_client(site: Site, *, writes: bool) -> Client:
    """Connects to the embedded engine, starting its host if none is up.

    Args:
        writes: as the user `rowkeeper`; otherwise as `default`, read only for good.

    Raises:
        DatabaseError: the engine cannot be started or reached.
    """
    line = Calls().to("embedded engine", "connect", CONNECTING, Classifier((_judge,)))
    try:
        return line.call(lambda: _connected(site, writes=writes), effect=Effect.READ)
    except RetryError as error:
        if isinstance(error.__cause__, REFUSALS):
            raise explain(error.__cause__) from error.__cause__
        raise


def _connected(site: Site, *, writes: bool) -> Client:
    places = ensure_host(site)
    pool = _PoolManager(places)
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
    client.valid_transport_settings = client.valid_transport_settings | {TIME_LIMIT}
    return client


def time_limit() -> dict[str, Any]:
    """The setting that ends a statement at the deadline; none without one. Raises DeadlineExceeded if it has passed."""
    left = sql_seconds_left()
    return {} if left is None else {TIME_LIMIT: round(left, 3)}


def _judge(error: BaseException) -> Judgement | None:
    """What keeps a connection from being made may be gone with the next host; our own errors are final."""
    return Judgement(Outcome.TRANSIENT) if isinstance(error, REFUSALS) else None


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
    if code is None and "DB::Exception" not in text:  # no answer at all
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
