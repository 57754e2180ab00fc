"""What the worker does at times of the installation's own: backups, their pruning, drills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.errors import LeaseHeld, StateError
from rowkeeper.ledger import Ledger
from rowkeeper.operations.appointments import keep
from rowkeeper.settings import Settings
from tests.arena import Arena
from tests.auditing import AUDITING
from tests.operations.backups.furnished import furnish, load
from tests.operations.test_worker import working


def long_due(arena: Arena, *names: str) -> None:
    """Nothing was done at these for long."""
    with arena.by_hand() as hand:
        for name in names:
            hand.execute(f"DELETE FROM appointments WHERE name = '{name}'")
            hand.execute(
                "INSERT INTO appointments (name, kept_until, failures, outcome, told, publish_order) VALUES "
                f"('{name}', '2026-01-01 00:00:00.000000', 0, '', '', 0)"
            )


def test_a_worker_backs_up_prunes_and_drills(own_arena: Arena, tmp_path: Path):
    """After so many runs a backup, then the others by their schedules; each once, and health says so."""
    place = tmp_path / "backups"
    furnish(own_arena, place)
    own_arena.env |= {
        "ROWKEEPER_BACKUP_AFTER_RUNS": "1",
        "ROWKEEPER_BACKUP_KEEP": "1 last",
        "ROWKEEPER_MAINTAIN_SCHEDULE": "off",
    }
    own_arena.ok("runs")
    long_due(own_arena, "backup")
    load(own_arena, 1, names=("added",))
    with working(own_arena) as worker:
        made = worker.wait_for("backed up")
    assert [each["id"] for each in own_arena.ok("backup", "list")["backups"]] == [made["backup"]]
    assert own_arena.ok("backup", "create", "--automatic")["status"] == "not due"
    (check,) = [each for each in own_arena.ok("health")["checks"] if each["name"] == "backup"]
    assert (check["state"], "0 runs were published since" in check["told"]) == ("good", True)
    long_due(own_arena, "backup prune", "backup drill")
    daily = {"ROWKEEPER_BACKUP_PRUNE_SCHEDULE": "every 1d", "ROWKEEPER_DRILL_SCHEDULE": "every 1d"}
    with working(own_arena, env=daily) as worker:
        assert worker.wait_for("backups pruned")["kept"] == 1
        assert worker.wait_for("drill passed")["backup"] == made["backup"]


def test_no_drill_is_due_before_there_is_a_backup(own_arena: Arena, tmp_path: Path):
    """With nothing to try, none fails; it is due with the first backup."""
    furnish(own_arena, tmp_path / "backups")
    own_arena.env["ROWKEEPER_DRILL_SCHEDULE"] = "every 1d"
    own_arena.ok("runs")
    long_due(own_arena, "backup drill")
    assert own_arena.ok("backup", "drill", "--automatic")["status"] == "not due"
    own_arena.ok("backup", "create")
    assert own_arena.ok("backup", "drill", "--automatic")["status"] == "sound"


def test_a_damaged_newest_backup_is_followed_by_a_full_one(own_arena: Arena, tmp_path: Path):
    """The worker does not fail for ever because nothing can go on from it."""
    place = tmp_path / "backups"
    furnish(own_arena, place)
    own_arena.env["ROWKEEPER_BACKUP_AFTER_RUNS"] = "1"
    own_arena.ok("backup", "create")
    (manifest,) = (place / "manifests").glob("*.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"full", b"fool", 1))
    load(own_arena, 1, names=("added",))
    assert own_arena.ok("backup", "create", "--automatic")["kind"] == "full"


def test_a_failure_is_noted_and_tried_again_after_a_pause(tmp_path: Path):
    """A minute at most at first, longer each time, and forgotten after the first that went well."""
    now = datetime.now(UTC)

    def fail() -> None:
        raise StateError("the disk is gone", hint="see to it")

    def pauses(ledger: Ledger) -> tuple[int, timedelta]:
        found = ledger.appointments.of("backup")
        assert found.try_after is not None
        return found.failures, found.try_after - datetime.now(UTC)

    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        for times in (1, 2, 3):
            with pytest.raises(StateError):
                keep(ledger, Settings(), "backup", fail, str)
            failures, pause = pauses(ledger)
            assert failures == times
            assert timedelta(seconds=25) * 2 ** (times - 1) < pause <= timedelta(seconds=60) * 2 ** (times - 1)
        assert ledger.appointments.of("backup").told == "the disk is gone"
        keep(ledger, Settings(), "backup", lambda: None, lambda _: "")
        found = ledger.appointments.of("backup")
        assert (found.failures, found.try_after, found.told, found.outcome) == (0, None, "", "done")
        assert found.kept_at is not None
        assert found.kept_at >= now


def test_one_at_a_time(tmp_path: Path):
    """Whoever comes while it is being kept is refused, and does nothing."""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:

        def twice() -> None:
            with pytest.raises(LeaseHeld):
                keep(ledger, Settings(), "backup", lambda: pytest.fail("it was done twice"), str)

        keep(ledger, Settings(), "backup", twice, lambda _: "")
