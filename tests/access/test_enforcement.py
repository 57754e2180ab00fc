"""Whoever may not do something is refused by the function itself: for commands and every other door."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind, acting
from rowkeeper.cli.commands import main
from rowkeeper.errors import AuditBroken, FrameworkError
from rowkeeper.ledger.grants import Gives, NewGrant, To
from rowkeeper.operations import auditing, health, incident, keys
from rowkeeper.operations.configuring import show_settings
from rowkeeper.pipeline import load_file
from rowkeeper.runs import asking, holding, parked, reconciling, replaying, revealing, rollback, verifying
from rowkeeper.runs.draining import drain_spool
from rowkeeper.runs.loading import run_pipeline
from rowkeeper.runs.workspace import Workspace
from tests.access.governed import NOBODY, REFUSALS, doors, furnish, left, opened, public_functions
from tests.arena import Arena

REFUSED = {
    "run": ["p.py:flights"],
    "explain": ["p.py:flights"],
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
    "audit verify": [],
    "audit prove": ["0"],
    "audit export": ["tiles"],
    "audit key": [],
    "audit accept": ["--reason", "why"],
    "worker": ["p.py"],
    "doctor": [],
    "users add": ["bob"],
    "users disable": ["ann"],
    "users enable": ["ann"],
    "users give": ["ann", "admin"],
    "users take": ["ann", "viewer"],
    "roles show": ["viewer"],
    "roles add": ["auditor"],
    "roles remove": ["loader"],
    "roles filter": ["loader", "flights", "id = 1"],
    "grants add": ["user:ann", "run.rollback", "pipeline:flights"],
    "access why": ["ann", "run.show", "run:1"],
    "access test": ["expected.toml"],
    "access check": [],
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
    "quarantine list": [],
    "spool list": [],
    "keys list": [],
    "audit list": [],
    "users list": [],
    "roles list": [],
    "grants list": [],
}
"""Lists, which show no more than their items would one by one."""

UNSEEN = {"grants remove": ["1"]}
"""What has a number alone: who may not see it is told that there is none."""

OF_NOBODYS = {
    "query": "governed by runs/querying, and tested there",
    "errors": "the meaning of codes is in the documentation",
    "init": "reads a sample and writes a file of the caller's own; opens no state folder",
    "schedule": "reads a pipeline file of the caller's own; opens no state folder",
    "endpoints": "reads settings and pipeline files of the caller's own; opens no state folder",
    "config show": "reads the environment and a file of the caller's own; through other doors show_settings asks",
    "secrets scan": "reads files of the caller's own",
    "audit check-proof": "reads a file of the caller's own, and needs no ledger",
    "firewall render": "reads settings and pipeline files of the caller's own; opens no state folder",
    "vpn render": "reads settings of the caller's own; opens no state folder",
    "vpn check": "looks at this machine's interfaces; opens no state folder",
    "certs check": "connects to a server; opens no state folder",
}
"""Commands that show and change nothing of an installation."""


@pytest.fixture(scope="module")
def furnished(arena: Arena) -> Arena:
    furnish(arena)
    return arena


@pytest.fixture
def space(furnished: Arena) -> Any:
    with opened(furnished) as made:
        yield made


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
    """So its emptiness above says something; but for the spool, in which nothing waits here."""
    document = furnished.ok(*name.split())
    assert any(document.values()) or name == "spool list"


# -------------------------------------------------------------------------- functions, for every other door

FUNCTIONS: dict[str, Callable[[Workspace, Path], object]] = {
    "runs.asking.run_for": lambda space, _: asking.run_for(space, "run.show", 1),
    "runs.asking.permitted": lambda space, _: asking.permitted(space, "run.resume", [space.ledger.run(2)]),
    "runs.asking.show_rejected": lambda space, _: asking.show_rejected(1, space, limit=1),
    "runs.draining.drain_spool": lambda space, _: drain_spool(space, "flights"),
    "runs.holding.look_at": lambda space, _: holding.look_at(2, space),
    "runs.holding.publish_held": lambda space, _: holding.publish_held(2, "why", space, critical=True),
    "runs.holding.discard_held": lambda space, _: holding.discard_held(2, space),
    "runs.loading.run_pipeline": lambda space, file: run_pipeline(load_file(file)["flights"], space),
    "runs.parked.resume": lambda space, _: parked.resume(2, space),
    "runs.parked.abandon": lambda space, _: parked.abandon(2, space, "why"),
    "runs.reconciling.recover": lambda space, _: reconciling.recover(space),
    "runs.replaying.replay": lambda space, _: replaying.replay(1, space),
    "runs.replaying.export_rejected": lambda space, file: replaying.export_rejected(1, space, file.parent / "out"),
    "runs.revealing.reveal_column": lambda space, _: revealing.reveal_column(
        "flights", "ref", space, where={}, limit=1, reason="why"
    ),
    "runs.revealing.reveal_rejected": lambda space, _: revealing.reveal_rejected(1, space, limit=1, reason="why"),
    "runs.revealing.look_at_rejected": lambda space, file: revealing.look_at_rejected(1, space, file, "why"),
    "runs.rollback.rollback_run": lambda space, _: rollback.rollback_run(1, space),
    "runs.verifying.verify_pipeline": lambda space, file: verifying.verify_pipeline(load_file(file)["flights"], space),
    "operations.auditing.verify_trail": lambda space, _: auditing.verify_trail(space, {}),
    "operations.auditing.prove_entry": lambda space, _: auditing.prove_entry(space, 0),
    "operations.auditing.export_trail": lambda space, file: auditing.export_trail(space, file.parent / "tiles"),
    "operations.auditing.public_key": lambda space, _: auditing.public_key(space),
    "operations.auditing.accept_trail": lambda space, _: auditing.accept_trail(space, "why"),
    "operations.configuring.show_settings": lambda space, _: show_settings(space),
    "operations.health.show_health": lambda space, _: health.show_health(space),
    "operations.incident.incident_of": lambda space, _: incident.incident_of(1, space),
    "operations.keys.rotate": lambda space, _: keys.rotate(space, ["audit"]),
    "operations.keys.rewrap": lambda space, _: keys.rewrap(space, "file:other"),
    "operations.keys.revoke": lambda space, _: keys.revoke(space, "00000000", force=True, reason="why"),
}
"""What another door calls, and is refused."""

LISTS: dict[str, Callable[[Workspace], Any]] = {
    "runs.asking.list_runs": lambda space: asking.list_runs(space, limit=10).runs,
    "runs.asking.list_pipelines": asking.list_pipelines,
    "runs.asking.list_unfinished": asking.list_unfinished,
    "runs.asking.list_rejected": asking.list_rejected,
    "runs.parked.parked": parked.parked,
    "operations.auditing.list_entries": lambda space: auditing.list_entries(space, limit=10),
    "operations.keys.list_keys": lambda space: keys.list_keys(space).keys,
}

ADMINISTERING: dict[str, Callable[[Administration], object]] = {
    "add_user": lambda them: them.add_user("bob", CallerKind.USER),
    "enable_user": lambda them: them.enable_user("ann", False),
    "give_role": lambda them: them.give_role("ann", "admin"),
    "take_role": lambda them: them.take_role("ann", "viewer"),
    "role": lambda them: them.role("viewer"),
    "add_role": lambda them: them.add_role("auditor", ""),
    "remove_role": lambda them: them.remove_role("loader"),
    "filter_rows": lambda them: them.filter_rows("loader", "default.flights", "id = 1"),
    "add_grant": lambda them: them.add_grant(
        NewGrant(To.USER, "ann", Gives.ACTION, "run.rollback", "pipeline", "flights")
    ),
}
LISTED = {"users": Administration.users, "roles": Administration.roles, "grants": Administration.grants}
HIDDEN_BY = {"remove_grant"}
"""Accounts, roles and grants, which a class of its own in access/ administers."""

BY_COMMANDS = {
    "runs.asking.list_spool": "spool list",
    "runs.explaining.explained": "explain",
    "runs.profiling.profile_report": "profile",
    "operations.bundle.make_bundle": "bundle",
    "operations.certificates.found_authority": "certs init",
    "operations.certificates.issue_certificate": "certs issue",
    "operations.certificates.renew_certificates": "certs renew",
    "operations.certificates.revoke_certificate": "certs revoke",
    "operations.certificates.look_at_authority": "certs show",
    "operations.doctor.examine": "doctor",
    "operations.permitting.ask_why": "access why",
    "operations.permitting.try_expectations": "access test",
    "operations.permitting.check_policies": "access check",
    "operations.scheduled.list_schedules": "status",
    "operations.staged.show_staged": "staging",
}
"""What is tested above by a command that does nothing else."""

INSIDE = {
    "runs.access.note_query",
    "runs.asking.look_for",
    "runs.exporting.export",
    "runs.gating.open_profile",
    "runs.gating.open_sample",
    "runs.hold.hold",
    "runs.loading.load_pipeline",
    "runs.loading.replay_run",
    "runs.protecting.protections_for",
    "runs.reconciling.reconcile_if_free",
    "runs.revealing.export_revealed",
    "runs.spoolfiles.spool_folder",
    "runs.spoolfiles.write_schema",
    "runs.spoolfiles.read_schema",
    "runs.spoolfiles.write_rows",
    "runs.spoolfiles.read_rows",
    "runs.spoolfiles.sweep",
    "runs.spoolfiles.spool_bytes",
    "runs.watching.watching",
    "operations.bookcheck.examine_books",
    "operations.certcheck.examine_certificates",
    "operations.tablecheck.examine_tables",
}
"""Parts of the others, which ask nobody: no door may import them."""

ROUGH = {"ledger", "keysets", "quarantine", "samples", "spool", "access"}
"""What a workspace has that asks nobody: no door may touch it."""

STILL = {("cli/commands/tables.py", "runs.access.note_query")}
"""Until `rowkeeper query` is governed by runs/querying."""


def test_every_function_on_a_workspace_has_a_rule():
    """A new one is refused, or empty, or a part of others that no door may import: nobody can forget to decide it."""
    assert {*FUNCTIONS, *LISTS, *BY_COMMANDS, *INSIDE} == {f"{each.module}.{each.name}" for each in public_functions()}


def is_lending(node: ast.AST) -> bool:
    """Whether it is given to what asks by itself."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "Administration"


