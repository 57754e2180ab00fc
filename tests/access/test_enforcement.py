"""Whoever may not do something is refused by the function itself: for commands and every other door."""

from __future__ import annotations

import json

import click
import pytest

from rowkeeper.access.actions import ACTIONS
from rowkeeper.caller import acting
from rowkeeper.cli.commands import main
from rowkeeper.errors import FrameworkError
from tests.access.governed import NOBODY, REFUSALS, left
from tests.arena import Arena

REFUSED = {
    "run": ["p.py:flights"],
    "explain": ["p.py:flights"],
    "files": ["p.py:flights"],
    "profile": ["p.py:flights"],
    "verify": ["p.py:flights"],
    "show": ["1"],
    "bundle": ["1", "--output", "b.zip"],
    "rollback": ["1"],
    "recover": ["--discard"],
    "staging": ["2"],
    "publish": ["2", "--override", "why"],
    "resume": ["2"],
    "abandon": ["2"],
    "quarantine show": ["1"],
    "quarantine export": ["1", "--to", "out.ndjson"],
    "quarantine replay": ["1"],
    "query": ["SELECT * FROM flights"],
    "reveal": ["flights", "--column", "ref", "--reason", "why"],
    "spool drain": ["flights"],
    "keys rotate": ["--all"],
    "keys rewrap": ["--to", "file:other"],
    "keys revoke": ["00000000", "--force", "--reason", "why"],
    "certs init": [],
    "certs issue": ["web"],
    "certs renew": [],
    "certs revoke": ["web"],
    "certs show": [],
    "audit list": [],
    "audit verify": [],
    "audit prove": ["0"],
    "audit export": ["tiles"],
    "audit send": [],
    "events list": [],
    "events export": [],
    "audit key": [],
    "audit accept": ["--reason", "why"],
    "worker": ["p.py"],
    "backup create": [],
    "backup list": [],
    "backup verify": [],
    "backup drill": [],
    "schedule pause": ["flights"],
    "schedule resume": ["flights"],
    "schedule backfill": ["flights", "2026-01-01", "2026-01-02"],
    "backup prune": ["--keep", "1 last"],
    "maintain": [],
    "doctor": [],
    "users add": ["bob"],
    "users disable": ["ann"],
    "users enable": ["ann"],
    "users give": ["ann", "admin"],
    "users take": ["ann", "viewer"],
    "users password": ["ann"],
    "users totp": ["ann"],
    "users identity": ["ann"],
    "users sessions": ["ann", "--revoke-all"],
    "users certificate": ["ann"],
    "tokens make": ["ann", "--label", "nightly"],
    "roles show": ["viewer"],
    "roles add": ["auditor"],
    "roles remove": ["loader"],
    "roles filter": ["loader", "flights", "id = 1"],
    "grants add": ["user:ann", "run.rollback", "pipeline:flights"],
    "access why": ["ann", "run.show", "run:1"],
    "access test": ["expected.toml"],
    "access check": [],
    "access export": ["--clickhouse"],
    "health": [],
    "alerts list": [],
    "alerts show": [],
    "alerts check": [],
    "alerts test": [],
    "alerts ack": ["00000000"],
    "alerts silence": ["pipeline=flights", "--for", "1h", "--reason", "why"],
    "alerts unsilence": ["1"],
    "metrics show": [],
    "metrics write": ["m.prom"],
    "freshness list": ["flights"],
    "freshness retire": ["flights", "AA"],
}
"""What is refused, with its entry in the audit trail."""

VARIANTS = {
    "staging": [["2", "--discard"], ["2", "--sql", "SELECT 1"]],
    "quarantine show": [["1", "--reveal", "--reason", "why"]],
    "quarantine export": [["1", "--to", "out.ndjson", "--reveal", "--reason", "why"]],
    "keys rotate": [["audit"]],
    "recover": [[]],
}
"""The same with options that lead another way."""

EMPTY = {
    "runs": [],
    "status": [],
    "schedule list": [],
    "quarantine list": [],
    "spool list": [],
    "keys list": [],
    "users list": [],
    "tokens list": [],
    "roles list": [],
    "grants list": [],
}
"""Lists, which show no more than their items would one by one."""

UNSEEN = {"grants remove": ["1"], "tokens revoke": ["1"]}
"""What has a number alone: who may not see it is told that there is none."""

