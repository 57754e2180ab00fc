"""Grants: to whom, what, on what, for which purpose, until when; and the roles that they give."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from rowkeeper.access import CedarPermissions, Sight, of_column, of_pipeline, of_run, of_table
from rowkeeper.access.resource import Column
from rowkeeper.caller import CallerKind
from rowkeeper.errors import RoleExists, UnknownGrant, UnknownRole
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.grants import RowFilter
from tests.access.asking import (
    NOON,
    Clocks,
    permissions_of,
    role_to_role,
    role_to_user,
    to_role,
    to_user,
    user,
    write_policies,
)

FLIGHTS, BILLING = ("pipeline", "flights"), ("pipeline", "billing")
EMAIL = of_column("shop.orders", "email", frozenset({"pii.email"}))
ORDERS = "shop.orders"


def test_a_grant_counts_on_its_thing_and_its_parts(ledger: Ledger, permissions: CedarPermissions):
    """What is granted on a pipeline is granted on its runs, and on no other pipeline's."""
    ledger.grants.add(to_user("run.rollback", FLIGHTS))
    assert permissions.decide(user(), "run.rollback", of_run(3, "flights")).policies == ("grant 1",)
    assert not permissions.decide(user(), "run.rollback", of_run(3, "billing")).allowed
    assert not permissions.decide(user(), "run.show", of_run(3, "flights")).allowed
    assert not permissions.decide(user(name="bob"), "run.rollback", of_run(3, "flights")).allowed


def test_a_grant_is_taken_back(ledger: Ledger, permissions: CedarPermissions):
    """It counts at once, and no more at once after it was taken back; its number is not given again."""
    grant = ledger.grants.add(to_user("run.show"))
    assert permissions.decide(user(), "run.show", of_run(3, "flights")).allowed
    ledger.grants.remove(grant.id)
    assert not permissions.decide(user(), "run.show", of_run(3, "flights")).allowed
    with pytest.raises(UnknownGrant):
        ledger.grants.remove(grant.id)
    assert ledger.grants.add(to_user("run.show")).id > grant.id


def test_the_state_that_answers_follow_from_is_another_when_a_grant_runs_out(
    ledger: Ledger, permissions: CedarPermissions, clocks: Clocks
):
    """Until then it is one and the same; whether it still is, is not told without waiting once it may be another."""
    ledger.grants.add(to_user("run.show", expires_at=NOON + timedelta(seconds=0.3)))
    before = permissions.state(waiting=True)
    assert permissions.state(waiting=False) is before
    clocks.pass_by(0.31)
    assert permissions.state(waiting=False) is None
    assert permissions.state(waiting=True) is not before


def test_a_grant_counts_for_its_purpose(ledger: Ledger, permissions: CedarPermissions):
    """With another purpose, or with none, it does not count."""
    ledger.grants.add(to_user("run.show", purpose="billing"))
    ledger.grants.add(role_to_user("operator", purpose="support"))
    run = of_run(3, "flights")
    allowed = {purpose: permissions.decide(user(purpose=purpose), "run.show", run).allowed for purpose in (None, "x")}
    assert not any(allowed.values())
    assert permissions.decide(user(purpose="billing"), "run.show", run).policies == ("grant 1",)
    assert permissions.decide(user(purpose="support"), "run.show", run).policies == ("operator",)
    assert not permissions.decide(user(purpose="billing"), "run.rollback", run).allowed


def test_a_grant_ends(ledger: Ledger, permissions: CedarPermissions, clocks: Clocks):
    """To the moment, also where the answer was kept."""
    ledger.grants.add(to_user("run.show", expires_at=NOON + timedelta(seconds=10)))
    ledger.grants.add(role_to_user("operator", expires_at=NOON + timedelta(seconds=20)))
    run = of_run(3, "flights")
    asked = []
    for _ in range(5):
        asked.append(tuple(permissions.decide(user(), each, run).allowed for each in ("run.show", "run.resume")))
        clocks.pass_by(5)
    assert asked == [(True, True), (True, True), (True, True), (True, True), (False, False)]


def test_a_grant_ends_within_the_time_that_answers_are_kept(
    ledger: Ledger, permissions: CedarPermissions, clocks: Clocks
):
    """An answer is kept no longer than the grant lasts, although nobody would look for changes yet."""
    ledger.grants.add(to_user("run.show", expires_at=NOON + timedelta(milliseconds=100)))
    assert permissions.decide(user(), "run.show", of_run(3, "flights")).allowed
    clocks.pass_by(0.099)
    assert permissions.decide(user(), "run.show", of_run(3, "flights")).allowed
    clocks.pass_by(0.001)
    assert not permissions.decide(user(), "run.show", of_run(3, "flights")).allowed