def test_doors_reach_nothing_that_asks_nobody():
    """They import no part of a function, and touch neither ledger nor sealed files: no way leads around the asking."""
    found = set()
    for path, tree in doors():
        lent = {id(each) for node in ast.walk(tree) if is_lending(node) for each in node.args}  # type: ignore[attr-defined]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rowkeeper."):
                module = str(node.module).removeprefix("rowkeeper.")
                found |= {(str(path), f"{module}.{each.name}") for each in node.names} & {
                    (str(path), name) for name in INSIDE
                }
            rough = isinstance(node, ast.Attribute) and node.attr in ROUGH and path.parts[0] == "cli"
            if rough and id(node) not in lent and ast.unparse(node.value) in ("space", "workspace"):  # type: ignore[attr-defined]
                found.add((str(path), f".{node.attr}"))  # type: ignore[attr-defined]
    assert found <= STILL


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_refuses_by_itself(name: str, furnished: Arena, space: Workspace):
    """Whichever door it is called by: one refused entry, and nothing changed."""
    before = left(furnished)
    with acting(NOBODY), pytest.raises(REFUSALS):
        FUNCTIONS[name](space, furnished.folder / "p.py")
    after = left(furnished)
    assert [each[1:] for each in after.entries[len(before.entries) :]] == [("refused", "user:nobody")]
    assert after.state == before.state


