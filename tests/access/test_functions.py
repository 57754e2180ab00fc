"""Every function that a door could call refuses by itself, and no door reaches past them."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind, acting
from rowkeeper.errors import AuditBroken
from rowkeeper.ledger.audit.listing import ALL
from rowkeeper.ledger.grants import Gives, NewGrant, To
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.operations import alerts, auditing, incident, keys
from rowkeeper.operations.backfilling import backfill
from rowkeeper.operations.backups.automatic import backup_if_due, backup_now, drill_if_due, prune_if_due
from rowkeeper.operations.backups.creating import create_backup
from rowkeeper.operations.backups.listing import list_backups
from rowkeeper.operations.backups.pruning import prune_backups
from rowkeeper.operations.backups.verifying import verify_backups
from rowkeeper.operations.configuring import show_settings
from rowkeeper.operations.events import export_events, newest_events
from rowkeeper.operations.health import list_keys_seen, look, retire_key, show_held, show_lag
from rowkeeper.operations.maintenance.maintaining import maintain
from rowkeeper.operations.metrics import collect, collect_now
from rowkeeper.operations.metrics.textfile import write_metrics
from rowkeeper.operations.restoring.drilling import drill
from rowkeeper.operations.restoring.restoring import Wanted
from rowkeeper.operations.scheduled import pause_schedule, resume_schedule, show_schedule
from rowkeeper.operations.tablefiles import files_of
from rowkeeper.pipeline import load_file
from rowkeeper.runs import asking, holding, parked, reconciling, replaying, revealing, rollback, verifying
from rowkeeper.runs.draining import drain_spool
from rowkeeper.runs.following import follow, one_run
from rowkeeper.runs.loading import run_pipeline
from rowkeeper.runs.profiling import profile_of
from rowkeeper.runs.querying import run_query
from rowkeeper.runs.report import unobserved
from rowkeeper.runs.workspace import Workspace
from tests.access.governed import NOBODY, REFUSALS, doors, left, opened, public_functions, unwritable
from tests.arena import Arena


def never(*_: object) -> bool:
    raise AssertionError("it was let in")


FUNCTIONS: dict[str, Callable[[Workspace, Path], object]] = {
    "runs.asking.run_for": lambda space, _: asking.run_for(space, "run.show", 1),
    "runs.asking.permitted": lambda space, _: asking.permitted(space, "run.resume", [space.ledger.run(2)]),
    "runs.asking.show_rejected": lambda space, _: asking.show_rejected(1, space, limit=1),
    "runs.draining.drain_spool": lambda space, _: drain_spool(space, "flights"),
    "runs.holding.look_at": lambda space, _: holding.look_at(2, space),
    "runs.holding.publish_held": lambda space, _: holding.publish_held(2, "why", space, critical=True),
    "runs.holding.discard_held": lambda space, _: holding.discard_held(2, space),
    "runs.loading.run_pipeline": lambda space, file: run_pipeline(load_file(file)["flights"], space),
    "runs.following.follow": lambda space, file: follow(
        load_file(file)["flights"], space, never, pause=never, waits=never, chance=random.Random(0)
    ),
    "runs.following.one_run": lambda space, file: one_run(load_file(file)["flights"], space, unobserved, None),
    "runs.parked.resume": lambda space, _: parked.resume(2, space),
    "runs.parked.abandon": lambda space, _: parked.abandon(2, space, "why"),
    "runs.reconciling.recover": lambda space, _: reconciling.recover(space),
    "runs.replaying.replay": lambda space, _: replaying.replay(1, space),
    "runs.replaying.export_rejected": lambda space, file: replaying.export_rejected(1, space, file.parent / "out"),
    "runs.profiling.profile_of": lambda space, _: profile_of("flights", "a/default.flights", space),
    "runs.querying.run_query": lambda space, _: run_query(space, "SELECT * FROM flights"),
    "runs.revealing.reveal_column": lambda space, _: revealing.reveal_column(
        "flights", "ref", space, where={}, limit=1, reason="why"
    ),
    "runs.revealing.reveal_rejected": lambda space, _: revealing.reveal_rejected(1, space, limit=1, reason="why"),
    "runs.revealing.look_at_rejected": lambda space, file: revealing.look_at_rejected(1, space, file, "why"),
    "runs.rollback.rollback_run": lambda space, _: rollback.rollback_run(1, space),
    "runs.verifying.verify_pipeline": lambda space, file: verifying.verify_pipeline(load_file(file)["flights"], space),
    "operations.alerts.alerting.check_alerts": lambda space, _: alerts.check_alerts(space),
    "operations.alerts.alerting.list_alerts": lambda space, _: alerts.list_alerts(space),
    "operations.alerts.alerting.show_rules": lambda space, _: alerts.show_rules(space),
    "operations.alerts.alerting.show_alert": lambda space, _: alerts.show_alert(space, "00"),
    "operations.alerts.alerting.acknowledge": lambda space, _: alerts.acknowledge(space, "00"),
    "operations.alerts.alerting.silence": lambda space, _: alerts.silence(space, ["rule=x"], utc_now(), "why"),
    "operations.alerts.alerting.unsilence": lambda space, _: alerts.unsilence(space, 1),
    "operations.alerts.alerting.send_tests": lambda space, _: alerts.send_tests(space),
    "operations.auditing.verify_trail": lambda space, _: auditing.verify_trail(space, {}),
    "operations.auditing.prove_entry": lambda space, _: auditing.prove_entry(space, 0),
    "operations.auditing.list_entries": lambda space, _: auditing.list_entries(space, limit=10),
    "operations.auditing.export_trail": lambda space, file: auditing.export_trail(space, file.parent / "tiles"),
    "operations.auditing.send_checkpoint": lambda space, _: auditing.send_checkpoint(space),
    "operations.events.reading.newest_events": lambda space, _: newest_events(space, 1, ALL),
    "operations.events.reading.export_events": lambda space, _: export_events(space, ALL),
    "operations.tablefiles.files_of": lambda space, file: files_of(load_file(file)["flights"], space),
    "operations.auditing.public_key": lambda space, _: auditing.public_key(space),
    "operations.auditing.accept_trail": lambda space, _: auditing.accept_trail(space, "why"),
    "operations.configuring.show_settings": lambda space, _: show_settings(space),
    "operations.health.held.show_held": lambda space, _: show_held(space),
    "operations.health.lagging.show_lag": lambda space, _: show_lag([], space),
    "operations.health.looking.look": lambda space, _: look(space),
    "operations.scheduled.show_schedule": lambda space, _: show_schedule(space, "flights"),
    "operations.scheduled.pause_schedule": lambda space, _: pause_schedule(space, "flights", "why"),
    "operations.scheduled.resume_schedule": lambda space, _: resume_schedule(space, "flights"),
    "operations.backfilling.backfill": lambda space, file: backfill(
        load_file(file)["flights"],
        space,
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
        observe=never,
        pause=never,
        chance=random.Random(0),
    ),
    "operations.health.retiring.list_keys_seen": lambda space, _: list_keys_seen(space, "flights"),
    "operations.health.retiring.retire_key": lambda space, _: retire_key(space, "flights", "AA"),
    "operations.incident.incident_of": lambda space, _: incident.incident_of(1, space),
    "operations.maintenance.maintaining.maintain": lambda space, _: maintain(space),
    "operations.backups.creating.create_backup": lambda space, _: create_backup(space),
    "operations.backups.listing.list_backups": lambda space, _: list_backups(space),
    "operations.restoring.drilling.drill": lambda space, _: drill(space, Wanted()),
    "operations.backups.verifying.verify_backups": lambda space, _: verify_backups(space),
    "operations.backups.pruning.prune_backups": lambda space, _: prune_backups(space, keep="1 last"),
    "operations.backups.automatic.backup_if_due": lambda space, _: backup_if_due(space),
    "operations.backups.automatic.backup_now": lambda space, _: backup_now(space, full=False, quick=False),
    "operations.backups.automatic.prune_if_due": lambda space, _: prune_if_due(space),
    "operations.backups.automatic.drill_if_due": lambda space, _: drill_if_due(space),
    "operations.metrics.collecting.collect": lambda space, _: collect(space),
    "operations.metrics.collecting.collect_now": lambda space, _: collect_now(space),
    "operations.metrics.textfile.write_metrics": lambda space, file: write_metrics(space, file.parent / "a.prom"),
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
    "operations.keys.list_keys": lambda space: keys.list_keys(space).keys,
}

ADMINISTERING: dict[str, Callable[[Administration], object]] = {
    "user": lambda them: them.user("ann"),
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
    "operations.serverexport.server_statements": "access export",
    "operations.permitting.try_expectations": "access test",
    "operations.permitting.check_policies": "access check",
    "operations.scheduled.list_schedules": "status",
    "operations.staged.show_staged": "staging",
}
"""What is tested above by a command that does nothing else."""

INSIDE = {
    "runs.access.note_query",
    "runs.asking.kept_rejects",
    "runs.asking.look_for",
    "runs.exporting.export",
    "runs.gating.open_profile",
    "runs.gating.open_sample",
    "runs.hold.hold",
    "runs.loading.load_pipeline",
    "runs.loading.loads_of",
    "runs.loading.replay_run",
    "runs.protecting.protections_for",
    "runs.querying.is_owner",
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
    "operations.backups.capturing.targets_of",
    "operations.backups.leftovers.remove_leftovers",
    "operations.backups.settled.settings_files",
    "operations.backups.store.backup_store",
    "operations.backups.verifying.key_of_backups",
    "operations.restoring.proving.prove",
    "operations.restoring.proving.prove_sealed",
    "operations.backfilling.slots_within",
    "operations.alerts.looking.look_at_rules",
    "operations.bookcheck.examine_books",
    "operations.certcheck.examine_certificates",
    "operations.elsewhere.examine_elsewhere",
    "operations.maintenance.history.find_old",
    "operations.maintenance.history.find_orphans",
    "operations.maintenance.history.find_strangers",
    "operations.maintenance.installation.find_drafts",
    "operations.maintenance.installation.find_upkeep",
    "operations.maintenance.standing.find_alerts",
    "operations.maintenance.standing.find_slots",
    "operations.keys.former_keys",
    "operations.metrics.alerting.of_alerts",
    "operations.metrics.collecting.gathered",
    "operations.metrics.ended.of_ended",
    "operations.metrics.healthy.look_first",
    "operations.metrics.healthy.of_freshness",
    "operations.metrics.healthy.of_health",
    "operations.metrics.schedules.of_schedules",
    "operations.metrics.standing.of_backups",
    "operations.metrics.standing.of_build",
    "operations.metrics.standing.of_kept",
    "operations.metrics.standing.of_keys",
    "operations.metrics.standing.of_runs",
    "operations.metrics.standing.of_shared",
    "operations.health.lagging.lags_of",
    "operations.policycheck.examine_policies",
    "operations.tablecheck.examine_tables",
}
"""Parts of the others, which ask nobody: no door may import them."""

BY_SETTING = {"operations.metrics.textfile.write_after_runs"}
"""What whoever configured the installation has decided, for all who use it: it writes where a setting says."""

ROUGH = {"ledger", "keysets", "quarantine", "samples", "spool", "access"}
"""What a workspace has that asks nobody: no door may touch it."""


def test_every_function_on_a_workspace_has_a_rule():
    """A new one is refused, or empty, or a part of others that no door may import: nobody can forget to decide it."""
    every = {*FUNCTIONS, *LISTS, *BY_COMMANDS, *INSIDE, *BY_SETTING}
    assert every == {f"{each.module}.{each.name}" for each in public_functions()}


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
    assert found == set()


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


@pytest.mark.parametrize("name", LISTS)
def test_a_list_shows_what_its_items_would(name: str, furnished: Arena, space: Workspace):
    """Nothing to who may see nothing, and something to the owner."""
    with acting(NOBODY):
        assert not LISTS[name](space)
    assert LISTS[name](space)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_refusal_that_cannot_be_noted_refuses_all_the_same(name: str, furnished: Arena):
    """What is told then is why the entry cannot be written; nothing was done."""
    before = left(furnished)
    with unwritable(furnished.home), opened(furnished) as space, acting(NOBODY), pytest.raises(AuditBroken):
        FUNCTIONS[name](space, furnished.folder / "p.py")
    assert left(furnished) == before