def test_a_role_on_one_pipeline(ledger: Ledger, permissions: CedarPermissions):
    """A role that is granted on one pipeline counts there, and nowhere else."""
    ledger.grants.add(role_to_user("operator", FLIGHTS))
    assert permissions.decide(user(), "pipeline.run", of_pipeline("flights")).allowed
    assert permissions.decide(user(), "run.rollback", of_run(3, "flights")).allowed
    assert not permissions.decide(user(), "pipeline.run", of_pipeline("billing")).allowed
    assert not permissions.decide(user(), "data.query", of_table(ORDERS)).allowed


def test_a_role_of_ones_own(ledger: Ledger, permissions: CedarPermissions):
    """It may what was granted to it, and what the roles may that were granted to it; removed, it may nothing."""
    ledger.grants.add_role("analyst", "looks", (to_role("analyst", "data.query"),))
    ledger.grants.add(role_to_role("analyst", "operator", FLIGHTS))
    assert permissions.decide(user("analyst"), "data.query", of_table(ORDERS)).allowed
    assert permissions.decide(user("analyst"), "run.rollback", of_run(3, "flights")).policies == ("operator",)
    assert not permissions.decide(user("analyst"), "run.rollback", of_run(3, "billing")).allowed
    with pytest.raises(RoleExists):
        ledger.grants.add_role("analyst", "again")
    ledger.users.add("ann", roles=frozenset({"analyst"}))
    assert ledger.grants.remove_role("analyst") == 1
    assert not permissions.decide(user("analyst"), "data.query", of_table(ORDERS)).allowed
    assert ledger.users.get("ann").roles == frozenset()
    ledger.grants.add_role("analyst", "made anew")
    assert not permissions.decide(user("analyst"), "data.query", of_table(ORDERS)).allowed
    with pytest.raises(UnknownRole, match="there is no role analist"):
        ledger.grants.remove_role("analist")


def test_a_classification_is_granted_with_what_is_below_it(ledger: Ledger, permissions: CedarPermissions):
    """pii covers pii.email; pii.email does not cover pii, nor pii.phone."""
    ledger.grants.add(to_role("r", "column.clear", ("label", "pii")))
    ledger.grants.add(to_role("s", "column.clear", ("label", "pii.email")))
    phone = of_column(ORDERS, "phone", frozenset({"pii.phone"}))
    assert permissions.decide(user("viewer", "r"), "column.clear", EMAIL).allowed
    assert permissions.decide(user("viewer", "r"), "column.clear", phone).allowed
    assert permissions.decide(user("viewer", "s"), "column.clear", EMAIL).allowed
    assert not permissions.decide(user("viewer", "s"), "column.clear", phone).allowed
    assert not permissions.decide(user("s"), "column.clear", EMAIL).allowed  # the table may not be read


def test_a_column_of_two_classifications_needs_both(ledger: Ledger, permissions: CedarPermissions):
    """What is granted of one is not granted of a column that is classified otherwise as well."""
    both = Column("note", frozenset({"pii.email", "secret"}))
    ledger.grants.add(to_role("r", "column.clear", ("label", "pii.email")))
    view = permissions.view(user("viewer", "r"), ORDERS, [both])
    assert view is not None
    assert view.sights == {"note": Sight.MASKED}
    ledger.grants.add(to_role("r", "column.clear", ("label", "secret")))
    view = permissions.view(user("viewer", "r"), ORDERS, [both])
    assert view is not None
    assert view.sights == {"note": Sight.CLEAR}


def test_a_disabled_account_may_nothing(ledger: Ledger, permissions: CedarPermissions):
    """From the moment on, whatever roles and grants it has; enabled, it may again."""
    ledger.users.add("ann", roles=frozenset({"viewer"}))
    ledger.grants.add(to_user("pipeline.run"))
    assert permissions.decide(user("viewer"), "run.show", of_run(3, "flights")).allowed
    ledger.users.set_enabled("ann", False)
    assert not permissions.decide(user("viewer"), "run.show", of_run(3, "flights")).allowed
    assert not permissions.decide(user("viewer"), "pipeline.run", of_pipeline("flights")).allowed
    ledger.users.set_enabled("ann", True)
    assert permissions.decide(user("viewer"), "run.show", of_run(3, "flights")).allowed


