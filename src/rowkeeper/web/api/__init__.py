"""The routes: a file for each topic. What makes one, and what keeps it, is in `governed.py`."""

from rowkeeper.web.api import (
    alerts,
    auditing,
    credentials,
    describing,
    events,
    health,
    history,
    jobs,
    keys,
    pipelines,
    queries,
    signing_in,
    users,
)
from rowkeeper.web.governed import Routes

__all__ = ["ROUTES"]

# Of paths that fit several routes the first counts: literal ones stand before those with a name in them.
ROUTES: tuple[Routes, ...] = (
    health.routes,
    pipelines.routes,
    history.routes,
    jobs.routes,
    keys.routes,
    users.routes,
    signing_in.routes,
    credentials.routes,
    queries.routes,
    auditing.routes,
    events.routes,
    alerts.routes,
    describing.routes,
)
