"""Whoever manages accounts, roles and grants is asked for permission like everybody; a refusal is on the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rowkeeper.access import Access, CedarPermissions
from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind, acting
from rowkeeper.errors import AccessDenied, UnknownGrant, UnknownRole
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit.event import Outcome
from tests.access.asking import role_to_role, role_to_user, to_role, to_user, user

OFFICER = user("security-officer", name="sue")


@pytest.fixture
def administration(ledger: Ledger, permissions: CedarPermissions) -> Administration:
    ledger.users.add("ann", roles=frozenset({"viewer"}))
    ledger.users.add("sue", roles=frozenset({"security-officer"}))
    ledger.grants.add_role("analyst", "looks")
    ledger.grants.add(to_user("run.show"))
    ledger.grants.add(to_role("analyst", "run.show"))
    return Administration(Access(permissions, ledger.audit), ledger)


CHANGES: dict[str, Callable[[Administration], Any]] = {
    "user.add": lambda here: here.add_user("bob", CallerKind.USER, frozenset({"admin"})),
    "user.disable": lambda here: here.enable_user("ann", False),
    "user.give": lambda here: here.give_role("ann", "admin"),
    "user.take": lambda here: here.take_role("ann", "viewer"),
    "role.add": lambda here: here.add_role("clerk", "", ()),
    "role.remove": lambda here: here.remove_role("analyst"),
    "role.filter": lambda here: here.filter_rows("analyst", "shop.orders", "a = 1"),
    "grant.add": lambda here: here.add_grant(role_to_user("admin")),
    "grant.add to a role": lambda here: here.add_grant(role_to_role("analyst", "admin")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_who_may_not_changes_nothing(administration: Administration, ledger: Ledger, what: str):
    """An operator and a steward are refused, and nothing is changed; the refusal is the newest entry of the trail."""
    before = ledger.grants.state(), ledger.users.all()
    with acting(user("operator", "steward", name="eve")), pytest.raises(AccessDenied):
        CHANGES[what](administration)
    assert (ledger.grants.state(), ledger.users.all()) == before
    assert ledger.audit.newest(1)[0].event.outcome is Outcome.REFUSED


@pytest.mark.parametrize("what", CHANGES)
def test_who_may_changes_it(administration: Administration, ledger: Ledger, what: str):
    """The security officer may, and each change is the newest entry of the trail, under her name."""
    with acting(OFFICER):
        CHANGES[what](administration)
    entry = ledger.audit.newest(1)[0]
    assert (entry.name, entry.event.action) == ("user:sue", what.partition(" ")[0])


def test_nobody_gives_themselves_more(administration: Administration):
    """Neither a role nor a grant, to one's account or to a role that one has."""
    for change in (
        lambda: administration.give_role("sue", "steward"),
        lambda: administration.add_grant(to_user("data.reveal", name="sue")),
        lambda: administration.add_grant(to_role("security-officer", "data.reveal")),
        lambda: administration.enable_user("sue", True),
    ):
        with acting(OFFICER), pytest.raises(AccessDenied):
            change()


def test_lists_show_what_may_be_seen(administration: Administration):
    """Who may not see accounts and roles sees none, and no grants; who may sees their own among them."""
    with acting(user("steward", name="eve")):
        assert (administration.users(), administration.roles(), administration.grants()) == ([], [], [])
        with pytest.raises(UnknownGrant):
            administration.remove_grant(1)
    with acting(OFFICER):
        assert [each.name for each in administration.users()] == ["ann", "sue"]
        assert [each.id for each in administration.grants()] == [1, 2]
        assert administration.roles()[-1].name == "analyst"


def test_no_role_is_given_that_there_is_not(administration: Administration, ledger: Ledger):
    """Neither to a new account, nor by a grant, nor to a new role: the whole change is refused."""
    for change in (
        lambda: administration.add_user("bob", CallerKind.USER, frozenset({"viewr"})),
        lambda: administration.add_grant(role_to_user("viewr")),
        lambda: administration.add_role("clerk", "", (role_to_role("clerk", "viewr"),)),
        lambda: administration.filter_rows("viewr", "t.t", "a = 1"),
    ):
        with pytest.raises(UnknownRole):
            change()
    assert ledger.users.find("bob") is None
    assert [each.name for each in ledger.grants.state().roles] == ["analyst"]