OF_NOBODYS = {
    "serve": "does nothing on behalf of who starts it: each request asks, on behalf of whoever signed in",
    "errors": "the meaning of codes is in the documentation",
    "init": "reads a sample and writes a file of the caller's own; opens no state folder",
    "endpoints": "reads settings and pipeline files of the caller's own; opens no state folder",
    "config show": "reads the environment and a file of the caller's own; through other doors show_settings asks",
    "secrets scan": "reads files of the caller's own",
    "audit check-proof": "reads a file of the caller's own, and needs no ledger",
    "firewall render": "reads settings and pipeline files of the caller's own; opens no state folder",
    "metrics rules": "writes what is the same everywhere; opens no state folder",
    "metrics dashboard": "writes what is the same everywhere; opens no state folder",
    "vpn render": "reads settings of the caller's own; opens no state folder",
    "vpn check": "looks at this machine's interfaces; opens no state folder",
    "certs check": "connects to a server; opens no state folder",
    "restore": "asks in what it builds, before it replaces anything: tests/operations/restoring/test_refusals.py",
}
"""Commands that show and change nothing of an installation."""


def commands(group: click.Group = main, words: tuple[str, ...] = ()) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, (*words, name))
        else:
            found[" ".join((*words, name))] = command
    return found


def given(name: str, words: list[str], arena: Arena, monkeypatch: pytest.MonkeyPatch) -> FrameworkError | None:
    """Gives a command in this process on behalf of somebody who may do nothing; what it raised."""
    monkeypatch.chdir(arena.folder)
    for variable, value in arena.env.items():
        monkeypatch.setenv(variable, value)
    command = commands()[name]
    as_json = ["--json"] if any("--json" in each.opts for each in command.params) else []
    try:
        with acting(NOBODY):
            command.main([*words, *as_json], prog_name=f"rowkeeper {name}", standalone_mode=False)
    except FrameworkError as error:
        return error
    return None


def test_every_command_has_a_rule():
    """A new command is refused or empty for who may do nothing, or it is said why nobody has to be asked."""
    assert {*REFUSED, *EMPTY, *UNSEEN, *OF_NOBODYS} == set(commands())


@pytest.mark.parametrize(
    ("name", "words"),
    [*REFUSED.items(), *((name, words) for name, each in VARIANTS.items() for words in each)],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_a_command_is_refused_on_the_record_and_changes_nothing(
    name: str,
    words: list[str],
    furnished: Arena,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """One refused entry of that person, and otherwise an installation to the byte as it was."""
    before = left(furnished)
    error = given(name, words, furnished, monkeypatch)
    after = left(furnished)
    told = capsys.readouterr()
    assert isinstance(error, REFUSALS) or '"RK-6070"' in told.out, (error, told)
    (entry,) = after.entries[len(before.entries) :]
    assert entry[1:] == ("refused", "user:nobody")
    assert entry[0] in ACTIONS
    assert after.state == before.state
    assert "secret" not in told.out + told.err


@pytest.mark.parametrize("name", EMPTY)
def test_a_list_is_empty(
    name: str, furnished: Arena, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Who may see nothing of what it lists is shown nothing, and leaves nothing behind."""
    before = left(furnished)
    assert given(name, EMPTY[name], furnished, monkeypatch) is None
    document = json.loads(capsys.readouterr().out)
    assert not any(document.values()), document
    assert left(furnished) == before


@pytest.mark.parametrize("name", EMPTY)
def test_the_same_list_is_not_empty_for_the_owner(name: str, furnished: Arena):
    """So its emptiness above says something; but for the spool and tokens, of which there are none here."""
    document = furnished.ok(*name.split())
    assert any(document.values()) or name in {"spool list", "tokens list"}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_has_a_number_alone_is_not_there(name: str, furnished: Arena, monkeypatch: pytest.MonkeyPatch):
    """For who may not see it; it is told like that of a number that nothing has, and nothing is changed."""
    before, told = left(furnished), []
    for number in ("1", "4711"):
        error = given(name, [number], furnished, monkeypatch)
        assert error is not None
        told.append((type(error), error.what.replace(number, "N"), error.hint))
    assert told[0] == told[1]
    assert left(furnished) == before
