"""Policies that were written by hand: they count, a forbid wins, and a fault is told with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rowkeeper.access import Sight, of_pipeline, of_run
from rowkeeper.access.policytext import policies_in
from rowkeeper.access.resource import Column
from rowkeeper.access.written import checked
from rowkeeper.errors import AccessPolicyInvalid
from rowkeeper.ledger import Ledger
from tests.access.asking import Clocks, permissions_of, to_user, user, write_policies

NO_ROLLBACK = '@id("no-rollback") forbid(principal, action == Action::"run.rollback", resource in Pipeline::"billing");'


def test_a_forbid_wins(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Over a role and over a grant of the very same thing; elsewhere nothing is forbidden."""
    permissions = permissions_of(ledger, tmp_path, clocks, write_policies(tmp_path / "a.cedar", NO_ROLLBACK))
    ledger.grants.add(to_user("run.rollback", ("pipeline", "billing")))
    decision = permissions.decide(user("admin", "operator"), "run.rollback", of_run(3, "billing"))
    assert (decision.allowed, decision.policies) == (False, ("no-rollback",))
    assert permissions.decide(user("operator"), "run.rollback", of_run(3, "flights")).allowed


def test_a_forbidden_column_is_refused(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Also if one of its classifications alone is forbidden; not even that it is there is shown."""
    text = (
        'forbid(principal, action in [Action::"column.clear", Action::"column.masked"], resource in Label::"secret");'
    )
    permissions = permissions_of(ledger, tmp_path, clocks, write_policies(tmp_path / "a.cedar", text))
    columns = [Column("a", frozenset({"pii", "secret"})), Column("b", frozenset({"secret.x"})), Column("c")]
    view = permissions.view(user("viewer"), "shop.orders", columns)
    assert view is not None
    assert view.sights == {"a": Sight.REFUSED, "b": Sight.REFUSED, "c": Sight.CLEAR}


def test_names_can_be_matched(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """A policy that looks at names is asked anew for each name: no answer for one is taken for another."""
    text = 'permit(principal, action == Action::"pipeline.run", resource) when { resource.name like "eu_*" };'
    permissions = permissions_of(ledger, tmp_path, clocks, write_policies(tmp_path / "a.cedar", text))
    asked = [permissions.decide(user(), "pipeline.run", of_pipeline(each)).allowed for each in ("eu_a", "us_a", "eu_b")]
    assert asked == [True, False, True]


def test_a_change_of_a_file_counts(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Half a second later, and also a file that was added to the folder; what cannot be used lets nobody in."""
    folder = tmp_path / "policies"
    folder.mkdir(mode=0o700)
    permissions = permissions_of(ledger, tmp_path, clocks, folder)
    run = of_run(3, "billing")
    assert permissions.decide(user("operator"), "run.rollback", run).allowed
    write_policies(folder / "a.cedar", NO_ROLLBACK)
    clocks.pass_by(0.5)
    assert not permissions.decide(user("operator"), "run.rollback", run).allowed
    write_policies(folder / "b.cedar", "forbid(principal, action, resource")
    clocks.pass_by(0.5)
    for _ in range(2):
        with pytest.raises(AccessPolicyInvalid):
            permissions.decide(user("operator"), "run.show", run)
    (folder / "b.cedar").unlink()
    assert permissions.decide(user("operator"), "run.show", run).allowed


FAULTS = {
    "a misspelt action": ('permit(principal, action == Action::"run.shoe", resource);', 1, "run.shoe"),
    "an attribute that there is not": ("\npermit(principal, action, resource) when { resource.x };", 2, "`x`"),
    "no semicolon": ("// a\n\npermit(principal, action, resource)", 3, "end of input"),
    "a purpose that may be missing": (
        'permit(principal, action == Action::"run.show", resource) when { context.purpose == "x" };',
        1,
        "purpose",
    ),
    "an action on another kind of thing": (
        'permit(principal, action == Action::"key.list", resource in Pipeline::"x");',
        1,
        "action",
    ),
    "a template": ("permit(principal == ?principal, action, resource);", 1, "template"),
    "the second of two": ('@id("a")\npermit(principal, action, resource);\npermit(nobody, action, resource);', 3, ""),
    "a taken name": ('@id("viewer") permit(principal, action, resource);', 1, "viewer.cedar"),
    "a name like a grant's": ('@id("grant 1") permit(principal, action, resource);', 1, "grants"),
    "twice the same name": (
        '@id("x") permit(principal, action, resource);\n@id("x") permit(principal, action, resource);',
        2,
        "a.cedar:1",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_told_with_its_line(tmp_path: Path, what: str):
    """File and line of the policy, and what is wrong with it."""
    text, line, told = FAULTS[what]
    file = write_policies(tmp_path / "a.cedar", text)
    _, (fault,) = checked(file)
    assert fault.place == f"{file}:{line}"
    assert told in fault.told


def test_what_others_can_write_is_refused(tmp_path: Path):
    """A file, or its folder, that others can change says who may do what: it is not read."""
    file = write_policies(tmp_path / "a.cedar", NO_ROLLBACK)
    assert not checked(file)[1]
    for path, mode, mended in ((file, 0o620, 0o600), (tmp_path, 0o777, 0o700)):
        path.chmod(mode)
        _, (fault,) = checked(file)
        assert fault.mend == f"chmod go-w {path}"
        path.chmod(mended)
    assert not checked(file)[1]


def test_policies_that_are_not_there_are_told(tmp_path: Path):
    """A path that leads nowhere is no empty set of policies: one that forbids may be missing."""
    with pytest.raises(AccessPolicyInvalid, match="are not there"):
        checked(tmp_path / "missing.cedar")


def test_a_file_that_is_no_text(tmp_path: Path):
    """It is told as a fault."""
    file = tmp_path / "a.cedar"
    tmp_path.chmod(0o700)
    file.write_bytes(b"\xff\xfe")
    os.chmod(file, 0o600)
    _, (fault,) = checked(file)
    assert "UTF-8" in fault.told


def test_semicolons_in_strings_and_comments_end_nothing():
    """A file is taken apart as Cedar's own parser would."""
    text = '// a; b\npermit(principal == User::"x;\\";y", action, resource); // c;\n/**/'
    found = list(policies_in(text, "f"))
    assert [each.place for each in found] == ["f:2", "f:3"]
    assert found[0].text == 'permit(principal == User::"x;\\";y", action, resource);'


def test_a_policy_that_fails_refuses(ledger: Ledger, tmp_path: Path, clocks: Clocks):
    """Cedar leaves out what fails while it is evaluated; here it refuses, as it could be what forbids."""
    text = (
        'forbid(principal, action == Action::"run.show", resource)\n'
        'when { 9223372036854775807 + (if resource.name == "3" then 1 else 0) == 1 };'
    )
    permissions = permissions_of(ledger, tmp_path, clocks, write_policies(tmp_path / "a.cedar", text))
    assert not permissions.decide(user("viewer"), "run.show", of_run(3, "flights")).allowed
    assert permissions.decide(user("viewer"), "run.show", of_run(4, "flights")).allowed
