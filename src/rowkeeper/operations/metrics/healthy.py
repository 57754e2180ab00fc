"""How health finds each thing: the checks of `rowkeeper health`, as numbers, and how new tables are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rowkeeper.access import of_installation
from rowkeeper.operations.health import State, look
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Family, families
from rowkeeper.runs.workspace import Workspace

NUMBERS: Mapping[State, int] = MappingProxyType({State.GOOD: 0, State.WARNING: 1, State.BAD: 2, State.UNKNOWN: 3})
BY_KEY = "freshness"  # whose subjects are pipeline/rule/key, and a key is a value of rows


def look_first(workspace: Workspace) -> None:
    """Looks at health now, for whoever may see it; for others, it stands as somebody found it last.

    Workers look every so often, at what their pipelines declare as well.
    """
    if workspace.access.may("health.show", of_installation()):
        look(workspace)


def of_health(workspace: Workspace) -> Iterator[Family]:
    """As it was found last; of a rule of freshness, its worst key."""
    worst: dict[tuple[str, str], State] = {}
    for each in workspace.ledger.health.states():
        subject = "/".join(each.subject.split("/")[:2]) if each.name == BY_KEY else each.subject
        state, key = State(each.state), (each.name, subject)
        worst[key] = min(worst.get(key, state), state, key=lambda one: one.rank)
    yield families(catalogue.HEALTH, ((key, NUMBERS[state]) for key, state in worst.items()))


def of_freshness(workspace: Workspace) -> Iterator[Family]:
    """Of each rule, the newest event of the key that is most behind."""
    behind = workspace.ledger.freshness.most_behind()
    yield families(catalogue.FRESHNESS, ((key, newest.timestamp()) for key, newest in behind.items()))
