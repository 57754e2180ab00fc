"""A destination that cannot be reached, or cannot do its work for reasons of its own."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from rowkeeper.errors import (
    DatabaseError,
    DeadlineExceeded,
    DestinationUnreachable,
    DiskFull,
    EngineDied,
    EngineDown,
    EngineMemory,
    FrameworkError,
    ReplicasDiffer,
    RetryError,
    VpnRefused,
)
from rowkeeper.protocols import Destination, DestinationSession, Site

OF_ITS_OWN = (DestinationUnreachable, DiskFull, EngineDied, EngineDown, EngineMemory, ReplicasDiffer, VpnRefused)
# What ClickHouse says when it has too much to do, lost those it works with, or has trouble with its disk. All else that
# it says may be about the statement or the rows, which would be refused again.
REFUSALS = frozenset(
    {
        "ABORTED",
        "ALL_CONNECTION_TRIES_FAILED",
        "CANNOT_CLOSE_FILE",
        "CANNOT_OPEN_FILE",
        "CANNOT_READ_FROM_FILE_DESCRIPTOR",
        "CANNOT_SCHEDULE_TASK",
        "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
        "KEEPER_EXCEPTION",
        "NETWORK_ERROR",
        "NO_FREE_CONNECTION",
        "SERVER_OVERLOADED",
        "SOCKET_TIMEOUT",
        "TABLE_IS_READ_ONLY",
        "TOO_FEW_LIVE_REPLICAS",
        "TOO_MANY_PARTS",
        "TOO_MANY_SIMULTANEOUS_QUERIES",
        "UNFINISHED",
    }
)


def is_of_its_own(error: FrameworkError) -> bool:
    """Whether a destination failed at a step for reasons that are neither the run's nor the rows'."""
    return isinstance(error, OF_ITS_OWN) or error.context.get("clickhouse") in REFUSALS


class Away:
    """In the place of a session with a destination that cannot be reached: whatever is asked of it, it says why."""

    def __init__(self, why: FrameworkError) -> None:
        self.why = why

    def __getattr__(self, _name: str) -> NoReturn:
        raise self.why

    def close(self) -> None:
        """There is nothing to give back."""


def connected(destination: Destination, site: Site, schema: Any, *, may_be_away: bool) -> DestinationSession:
    """A session; or what stands for one that could not be had: no engine, no connection, a breaker that is open, an
    interface that is down.

    Raises what `Destination.connect` raises, unless it may be away and that is all that is wrong.
    """
    try:
        return destination.connect(site, schema)
    except (DatabaseError, RetryError, VpnRefused) as error:
        if not may_be_away or isinstance(error, DeadlineExceeded):
            raise
        return cast("DestinationSession", Away(error))
