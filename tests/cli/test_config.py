"""`rowkeeper config show`: each setting, its value, and where it came from."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rowkeeper.settings import Settings
from tests.arena import Arena

CANARY = "canary-of-the-mine"


def shown(arena: Arena, *words: str, **env: str) -> dict[str, dict[str, Any]]:
    outcome = arena.run(*words, "config", "show", "--json", env=env)
    assert outcome.status == 0, outcome
    return {each["name"]: each for each in outcome.json["settings"]}


def test_every_setting_is_shown_with_its_origin(own_arena: Arena):
    """The variable; the file with its line; the profile's line; or the default."""
    own_arena.write("rowkeeper.toml", "nice = 3\n\n[profile.dev]\nbatch_rows = 500\n")
    found = shown(own_arena, "--profile", "dev", ROWKEEPER_QUEUE_BATCHES="4")
    assert list(found) == list(Settings.model_fields)
    origins = {name: (each["value"], each["from"], each["place"]) for name, each in found.items()}
    assert origins["queue_batches"] == (4, "environment", "ROWKEEPER_QUEUE_BATCHES")
    assert origins["profile"] == ("dev", "environment", "ROWKEEPER_PROFILE")
    assert origins["batch_rows"] == (500, "profile", "rowkeeper.toml:4")
    assert origins["nice"] == (3, "file", "rowkeeper.toml:1")
    assert origins["threads"] == (None, "default", None)
    assert found["nice"]["variable"] == "ROWKEEPER_NICE"


def test_secrets_are_shown_as_references_alone(own_arena: Arena):
    """What they lead to is not even read."""
    variables = {"ROWKEEPER_LEDGER_PASSWORD": "env:PGPASS", "PGPASS": CANARY}
    outcome = own_arena.run("config", "show", env={**variables, "ROWKEEPER_LEDGER_URL": "postgresql://ada@db/books"})
    assert outcome.status == 0, outcome
    assert "env:PGPASS" in outcome.stdout
    assert CANARY not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("command", [["runs"], ["config", "show"], ["doctor"]])
def test_a_literal_in_the_environment_is_refused_by_its_variable(own_arena: Arena, command: list[str]):
    """By every command, with how to move it."""
    env = {"ROWKEEPER_LEDGER_URL": f"postgresql://ada:{CANARY}@127.0.0.1/books"}
    outcome = own_arena.run(*command, "--json", env=env)
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "RK-6010"), outcome
    assert outcome.json["error"]["what"].startswith("ROWKEEPER_LEDGER_URL: ")
    assert "ROWKEEPER_LEDGER_PASSWORD=env:NAME" in outcome.json["error"]["hint"]
    assert CANARY not in outcome.stdout + outcome.stderr


def test_a_wrong_value_is_told_by_its_place(own_arena: Arena):
    """And not quoted."""
    own_arena.write("rowkeeper.toml", f'\n[profile.dev]\nlog_level = "{CANARY}"\n')
    outcome = own_arena.run("--profile", "dev", "runs", "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "RK-1001"), outcome
    assert "log_level (rowkeeper.toml:3)" in outcome.json["error"]["what"]
    assert CANARY not in outcome.stdout + outcome.stderr


def test_the_profile_is_handed_on_to_what_a_command_starts(own_arena: Arena):
    """A worker's runs are of the profile that the worker was given."""
    own_arena.write("rowkeeper.toml", "[profile.dev]\nnice = 2\n")
    own_arena.write(
        "told.py",
        "import os, rowkeeper as rk\nfrom pydantic import BaseModel\nclass Item(BaseModel):\n    id: int\n"
        "open('profile', 'w').write(os.environ.get('ROWKEEPER_PROFILE', ''))\n"
        "told = rk.Pipeline('told', source=rk.sources.files('*.csv'), contract=Item,"
        " destination=rk.destinations.clickhouse('told', order_by=['id']))\n",
    )
    outcome = own_arena.run("--profile", "dev", "schedule", "list", "told.py", "--json")
    assert outcome.status == 0, outcome
    assert (own_arena.folder / "profile").read_text() == "dev"
    assert "ROWKEEPER_PROFILE" not in os.environ


def test_an_unknown_profile_is_one_error(own_arena: Arena):
    """With the nearest."""
    own_arena.write("rowkeeper.toml", "[profile.prod]\nnice = 2\n")
    outcome = own_arena.run("--profile", "prd", "runs")
    assert outcome.status == 2
    assert "did you mean prod?" in outcome.stderr
