"""All metrics of an installation at one moment, put together from their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError
from rowkeeper.logs import failure, logger
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.alerting import of_alerts
from rowkeeper.operations.metrics.ended import of_ended
from rowkeeper.operations.metrics.family import Family, families
from rowkeeper.operations.metrics.healthy import look_first, of_freshness, of_health
from rowkeeper.operations.metrics.schedules import of_schedules
from rowkeeper.operations.metrics.standing import of_backups, of_build, of_kept, of_keys, of_runs, of_shared
from rowkeeper.runs.workspace import Workspace

log = logger("metrics")

Part = Callable[[Workspace], Iterable[Family]]

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "build": of_build,
        "ended": of_ended,
        "runs": of_runs,
        "shared": of_shared,
        "kept": of_kept,
        "keys": of_keys,
        "schedules": of_schedules,
        "health": of_health,
        "freshness": of_freshness,
        "alerts": of_alerts,
        "backups": of_backups,
    }
)
"""By the name under which one that fails is told of."""


def collect(workspace: Workspace) -> tuple[Family, ...]:
    """Every metric but those of a server alone, health as it was found last. Raises AccessDenied.

    A part that cannot be collected does not take the others along: `rowkeeper_collection_failed` tells of it.
    """
    workspace.access.require("metrics.show", of_installation())
    return gathered(workspace)


def collect_now(workspace: Workspace) -> tuple[Family, ...]:
    """The same after a look at health, which takes longer. Raises AccessDenied."""
    workspace.access.require("metrics.show", of_installation())
    look_first(workspace)
    return gathered(workspace)


def gathered(workspace: Workspace, parts: Mapping[str, Part] = PARTS) -> tuple[Family, ...]:
    """The same for whoever has been asked already whether they may, or need not be."""
    found: list[Family] = []
    failed = {(name,): 0 for name in parts}
    for name, part in parts.items():
        try:
            found += list(part(workspace))
        except (FrameworkError, OSError) as error:
            log.warning("metrics not collected", part=name, **failure(error))
            failed[name,] = 1
    return (*found, families(catalogue.COLLECTION_FAILED, failed.items()))
