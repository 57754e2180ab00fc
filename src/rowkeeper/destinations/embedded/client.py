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
from rowkeeper.errors import DatabaseError, DiskFull, EngineDied, EngineMemory, FrameworkError
from rowkeeper.protocols import Site
from rowkeeper.resilience.deadline import exceeded, remaining
from rowkeeper.resilience.sockets import bounded

# What fails is raised, and told in our words. Without a handler the driver's warnings would go, with tracebacks, to
# standard error.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

ATTEMPTS = 3
OUT_OF_SPACE = re.compile(r"No space left|NOT_ENOUGH_SPACE|ENOSPC|Code: 243\b")
CODE_NOT_ENOUGH_SPACE = 243
CODE_TIMEOUT_EXCEEDED = 159
CODE_MEMORY_LIMIT_EXCEEDED = 241
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
        self._pool = _Pool(places)

    def connection_from_host(self, *_args: Any, **_kwargs: Any) -> urllib3.HTTPConnectionPool:
        return self._pool


def engine_client(site: Site, *, writes: bool) -> Client:
    """Connects to the embedded engine, starting its host if none is up.

    Args:
        writes: as the user `rowkeeper`; otherwise as `default`, read only for good.

    Raises:
        DatabaseError: the engine cannot be started or reached.
    """
    for attempt in range(ATTEMPTS):
        places = ensure_host(site)
        try:
            return clickhouse_connect.get_client(
                host="localhost",
                username="rowkeeper" if writes else "default",
                password=places.secret.read_text() if writes else "",
                pool_mgr=_PoolManager(places),
                compress=False,
                send_receive_timeout=ANSWER_SECONDS_MAX,
                autogenerate_session_id=False,
                show_clickhouse_errors=True,
            )
        except (OSError, urllib3.exceptions.HTTPError, ClickHouseError) as error:
            # A host that left between our look and our first word, being idle; the next one has another secret.
            if attempt == ATTEMPTS - 1:
                raise explain(error) from error
    raise AssertionError("the loop returns or raises")


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
