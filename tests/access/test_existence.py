"""What is not the caller's, and what is not there, look alike; and a list shows no more than is theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rowkeeper.access import Decision, TableView
from rowkeeper.access.access import Access
from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.administering import Administration
from rowkeeper.access.resource import Column, Resource, ResourceKind, of_column
from rowkeeper.caller import Caller, acting
from rowkeeper.errors import AccessDenied, RevealRefused, UnknownRun
from rowkeeper.operations import incident, keys
from rowkeeper.operations.permitting import ask_why
from rowkeeper.runs import asking, holding, parked, replaying, revealing, rollback
from rowkeeper.runs.workspace import Workspace
from tests.access.governed import NOBODY, REFUSALS
from tests.arena import Arena


class Granted:
    """Permissions that know one pipeline, as a grant on it does."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.asked: list[tuple[str, Resource]] = []

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        self.asked.append((action, resource))
        assert ACTIONS[action].on is resource.kind, (action, resource)
        return Decision(self.pipeline in (resource.id, resource.within and resource.within.id))

    def view(self, caller: Caller, table: str, columns: list[Column]) -> TableView | None:
        return None


def only(space: Workspace, pipeline: str) -> Workspace:
    """The same workspace, its caller granted one pipeline."""
    return dataclasses.replace(space, access=Access(Granted(pipeline), space.ledger.audit))


BY_NUMBER: dict[str, Callable[[Workspace, int], object]] = {
    "show": lambda space, run: incident.incident_of(run, space),
    "quarantine show": lambda space, run: asking.show_rejected(run, space, limit=1),
    "quarantine show --reveal": lambda space, run: revealing.reveal_rejected(run, space, limit=1, reason="why"),
    "quarantine replay": lambda space, run: replaying.replay(run, space),
    "quarantine export": lambda space, run: replaying.export_rejected(run, space, Path("/nowhere/at/all")),
    "rollback": lambda space, run: rollback.rollback_run(run, space),
    "staging": lambda space, run: holding.look_at(run, space),
    "staging --discard": lambda space, run: holding.discard_held(run, space),
    "publish": lambda space, run: holding.publish_held(run, "why", space),
    "resume": lambda space, run: parked.resume(run, space),
    "abandon": lambda space, run: parked.abandon(run, space, "why"),
}


@pytest.mark.parametrize("name", BY_NUMBER)
def test_a_run_of_others_and_none_at_all_look_alike(name: str, space: Workspace):
    """To whom the run's pipeline is not granted: the same error, the same words but for the number that was typed."""
    told = []
    for number in (1, 4711):  # of flights; of nobody
        with acting(NOBODY), pytest.raises(REFUSALS) as caught:
            BY_NUMBER[name](only(space, "gated"), number)
        error = caught.value
        told.append(
            (type(error), *(text.replace(str(number), "N") for text in (error.what, error.hint)), error.context)
        )
    assert told[0] == told[1]


class SeesAccounts(Granted):
    """The same for who may see every account, too."""

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        return Decision(True) if action == "user.list" else super().decide(caller, action, resource)


def test_why_tells_no_run_of_others_from_none(space: Workspace):
    """Asked about a run by its number: refused to whom its pipeline is not granted, whether there is one or not."""
    asking_space = dataclasses.replace(space, access=Access(SeesAccounts("gated"), space.ledger.audit))
    told = []
    for number in ("1", "4711"):
        with acting(NOBODY), pytest.raises(AccessDenied) as caught:
            ask_why(asking_space, "ann", "run.rollback", Resource(ResourceKind.RUN, number), None)
        told.append((caught.value.what.replace(number, "N"), caught.value.hint.replace(number, "N")))
    assert told[0] == told[1]


def test_why_knows_the_classifications_of_a_column(space: Workspace):
    """As the runs in its table left them; those that are given come before."""
    told = ask_why(space, "ann", "data.reveal", of_column("default.flights", "ref"), None)
    assert (told.resource.labels, told.resource.protected) == (frozenset({"pii.ref"}), True)
    given = ask_why(space, "ann", "data.reveal", of_column("default.flights", "ref", frozenset({"other"})), None)
    assert given.resource.labels == {"other"}


