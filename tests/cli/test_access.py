"""Accounts, roles, grants and permissions as commands manage them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.asking import write_policies
from tests.arena import Arena


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    made = Arena(tmp_path_factory.mktemp("access"))
    made.answers(
        ("users", "add", "ann", "--role", "viewer"),
        ("users", "add", "loader", "--service"),
        ("roles", "add", "analyst", "--for", "looks at orders", "--may", "data.query"),
    )
    return made


def test_accounts_are_managed(arena: Arena):
    """Added, given and taken roles, disabled, enabled; each answer has the account as it is then."""
    made, given, taken, off, on = arena.answers(
        ("users", "add", "bob"),
        ("users", "give", "bob", "operator"),
        ("users", "take", "bob", "operator"),
        ("users", "disable", "bob"),
        ("users", "enable", "bob"),
    )
    assert (made["user"]["roles"], given["user"]["roles"], taken["user"]["roles"]) == ([], ["operator"], [])
    assert (off["user"]["enabled"], on["user"]["enabled"]) == (False, True)
    assert (off["user"]["disabled_at"] is None, on["user"]["disabled_at"]) == (False, None)
    listed = {each["name"]: each["kind"] for each in arena.ok("users", "list")["users"]}
    assert listed == {"ann": "user", "bob": "user", "loader": "service"}


def test_grants_and_roles_are_managed(arena: Arena):
    """A grant is made, listed, explained and taken back; each is in the audit trail."""
    add = ("grants", "add", "user:ann", "run.rollback", "pipeline:flights", "--purpose", "mending", "--until", "30d")
    made, _, role = arena.answers(add, ("roles", "filter", "analyst", "orders", "region = 'EU'"), ("roles", "list"))
    number = str(made["grant"]["id"])
    assert (made["grant"]["to"], made["grant"]["on"]) == ("user:ann", "pipeline:flights")
    assert [each["name"] for each in role["roles"]][-1] == "analyst"
    assert role["roles"][-1]["row_filters"] == [{"table": "default.orders", "condition": "region = 'EU'"}]
    told = arena.ok("access", "why", "ann", "run.rollback", "run:flights/3", "--purpose", "mending")
    assert [each["id"] for each in told["policies"]] == [f"grant {number}"]
    refused = arena.run("access", "why", "ann", "run.rollback", "run:flights/3", "--json")
    assert (refused.status, refused.json["allowed"]) == (1, False)
    listed, _, after, trail = arena.answers(
        ("grants", "list"),
        ("grants", "remove", number),
        ("grants", "list"),
        ("audit", "list"),
    )
    assert number in {str(each["id"]) for each in listed["grants"]}
    assert number not in {str(each["id"]) for each in after["grants"]}
    done = [each["action"] for each in trail["entries"]]
    assert {"user.add", "role.add", "grant.add", "role.filter", "grant.remove"} <= set(done)


WRONG = {
    ("users", "give", "ann", "operatr"): ("RK-6074", "did you mean operator?"),
    ("users", "give", "an", "operator"): ("RK-6071", "did you mean ann?"),
    ("users", "add", "ann"): ("RK-6072", "users list"),
    ("users", "add", "a b"): ("RK-6077", "letters"),
    ("users", "take", "ann", "admin"): ("RK-6074", "viewer"),
    ("roles", "add", "admin"): ("RK-6075", "roles show admin"),
    ("roles", "add", "analyst"): ("RK-6075", "roles list"),
    ("roles", "remove", "viewer"): ("RK-6075", "users take"),
    ("roles", "show", "analist"): ("RK-6074", "did you mean analyst?"),
    ("roles", "filter", "analyst", "orders", "1=1) OR (a=1"): ("RK-6077", "region"),
    ("grants", "remove", "999"): ("RK-6076", "grants list"),
    ("grants", "add", "user:ann", "run.rollbak", "*"): ("RK-6077", "did you mean run.rollback?"),
    ("grants", "add", "user:ann", "run.rollback", "table:x"): ("RK-6077", "pipeline"),
    ("grants", "add", "role:analist", "run.show", "*"): ("RK-6074", "did you mean analyst?"),
    ("access", "why", "ann", "run.shw", "run:f/1"): ("RK-6077", "did you mean run.show?"),
}


def test_wrong_words_are_told(arena: Arena):
    """With the error's code, exit status 2, and what was probably meant; nothing is changed."""
    before = arena.ok("audit", "list", "--limit", "1")["entries"][-1]["number"]
    outcomes = arena.together(*WRONG)
    for (words, (code, hint)), outcome in zip(WRONG.items(), outcomes, strict=True):
        assert outcome.status == 2, (words, outcome)
        assert code in outcome.stderr, (words, outcome)
        assert hint in outcome.stderr, (words, outcome)
    assert arena.ok("audit", "list", "--limit", "1")["entries"][-1]["number"] == before


EXPECTED = """
[[expect]]
who = "role:operator"
action = "run.rollback"
on = "run:flights/12"
answer = "allow"

[[expect]]
who = "role:operator"
action = "run.rollback"
on = "run:billing/12"
answer = "{answer}"
"""


def test_policies_are_checked_tried_and_explained(arena: Arena, tmp_path: Path):
    """A file of expectations is met or the differences told, with the policy that decided; its place is named."""
    text = '// ours\n@id("no") forbid(principal, action == Action::"run.rollback", resource in Pipeline::"billing");'
    file = write_policies(tmp_path / "ours.cedar", text)
    env = {"ROWKEEPER_ACCESS_POLICIES": str(file)}
    arena.write("met.toml", EXPECTED.format(answer="deny"))
    arena.write("differs.toml", EXPECTED.format(answer="allow"))
    assert arena.run("access", "test", "met.toml", env=env).status == 0
    differs = arena.run("access", "test", "differs.toml", "--json", env=env)
    assert differs.status == 1
    (one,) = differs.json["differing"]
    assert (one["number"], one["expected"], one["answered"], one["policies"]) == (2, "allow", "deny", ["no"])
    assert "no" in arena.run("access", "test", "differs.toml", env=env).stdout
    why = arena.run("access", "why", "ann", "run.rollback", "run:billing/1", env=env)
    assert f"forbidden by no ({file}:2)" in why.stdout
    checked = arena.run("access", "check", "--json", env=env)
    assert (checked.status, [each["place"] for each in checked.json["policies"]]) == (0, [f"{file}:2"])
    write_policies(file, text + "\npermit(principal, action, resource")
    checked = arena.run("access", "check", env=env)
    assert checked.status == 1
    assert f"{file}:3" in checked.stdout
    refused = arena.run("access", "why", "ann", "run.show", "run:billing/1", env=env)
    assert refused.status == 2
    assert f"{file}:3" in refused.stderr
    assert "RK-6073" in refused.stderr
