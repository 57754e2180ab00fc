"""A kept answer is the one that would be given anew, whatever changes; and the laws of all answers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rowkeeper.access import CedarPermissions, Resource, of_column, of_pipeline, of_role, of_run, of_table, of_user
from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.rules import Rules
from rowkeeper.access.written import written_policies
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.grants import AccessState, Gives, Grant, NewGrant, To
from tests.access.asking import NOON, Clocks, permissions_of, user, write_policies
from tests.auditing import AUDITING
from tests.extent import examples

NAMES, OWN = ("ann", "bob"), ("analyst", "clerk")
ROLES = (*BUILT_IN_ROLES, *OWN)
PIPELINES, LABELS = ("flights", "billing"), ("pii", "pii.email", "secret")
THINGS: tuple[Resource, ...] = (
    *map(of_pipeline, PIPELINES),
    *(of_run(number, each) for number, each in enumerate(PIPELINES)),
    of_table("shop.orders"),
    of_column("shop.orders", "id"),
    of_column("shop.orders", "email", frozenset({"pii.email"})),
    of_column("shop.orders", "note", frozenset({"pii", "secret"})),
    of_column("shop.orders", "card", frozenset({"secret"}), True),
    of_user("ann"),
    of_role("analyst"),
)
PURPOSES = (None, "billing")
FORBIDS = (
    'forbid(principal in Role::"operator", action, resource in Pipeline::"billing");',
    'forbid(principal, action == Action::"run.show", resource) when { resource.name == "1" };',
    'forbid(principal == User::"bob", action == Action::"data.query", resource);',
    'forbid(principal, action, resource) when { context has purpose && context.purpose == "billing" };',
    'forbid(principal, action, resource in Label::"secret");',
)

callers = st.builds(
    lambda name, roles, purpose, limited: user(*roles, name=name, purpose=purpose, limited=limited),
    st.sampled_from(NAMES),
    st.frozensets(st.sampled_from(ROLES), max_size=2),
    st.sampled_from(PURPOSES),
    st.booleans(),
)
asked = st.sampled_from(
    [(action.name, thing) for action in ACTIONS.values() for thing in THINGS if action.on is thing.kind]
)
gives = st.one_of(
    st.tuples(st.just(Gives.ACTION), st.sampled_from(sorted(ACTIONS))),
    st.tuples(st.just(Gives.ROLE), st.sampled_from(ROLES)),
)
given_to = st.one_of(
    st.tuples(st.just(To.USER), st.sampled_from(NAMES)), st.tuples(st.just(To.ROLE), st.sampled_from(ROLES))
)
given_on = st.sampled_from(
    [("*", "*"), ("table", "shop.orders"), ("column", "shop.orders.email")]
    + [("pipeline", each) for each in PIPELINES]
    + [("label", each) for each in LABELS]
)
ends = st.sampled_from([None, 0.3, 2.0])


def answers(rules: Rules, caller: Caller) -> list[bool]:
    return [rules.decide(caller, action.name, each).allowed for action in ACTIONS.values() for each in THINGS]


grants = st.builds(
    lambda to, what, on, purpose: Grant(*to, *what, *on, purpose=purpose, id=0, created_at=NOON),
    given_to,
    gives,
    given_on,
    st.sampled_from(PURPOSES),
)


def rules_of(granted: list[Grant], folder: Path | None = None) -> Rules:
    numbered = tuple(dataclasses.replace(each, id=number) for number, each in enumerate(granted))
    return Rules(AccessState(0, grants=numbered), written_policies(folder), NOON)


@contextmanager
def written(*forbids: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_policies(Path(folder) / "a.cedar", "\n".join(forbids))


few = settings(max_examples=examples(6, 200), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.lists(grants, max_size=4), st.sets(st.sampled_from(FORBIDS), min_size=1, max_size=3), callers)
def test_a_forbid_never_allows_more(granted: list[Grant], forbids: set[str], caller: Caller):
    """With a forbid added, whatever is allowed was allowed before."""
    with written(*sorted(forbids)) as file:
        before, after = answers(rules_of(granted), caller), answers(rules_of(granted, file), caller)
    assert all(was for was, now in zip(before, after, strict=True) if now)


@few
@given(st.lists(grants, max_size=4), st.sampled_from(NAMES), st.sampled_from(ROLES), st.sampled_from(PURPOSES))
def test_a_role_more_never_allows_less(granted: list[Grant], name: str, role: str, purpose: str | None):
    """But for what one may do to one's own roles: that is forbidden, by a rule that says so."""
    rules = rules_of(granted)
    for before in ((), ("viewer",), ("steward", "analyst")):
        less, more = user(*before, name=name, purpose=purpose), user(*before, role, name=name, purpose=purpose)
        for action in ACTIONS.values():
            for thing in THINGS:
                if rules.decide(less, action.name, thing).allowed:
                    now = rules.decide(more, action.name, thing)
                    assert now.allowed or now.policies == ("not-own-role",)


@few
@given(st.lists(grants, max_size=4), grants, callers)
def test_a_grant_more_never_allows_less(granted: list[Grant], one: Grant, caller: Caller):
    """The same of a grant."""
    before, after = rules_of(granted), rules_of([*granted, one])
    for action in ACTIONS.values():
        for thing in THINGS:
            if before.decide(caller, action.name, thing).allowed:
                now = after.decide(caller, action.name, thing)
                assert now.allowed or now.policies == ("not-own-role",)