def test_that_there_is_no_such_run_is_told_to_who_may_see_any(space: Workspace):
    """The owner is not refused what is not there."""
    with pytest.raises(UnknownRun):
        asking.run_for(space, "run.show", 4711)


def test_a_number_that_no_ledger_can_hold_is_of_no_run(space: Workspace):
    """It is as unknown as any other, and as forbidden."""
    for look in (incident.incident_of, partial(revealing.reveal_rejected, limit=1, reason="why")):
        with acting(NOBODY), pytest.raises(REFUSALS):
            look(10**30, space)
    with pytest.raises(UnknownRun):
        asking.run_for(space, "run.show", 10**30)
    assert [run.run for run in asking.list_runs(space, limit=1, before=10**30).runs] == [2]


def test_a_list_shows_the_granted_pipeline_alone(space: Workspace):
    """Runs, pipelines and what waits; the page goes on behind what is not shown."""
    granted = only(space, "flights")
    with acting(NOBODY):
        assert [run.pipeline for run in asking.list_runs(granted, limit=1).runs] == ["flights"]
        assert asking.list_pipelines(granted) == ["flights"]
        assert asking.list_unfinished(granted) == []
        assert asking.list_runs(granted, limit=5, pipeline="gated").hint == "there are runs of flights"


def test_a_page_goes_on_where_the_last_one_ended(space: Workspace):
    """Every run is on one page."""
    first = asking.list_runs(space, limit=1)
    second = asking.list_runs(space, limit=1, before=first.before)
    assert [each.run for each in (*first.runs, *second.runs)] == [2, 1]
    assert asking.list_runs(space, limit=1, before=second.before) == asking.RunPage(())


def test_no_refusal_names_a_person_in_the_trail(furnished: Arena, space: Workspace):
    """Who is refused to disable ann leaves an entry with her id."""
    with acting(NOBODY), pytest.raises(AccessDenied):
        Administration(space.access, space.ledger).enable_user("ann", False)
    entry = space.ledger.audit.newest(1)[0]
    assert (entry.event.action, list(entry.event.on)) == ("user.change", ["user"])
    assert str(entry.event.on["user"]).startswith("p_")


def test_whoever_is_refused_fills_no_trail(space: Workspace):
    """What was typed is in the entry as far as it is a name; its length is bounded."""
    with acting(NOBODY), pytest.raises(REFUSALS):
        revealing.reveal_column("t" * 100_000, "c" * 100_000, space, where={}, limit=1, reason="why")
    with acting(NOBODY), pytest.raises(AccessDenied):
        keys.rotate(space, ["k" * 100_000])


def test_a_key_of_others_and_none_at_all_look_alike(space: Workspace):
    """Who may not change keys is not told which there are."""
    there = keys.list_keys(space).keys[0].id
    told = []
    for word in (f"{there:08x}", "0badf00d"):
        with acting(NOBODY), pytest.raises(AccessDenied) as caught:
            keys.revoke(space, word, force=True, reason="why")
        told.append((caught.value.what.replace(word, "N"), caught.value.hint.replace(word, "N")))
    assert told[0] == told[1]


def test_an_account_of_others_and_none_at_all_look_alike(space: Workspace):
    """Who may not change accounts is not told which there are."""
    told = []
    for name in ("ann", "eve"):
        with acting(NOBODY), pytest.raises(AccessDenied) as caught:
            Administration(space.access, space.ledger).enable_user(name, False)
        told.append((caught.value.what.replace(name, "N"), caught.value.hint.replace(name, "N")))
    assert told[0] == told[1]


def test_a_table_of_others_and_none_at_all_look_alike(space: Workspace):
    """Who may not see clear values is not told of which tables there are any."""
    told = []
    for table in ("flights", "nowhere"):
        with acting(NOBODY), pytest.raises(RevealRefused) as caught:
            revealing.reveal_column(table, "ref", space, where={}, limit=1, reason="why")
        told.append((caught.value.what.replace(table, "N"), caught.value.hint.replace(table, "N")))
    assert told[0] == told[1]
