"""What the routes need besides their request: put together once, when the server starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated

from fastapi import Depends

from rowkeeper.access.authentication import Authentication
from rowkeeper.operations.events import EventCounts
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.catalogue import Catalogue
from rowkeeper.web.jobs.jobs import Jobs
from rowkeeper.web.kept import Kept
from rowkeeper.web.looker import Looker
from rowkeeper.web.pool import Pool
from rowkeeper.web.rates import Rates


@dataclasses.dataclass(slots=True)
class House:
    """Attributes are what they are called.

    Attributes:
        pool: the threads in which requests are carried out.
        callers: how many requests each may send.
        seconds_max: for one request.
        jobs: long work; of the event loop.
        catalogue: the pipelines that the files of this server declare.
        events: counts security events, for the metrics.
        kept: answers that are shown again; of the event loop. None where the ledger does not tell of changes.
        health: looks at it, once for all who ask about the same time.
    """

    space: Workspace
    authentication: Authentication
    pool: Pool
    callers: Rates
    seconds_max: float
    jobs: Jobs
    catalogue: Catalogue
    events: EventCounts
    kept: Kept | None
    started_at: datetime
    health: Looker


_current: ContextVar[House] = ContextVar("rowkeeper_house")


def current_house() -> House:
    """That of the request that is being carried out."""
    return _current.get()


@contextmanager
def within(house: House) -> Iterator[None]:
    """Requests of the block are of this house."""
    token = _current.set(house)
    try:
        yield
    finally:
        _current.reset(token)


async def _house() -> House:
    return _current.get()


async def _space() -> Workspace:
    return _current.get().space


Here = Annotated[House, Depends(_house)]
Space = Annotated[Workspace, Depends(_space)]