@few
@given(callers, st.sampled_from(sorted(ACTIONS)))
def test_a_forbid_of_everything_leaves_nothing(caller: Caller, action: str):
    """Whatever roles and grants there are."""
    everything = [Grant(To.USER, caller.name, Gives.ROLE, "admin", id=1, created_at=NOON)]
    everything += [Grant(To.USER, caller.name, Gives.ACTION, action, id=2, created_at=NOON)]
    with written("forbid(principal, action, resource);") as file:
        assert not any(answers(rules_of(everything, file), caller))


class Keeping(RuleBasedStateMachine):
    """Accounts, grants, roles, files and time change at random; kept answers are compared with those given anew."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.home = Path(self._folder.name)
        self.clocks = Clocks()
        self._opened = Ledger.open(None, self.home, self.clocks.utc, auditing=AUDITING)
        self.ledger = self._opened.__enter__()
        self.policies = write_policies(self.home / "a.cedar", "")
        self.kept = permissions_of(self.ledger, self.home, self.clocks, self.policies)

    @initialize()
    def accounts(self) -> None:
        for name in NAMES:
            self.ledger.users.add(name)
        self.ledger.grants.add_role(OWN[0], "")

    @rule(to=given_to, what=gives, on=given_on, purpose=st.sampled_from(PURPOSES), seconds=ends)
    def grant(self, to, what, on, purpose, seconds) -> None:
        end = None if seconds is None else self.clocks.now + timedelta(seconds=seconds)
        self.ledger.grants.add(NewGrant(*to, *what, *on, purpose=purpose, expires_at=end))

    @rule(at=st.integers(0, 5))
    def take_back(self, at: int) -> None:
        found = self.ledger.grants.state().grants
        if found:
            self.ledger.grants.remove(found[at % len(found)].id)

    @rule()
    def role_comes_or_goes(self) -> None:
        if any(each.name == OWN[1] for each in self.ledger.grants.state().roles):
            self.ledger.grants.remove_role(OWN[1])
        else:
            self.ledger.grants.add_role(OWN[1], "")

    @rule(name=st.sampled_from(NAMES), enabled=st.booleans())
    def enable(self, name: str, enabled: bool) -> None:
        self.ledger.users.set_enabled(name, enabled)

    @rule(forbids=st.sets(st.sampled_from(FORBIDS), max_size=2))
    def write(self, forbids: set[str]) -> None:
        write_policies(self.policies, "\n".join(sorted(forbids)))
        self.clocks.pass_by(0.5)

    @rule(seconds=st.sampled_from([0.1, 0.4, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clocks.pass_by(seconds)

    @rule(caller=callers, questions=st.lists(asked, min_size=1, max_size=8))
    def ask(self, caller: Caller, questions: list[tuple[str, Resource]]) -> None:
        anew = permissions_of(self.ledger, self.home, self.clocks, self.policies)
        for action, thing in questions:
            assert self.kept.decide(caller, action, thing) == anew.decide(caller, action, thing)
            assert self.kept.decide(caller, action, thing) == anew.decide(caller, action, thing)

    @invariant()
    def nobody_is_let_in(self) -> None:
        stranger = Caller(CallerKind.USER, "eve")
        if not any(each.gives_kind is Gives.ROLE for each in self.ledger.grants.state().grants):
            assert not self.kept.decide(stranger, "pipeline.run", THINGS[0]).allowed

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)
        self._folder.cleanup()


Keeping.TestCase.settings = settings(
    max_examples=examples(4, 200), stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_kept_answer_is_the_one_given_anew = Keeping.TestCase


def test_a_change_by_another_process_counts_within_a_second(
    ledger: Ledger, permissions: CedarPermissions, tmp_path: Path, clocks: Clocks
):
    """Another ledger object, as another process has it, tells this one nothing: the number in the database does."""
    run = of_run(3, "flights")
    grant = ledger.grants.add(NewGrant(To.USER, "ann", Gives.ACTION, "run.show"))
    assert permissions.decide(user(), "run.show", run).allowed
    with Ledger.open(None, tmp_path, auditing=AUDITING) as other:
        other.grants.remove(grant.id)
    clocks.pass_by(0.5)
    assert not permissions.decide(user(), "run.show", run).allowed


def test_a_slow_ledger_is_looked_at_once(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Where each look takes longer than answers are kept, each question is answered all the same."""

    def slow() -> float:
        clocks.pass_by(1)
        return clocks.seconds

    slowly = CedarPermissions(tmp_path, ledger.grants, None, clocks.utc, slow)
    assert slowly.decide(user("viewer"), "run.show", of_run(3, "flights")).allowed
    assert not slowly.decide(user(), "run.show", of_run(3, "flights")).allowed


def test_the_owner_needs_no_library(tmp_path: Path):
    """Neither Cedar nor the SQL library is loaded by a command of the owner, nor by importing every command."""
    code = (
        "import sys, pathlib\n"
        "import rowkeeper.cli.commands, rowkeeper as rk\n"
        "from rowkeeper.access import of_run\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with rk.Workspace.open(rk.Settings(home=folder / 'h', key_file=folder / 'k')) as space:\n"
        "    space.ledger.users.add('ann')\n"
        "    space.access.require('run.rollback', of_run(3, 'flights'))\n"
        "print([each for each in ('cedarpy', 'sqlglot') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