def test_a_limited_token_has_no_grants_of_its_account(ledger: Ledger, permissions: CedarPermissions):
    """A token with some of the account's roles has what those may, not what the account itself was granted."""
    table, run = of_table(ORDERS), of_run(3, "flights")
    ledger.grants.add(to_user("data.query"))
    assert permissions.decide(user(), "data.query", table).allowed
    assert not permissions.decide(user(limited=True), "data.query", table).allowed
    ledger.grants.add(role_to_user("operator"))
    assert permissions.decide(user(), "run.rollback", run).allowed
    assert not permissions.decide(user(limited=True), "run.rollback", run).allowed
    assert permissions.decide(user("viewer", limited=True), "data.query", table).allowed


def test_a_grant_to_a_service(ledger: Ledger, permissions: CedarPermissions):
    """Its kind is looked up: a name is one account's."""
    ledger.users.add("loader", CallerKind.SERVICE)
    ledger.grants.add(to_user("pipeline.run", name="loader"))
    service = dataclasses.replace(user(name="loader"), kind=CallerKind.SERVICE)
    assert permissions.decide(service, "pipeline.run", of_pipeline("flights")).allowed
    assert not permissions.decide(user(name="loader"), "pipeline.run", of_pipeline("flights")).allowed


def test_names_are_data_not_policy(ledger: Ledger, permissions: CedarPermissions):
    """A name with Cedar's own signs in it is a name: it ends no string and begins no rule."""
    odd = 'x"); permit(principal, action, resource); //'
    ledger.grants.add(to_user("run.show", ("pipeline", odd), name=odd, purpose=odd))
    assert permissions.decide(user(name=odd, purpose=odd), "run.show", of_run(3, odd)).allowed
    assert not permissions.decide(user(), "run.rollback", of_run(3, "flights")).allowed


# --------------------------------------------------------------------------------------- row filters


def _rows(permissions: CedarPermissions, *roles: str) -> str | None:
    view = permissions.view(user(*roles), ORDERS, [Column("id")])
    assert view is not None
    return view.row_filter


@pytest.fixture
def regions(ledger: Ledger, permissions: CedarPermissions) -> CedarPermissions:
    """Two roles, each of which may read, and sees rows of one region."""
    for role in ("eu", "us"):
        ledger.grants.add(to_role(role, "data.query"))
        ledger.grants.filter_rows(RowFilter(role, ORDERS, f"region = '{role}'"))
    return permissions


def test_a_role_sees_the_rows_of_its_filter(ledger: Ledger, regions: CedarPermissions):
    """On that table alone; two roles see what either sees; a role without a filter sees all."""
    assert _rows(regions, "eu") == "region = 'eu'"
    assert _rows(regions, "eu", "us") == "(region = 'eu') OR (region = 'us')"
    assert _rows(regions, "eu", "viewer") is None
    view = regions.view(user("eu"), "shop.customers", [])
    assert view is not None
    assert view.row_filter is None
    assert ledger.grants.unfilter_rows("eu", ORDERS)
    assert _rows(regions, "eu") is None
    assert not ledger.grants.unfilter_rows("eu", ORDERS)


def test_a_filter_for_everybody_narrows_all(ledger: Ledger, regions: CedarPermissions):
    """Whatever a role lets be seen, but for the owner."""
    ledger.grants.filter_rows(RowFilter("*", ORDERS, "deleted = 0"))
    assert _rows(regions, "viewer") == "deleted = 0"
    assert _rows(regions, "eu") == "(deleted = 0) AND (region = 'eu')"


def test_a_filter_holds_for_what_a_role_has_of_another(ledger: Ledger, regions: CedarPermissions):
    """A role whose reading comes from a role within it is narrowed by its own filter all the same."""
    ledger.grants.filter_rows(RowFilter("outer", ORDERS, "year = 2026"))
    ledger.grants.add(role_to_role("outer", "eu"))
    assert _rows(regions, "outer") == "(year = 2026) AND (region = 'eu')"
    ledger.grants.add(role_to_user("outer", ("table", ORDERS)))
    assert _rows(regions) == "(year = 2026) AND (region = 'eu')"


def test_filters_of_roles_that_read_only_together(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Where neither role may read alone, the filters of both count."""
    together = write_policies(
        tmp_path / "both.cedar",
        'permit(principal in Role::"a", action == Action::"data.query", resource) when { principal in Role::"b" };',
    )
    permissions = permissions_of(ledger, tmp_path, clocks, together)
    for role in ("a", "b"):
        ledger.grants.filter_rows(RowFilter(role, ORDERS, f"{role} = 1"))
    assert _rows(permissions, "a", "b") == "(a = 1) AND (b = 1)"
    assert permissions.view(user("a"), ORDERS, []) is None
