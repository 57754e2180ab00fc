"""The roles that come with Rowkeeper: each of them, asked about each action."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rowkeeper.access import CedarPermissions, Sight, of_column, of_role, of_table, of_user
from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.builtin import BUILT_IN_ROLES, built_in_policies, built_in_text
from rowkeeper.access.cedar import validate
from rowkeeper.access.policytext import policies_in
from rowkeeper.access.resource import Column
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger import Ledger
from tests.access.asking import Clocks, permissions_of, something, user
from tests.auditing import AUDITING

LOOKS = {"health.show", "alert.list", "metrics.show", "pipeline.show", "profile.show", "run.show", "data.query"}
COLUMNS = {"column.clear", "column.masked"}
WORKS = {
    "alert.change",
    "freshness.change",
    "schedule.change",
    "settings.show",
    "pipeline.run",
    "pipeline.verify",
    "run.resume",
    "run.publish",
    "run.rollback",
    "staging.show",
    "staging.discard",
    "spool.drain",
    "quarantine.show",
    "backup.list",
    "backup.create",
    "backup.verify",
    "backup.drill",
}
KEEPS = {"key.list", "key.change", "user.list", "user.change", "role.list", "role.change", "audit.list", "event.list"}
MAY = {
    "viewer": LOOKS | COLUMNS,
    "operator": LOOKS | COLUMNS | WORKS,
    "steward": LOOKS
    | COLUMNS
    | {"pipeline.verify", "staging.show", "quarantine.show", "quarantine.export", "quarantine.replay"}
    | {"quarantine.reveal", "data.reveal"},
    "security-officer": KEEPS | {"health.show", "alert.list", "settings.show", "audit.export", "audit.accept"},
    "admin": ACTIONS.keys() - {"quarantine.reveal", "data.reveal", "audit.accept"},
}
"""Written down once more by hand: whoever changes a role changes it here too, and sees what it means."""


@pytest.fixture(scope="module")
def permissions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CedarPermissions]:
    """Of an installation that is as it was made: these tests only ask."""
    home, clocks = tmp_path_factory.mktemp("roles"), Clocks()
    with Ledger.open(None, home, clocks.utc, auditing=AUDITING) as opened:
        yield permissions_of(opened, home, clocks)


@pytest.mark.parametrize("role", BUILT_IN_ROLES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_role_and_every_action(permissions: CedarPermissions, role: str, action: str):
    """A role may do what the table says, and nothing else."""
    assert permissions.decide(user(role), action, something(action)).allowed is (action in MAY[role])


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_may_without_a_role(permissions: CedarPermissions, action: str):
    """Neither somebody without a role, nor with one that there is not, nor without an account, may do anything."""
    thing = something(action)
    for caller in (user(), user("owner"), Caller(CallerKind.ANONYMOUS, "", roles=frozenset({"admin"}))):
        assert not permissions.decide(caller, action, thing).allowed


def test_an_unknown_action_is_refused(permissions: CedarPermissions):
    """An action that the list does not have is refused to the admin too, and so is one on another kind of thing."""
    assert not permissions.decide(user("admin"), "run.explode", something("run.show")).allowed
    assert not permissions.decide(user("admin"), "run.rollback", something("pipeline.run")).allowed


@pytest.mark.parametrize("role", BUILT_IN_ROLES)
def test_classified_columns_are_clear_to_nobody(permissions: CedarPermissions, role: str):
    """No built-in role sees a classified, unprotected column; a protected one is seen as it is stored."""
    columns = [
        Column("id"),
        Column("email", frozenset({"pii.email"})),
        Column("card", frozenset({"pci"}), protected=True),
    ]
    view = permissions.view(user(role), "shop.orders", columns)
    if role == "security-officer":
        assert view is None
        return
    assert view is not None
    assert view.sights == {"id": Sight.CLEAR, "email": Sight.MASKED, "card": Sight.CLEAR}
    assert view.row_filter is None


def test_columns_of_a_table_that_may_not_be_read(permissions: CedarPermissions):
    """Who may not read the table sees no column, although everybody may see unclassified ones."""
    assert not permissions.decide(user(), "column.clear", of_column("shop.orders", "id")).allowed
    assert permissions.view(user(), "shop.orders", [Column("id")]) is None
    assert permissions.decide(user("viewer"), "data.query", of_table("shop.orders")).allowed


def test_nobody_changes_what_they_may_themselves(permissions: CedarPermissions):
    """Neither their own account, nor a role that they have; others they may."""
    for role in ("admin", "security-officer"):
        caller = user(role)
        assert permissions.decide(caller, "user.change", of_user("bob")).allowed
        decision = permissions.decide(caller, "user.change", of_user("ann"))
        assert (decision.allowed, decision.policies) == (False, ("not-oneself",))
        assert permissions.decide(caller, "role.change", of_role("viewer")).allowed
        decision = permissions.decide(caller, "role.change", of_role(role))
        assert (decision.allowed, decision.policies) == (False, ("not-own-role",))


def test_the_decision_names_its_policy(permissions: CedarPermissions):
    """What decided is told by its id."""
    assert permissions.decide(user("viewer"), "run.show", something("run.show")).policies == ("viewer",)


def test_a_service_has_roles_too(permissions: CedarPermissions):
    """A machine's account is asked about as a person's."""
    service = Caller(CallerKind.SERVICE, "loader", roles=frozenset({"operator"}))
    assert permissions.decide(service, "pipeline.run", something("pipeline.run")).allowed
    assert not permissions.decide(service, "user.change", something("user.change")).allowed


def test_the_files_fit_the_schema():
    """Each policy that comes with Rowkeeper passes Cedar's validation, and has a name of its own."""
    for name in (*BUILT_IN_ROLES, "everybody"):
        for each in policies_in(built_in_text(name), name):
            validate(each.text)
    ids = [each.id for each in built_in_policies()]
    assert len(set(ids)) == len(ids)
    assert all(":" not in each for each in ids)