def test_every_method_of_administration_has_a_rule():
    """Those that change or show something, those that list, and none besides."""
    public = {name for name in vars(Administration) if not name.startswith("_")}
    assert public == {*ADMINISTERING, *LISTED, *HIDDEN_BY}


@pytest.mark.parametrize("name", ADMINISTERING)
def test_administration_refuses_by_itself(name: str, furnished: Arena, space: Workspace):
    """One refused entry, and no account, role or grant changed."""
    before = left(furnished)
    with acting(NOBODY), pytest.raises(REFUSALS):
        ADMINISTERING[name](Administration(space.access, space.ledger))
    after = left(furnished)
    assert [each[1:] for each in after.entries[len(before.entries) :]] == [("refused", "user:nobody")]
    assert after.state == before.state


@pytest.mark.parametrize("name", LISTED)
def test_administration_lists_what_its_items_would_be(name: str, space: Workspace):
    """Nothing to who may see nothing, and something to the owner."""
    them = Administration(space.access, space.ledger)
    with acting(NOBODY):
        assert LISTED[name](them) == []
    assert LISTED[name](them)


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


@pytest.mark.parametrize("name", LISTS)
def test_a_list_shows_what_its_items_would(name: str, furnished: Arena, space: Workspace):
    """Nothing to who may see nothing, and something to the owner."""
    with acting(NOBODY):
        assert not LISTS[name](space)
    assert LISTS[name](space)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_refusal_that_cannot_be_noted_refuses_all_the_same(name: str, furnished: Arena, monkeypatch):
    """What is told then is why the entry cannot be written; nothing was done."""
    before = left(furnished)
    with opened(furnished) as space, acting(NOBODY):

        def broken(*_: object) -> None:
            raise AuditBroken("the head is not what was signed", hint="restore it")

        monkeypatch.setattr(space.ledger.audit, "_head", broken)
        with pytest.raises(AuditBroken):
            FUNCTIONS[name](space, furnished.folder / "p.py")
        monkeypatch.undo()
    assert left(furnished) == before
