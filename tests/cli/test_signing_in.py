"""`rowkeeper users password | totp | sessions | certificate` and `rowkeeper tokens`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pyotp
import pytest

from rowkeeper.security.apitoken import is_token
from tests.arena import Arena

PASSWORD = "lamps walk over nine hills"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    made = Arena(tmp_path_factory.mktemp("arena"))
    made.answers(
        ("users", "add", "ann", "--role", "viewer", "--role", "operator"), ("users", "add", "loader", "--service")
    )
    return made


def typed(arena: Arena, text: str, *words: str) -> Any:
    """A command in a process of its own, with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "rowkeeper.cli", *words],
        input=text,
        text=True,
        capture_output=True,
        cwd=arena.folder,
        env={**os.environ, **arena.env},
        timeout=60,
        check=False,
    )


def test_a_password_comes_from_standard_input(arena: Arena):
    """Never as an argument; and it is in no output and no file."""
    done = typed(arena, f"{PASSWORD}\n", "users", "password", "ann", "--json")
    assert json.loads(done.stdout) == {"user": "ann", "sessions_ended": [], "tokens": []}
    assert PASSWORD not in done.stdout + done.stderr
    stored = b"".join(path.read_bytes() for path in arena.home.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in stored
    assert typed(arena, "", "users", "password", "ann").returncode == 2


def test_a_weak_password_is_refused(arena: Arena):
    """With a code and a next step, and without the password in them."""
    done = typed(arena, "password1234\n", "users", "password", "ann")
    assert done.returncode == 2
    assert "RK-6083" in done.stderr
    assert "password1234" not in done.stdout + done.stderr


def test_there_is_no_option_for_a_password(arena: Arena):
    """Arguments are seen by everybody on the machine."""
    for words in (("users", "password", "ann", PASSWORD), ("users", "password", "ann", "--password", PASSWORD)):
        assert arena.run(*words).status == 2


def test_a_second_factor_in_two_steps(arena: Arena):
    """The secret as JSON, the first code from standard input; taken away again."""
    made = arena.ok("users", "totp", "ann")
    totp = pyotp.parse_uri(made["uri"])
    assert isinstance(totp, pyotp.TOTP)
    assert typed(arena, "000000\n", "users", "totp", "ann", "--confirm").returncode == 2
    done = typed(arena, f"{totp.now()}\n", "users", "totp", "ann", "--confirm", "--json")
    assert len(json.loads(done.stdout)["recovery_codes"]) == 10
    listed = arena.ok("keys", "list")["keys"]
    assert [each["files"] for each in listed if each["purpose"] == "login"] == [1]
    assert arena.run("users", "totp", "ann").status == 2
    assert arena.ok("users", "totp", "ann", "--remove") == {"user": "ann", "removed": True}
    assert arena.ok("users", "totp", "ann", "--remove") == {"user": "ann", "removed": False}


def test_a_key_that_a_second_factor_is_sealed_with_is_not_revoked(arena: Arena):
    """Unless it is forced: it would be lost."""
    arena.ok("users", "totp", "ann")
    before = [each["id"] for each in arena.ok("keys", "list")["keys"] if each["purpose"] == "login"]
    arena.ok("keys", "rotate", "login")
    refused = arena.run("keys", "revoke", before[-1])
    assert refused.status != 0
    assert "1 second factor is still sealed" in refused.stderr
    arena.ok("users", "totp", "ann", "--remove")
    assert arena.run("keys", "revoke", before[-1], "--json").status == 0


def test_tokens_by_command(arena: Arena):
    """Made and shown once, listed without their text, revoked; the text alone is on standard output."""
    made = arena.ok("tokens", "make", "ann", "--label", "nightly", "--days", "7", "--role", "viewer")
    assert is_token(made["text"])
    outcome = arena.run("tokens", "make", "loader", "--label", "machine")
    assert is_token(outcome.stdout.strip())
    listed = arena.run("tokens", "list", "--json")
    assert {each["label"] for each in listed.json["tokens"]} == {"nightly", "machine"}
    assert "rkt_" not in listed.stdout
    assert [each["id"] for each in arena.ok("tokens", "list", "--user", "ann")["tokens"]] == [made["token"]["id"]]
    assert arena.ok("tokens", "revoke", made["token"]["id"])["tokens"][0]["revoked_at"]
    assert arena.run("tokens", "revoke", "t_0123456789abcdef").status == 2
    assert arena.run("tokens", "make", "ann", "--label", "x", "--role", "admin").status == 2
    assert "revoked" in arena.run("tokens", "list").stdout


def test_sessions_by_command(arena: Arena):
    """None yet; and of nobody that there is not."""
    assert arena.ok("users", "sessions", "ann", "--revoke-all") == {"sessions": [], "ended": []}
    assert arena.run("users", "sessions", "anne").status == 2


def test_certificates_by_command(arena: Arena):
    """Bound, listed, loosed; of services alone."""
    name = "spiffe://example.org/loader"
    bound = arena.ok("users", "certificate", "loader", "--bind", name)
    assert [each["name"] for each in bound["certificates"]] == [name]
    assert arena.run("users", "certificate", "ann", "--bind", name).status == 2
    assert arena.ok("users", "certificate", "loader", "--loose", name)["certificates"] == []


def test_without_a_provider_nobody_is_one_of_its_people(arena: Arena):
    """The setting is named."""
    outcome = arena.run("users", "identity", "ann")
    assert outcome.status == 1
    assert "ROWKEEPER_OIDC_ISSUER" in outcome.stderr
