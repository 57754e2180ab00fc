"""One look at everything: the parts, in the order in which they are asked, and what they say together.

A part is a function of a `HealthContext` in a file of its own. To add one, write it and list it in PARTS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import AccessDenied, DatabaseError, FrameworkError
from rowkeeper.ledger.healthstates import HealthState
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.operations.health.backups import look_at_backups
from rowkeeper.operations.health.books import look_at_ledger
from rowkeeper.operations.health.check import Check, State, worst
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.health.drills import look_at_drills
from rowkeeper.operations.health.due import look_at_deadlines
from rowkeeper.operations.health.formerkeys import look_at_former_keys
from rowkeeper.operations.health.freshness import look_at_freshness
from rowkeeper.operations.health.held import Held, show_held
from rowkeeper.operations.health.hosts import (
    look_at_breakers,
    look_at_destinations,
    look_at_engine,
    look_at_sources,
)
from rowkeeper.operations.health.lagging import PipelineLag, look_at_lag
from rowkeeper.operations.health.machinery import look_at_clock, look_at_disk, look_at_memory
from rowkeeper.operations.health.rejecting import look_at_quarantine
from rowkeeper.operations.health.schedules import look_at_schedules
from rowkeeper.operations.health.secrets import look_at_certificates, look_at_checkpoints, look_at_keys
from rowkeeper.operations.health.waiting import look_at_runs, look_at_spool
from rowkeeper.pipeline import Pipeline
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Something that is looked at.

    Attributes:
        name: of the check that says that it could not be looked at, and by which its states are kept.
        of_pipelines: it looks at the pipelines that are named, and the subjects of its checks begin with one's name:
            what it says of others stands until they are named again.
        apart: it can be looked at where the ledger cannot be opened.
    """

    name: str
    look: Callable[[HealthContext], Iterable[Check]]
    of_pipelines: bool = False
    apart: bool = False


PARTS: tuple[Part, ...] = (
    Part("ledger", look_at_ledger, apart=True),
    Part("disk", look_at_disk, apart=True),
    Part("memory", look_at_memory, apart=True),
    Part("clock", look_at_clock, apart=True),
    Part("engine", look_at_engine),
    Part("breaker", look_at_breakers),
    Part("certificate", look_at_certificates),
    Part("key", look_at_keys),
    Part("former key", look_at_former_keys),
    Part("audit", look_at_checkpoints),
    Part("backup", look_at_backups),
    Part("drill", look_at_drills),
    Part("run", look_at_runs),
    Part("spool", look_at_spool),
    Part("quarantine", look_at_quarantine),
    Part("schedule", look_at_schedules),
    Part("destination", look_at_destinations, of_pipelines=True),
    Part("source", look_at_sources, of_pipelines=True),
    Part("lag", look_at_lag, of_pipelines=True),
    Part("freshness", look_at_freshness, of_pipelines=True),
    Part("due", look_at_deadlines, of_pipelines=True),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """How it stands with an installation.

    Attributes:
        checks: the worst first.
        held: leases, breakers and what waits, as they are; None if the ledger could not be opened.
        lags: of the named pipelines whose source is a stream.
    """

    looked_at: datetime
    checks: tuple[Check, ...]
    held: Held | None = None
    lags: tuple[PipelineLag, ...] = ()

    @property
    def state(self) -> State:
        """The worst of all."""
        return worst(tuple(each.state for each in self.checks))

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "state": self.state.value,
            "looked_at": self.looked_at.isoformat(),
            "checks": [each.as_dict() for each in self.checks],
            **(self.held.as_dict() if self.held is not None else {}),
            "lag": [each.as_dict() for each in self.lags],
        }


def look_around(settings: Settings, pipelines: Sequence[Pipeline] = ()) -> Health:
    """Opens the workspace and looks; where it cannot be opened, says so and looks at what is beside it.

    Raises AccessDenied.
    """
    try:
        with Workspace.open(settings) as workspace:
            return look(workspace, pipelines)
    except AccessDenied:
        raise
    except FrameworkError as error:
        context = HealthContext(settings, utc_now(), tuple(pipelines), unopened=error)
        return Health(context.now, _sorted([check for part in PARTS if part.apart for check in _ask(part, context)[0]]))


def look(workspace: Workspace, pipelines: Sequence[Pipeline] = (), *, now: datetime | None = None) -> Health:
    """Asks every part, and keeps in the ledger since when each thing is as it is.

    A part that fails is a check of its own that says so, and the others are asked all the same.

    Args:
        pipelines: those to look at too.
        now: the time to judge by; None is the clock's.

    Raises AccessDenied.
    """
    workspace.access.require("health.show", of_installation())
    context = HealthContext(workspace.settings, now or utc_now(), tuple(pipelines), workspace)
    asked = [(part, *_ask(part, context)) for part in PARTS]
    try:
        found = _since(context, asked)
    except DatabaseError as error:  # a full disk is told all the same
        untold = Check("health", "", State.UNKNOWN, f"since when cannot be kept: {error.what}", mend=error.hint)
        found = [untold, *(check for _, checks, _ in asked for check in checks)]
    return Health(context.now, _sorted(found), show_held(workspace), context.lags)


def _ask(part: Part, context: HealthContext) -> tuple[list[Check], bool]:
    """What it says, and whether it could be asked."""
    try:
        return list(part.look(context)), True
    except FrameworkError as error:
        return [Check(part.name, "", State.UNKNOWN, f"it could not be looked at: {error.what}", mend=error.hint)], False
    except OSError as error:
        return [Check(part.name, "", State.UNKNOWN, f"it could not be looked at: {error.strerror}")], False


def _since(context: HealthContext, asked: Sequence[tuple[Part, list[Check], bool]]) -> list[Check]:
    """The checks with their times; what changed is noted in the ledger, if it can be.

    What a part says no more is forgotten, if the part was asked and looks at everything.
    """
    health = context.workspace.ledger.health
    known = {(each.name, each.subject): each for each in health.states()}
    found: list[Check] = []
    changed: dict[tuple[str, str], HealthState] = {}  # of two checks of one name the last is noted
    for part, checks, _ in asked:
        for check in checks:
            former = known.get((check.name, check.subject))
            same = former is not None and former.state == check.state.value
            since = former.since if former is not None and same else context.now
            found.append(dataclasses.replace(check, since=check.since or since))
            if not same:
                key = (check.name, check.subject)
                changed[key] = HealthState(*key, part.name, check.state.value, check.told, since)
    said = {(check.name, check.subject) for _, checks, _ in asked for check in checks}
    whole = {part.name: part for part, _, could in asked if could}
    named = {each.name for each in context.pipelines}
    gone = [
        each
        for key, each in known.items()
        if each.part in whole
        and key not in said
        and (not whole[each.part].of_pipelines or each.subject.partition("/")[0] in ("", *named))
    ]
    if changed or gone:
        health.note(list(changed.values()), gone, context.now)
    return found


def _sorted(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(sorted(checks, key=lambda each: each.state.rank))
