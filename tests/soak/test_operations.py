"""The judges of operations: what each is there to find is planted, and found."""

from __future__ import annotations

import dataclasses
import json
import random
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.soak.appraising import finish, judge_alerts, judge_backups, judge_exercise, judge_scratch, judge_slots
from tests.soak.field import OPERATIONS, Field, operation_of
from tests.soak.hearing import RULE, Ear, Heard
from tests.soak.judging import Verdict
from tests.soak.operating import Operator
from tests.soak.slotting import faults_of_slots
from tests.soak.striking import AMBUSHES, OF_OPERATIONS
from tests.soak.tripping import TOLD_SECONDS_MAX, Tripwire
from tests.soak.vaulting import Vault

SLOT = "2026-11-26T{:02}:00:00+00:00"


def found(verdict: Verdict) -> set[str]:
    return {name for name, count in vars(verdict).items() if count and name not in ("rows", "notes")}


# --------------------------------------------------------------------------------------------- slots


def ledger_with(slots: list[tuple[int, int, int, str, int | None]], runs: list[tuple[int, str, int]]) -> list[str]:
    """What is found of slots (number, first hour, last hour, state, run) and runs (run, status, slot)."""
    with closing(sqlite3.connect(":memory:")) as ledger:
        ledger.execute("CREATE TABLE slots (number, pipeline, since, until, state, run, cause)")
        ledger.execute("CREATE TABLE runs (run, status, slot)")
        for number, since, until, state, run in slots:
            row = (
                number,
                "p",
                str(datetime(2026, 11, 26, since)),
                str(datetime(2026, 11, 26, until)),
                state,
                run,
                "time",
            )
            ledger.execute("INSERT INTO slots VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        ledger.executemany("INSERT INTO runs VALUES (?, ?, ?)", runs)
        return faults_of_slots(ledger, {"p": 3600})


WELL = [(1, 0, 1, "done", 7), (2, 1, 2, "done", 8), (3, 2, 3, "due", None)]
RUNS = [(7, "published", 1), (8, "unchanged", 2)]


@pytest.mark.parametrize(
    ("slots", "runs", "told"),
    [
        (WELL, RUNS, ""),
        (WELL, [*RUNS, (9, "rolled_back", 2)], "slot 2 was answered by the runs [8, 9]"),
        (WELL, RUNS[:1], "which is not for it"),
        ([WELL[0], (2, 2, 3, "done", 8)], RUNS, "is no slot"),
        ([WELL[0], (2, 1, 2, "skipped", None)], RUNS[:1], "is skipped"),
        ([(1, 0, 2, "done", 7)], RUNS[:1], "of 7200 s"),
    ],
)
def test_a_slot_that_is_left_out_or_answered_twice_is_found(
    slots: list[tuple[int, int, int, str, int | None]], runs: list[tuple[int, str, int]], told: str
) -> None:
    """By two runs, by none that is for it, by one for several; a gap between two."""
    faults = ledger_with(slots, runs)
    assert bool(faults) == bool(told)
    assert told in " ".join(faults)


# --------------------------------------------------------------------------------------------- alerts


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(tmp_path)
    with made.listening():
        yield made


def post(ear: Ear, id: str, kind: str = "firing") -> int:
    notice = json.dumps({"id": id, "kind": kind, "alerts": [{"rule": RULE}]}).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ear._port}/hook", notice, timeout=0.5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_what_the_receiver_does_not_take_it_has_not_heard(ear: Ear) -> None:
    """Down, broken, silent: and well again, at the same port; that time is not one in which anything could be told."""
    statuses = []
    for strike in (ear.go_down, ear.refuse, ear.hang):
        strike()
        statuses.append(post(ear, "away"))
        ear.recover()
    began, ended = ear.away[0][0], time.monotonic()
    assert statuses == [0, 500, 0]
    assert post(ear, "well") == 200
    assert [each.notice["id"] for each in ear.heard] == ["well"]
    assert ear.seconds_up(began, ended) == pytest.approx(
        ended - began - sum(until - since for since, until in ear.away), abs=1e-6
    )


def test_a_watchdog_that_is_silent_is_found_unless_its_receiver_was_away(tmp_path: Path) -> None:
    """A hundred seconds without a word; half of it excused."""
    ear = Ear(tmp_path, [Heard(10.0, {"kind": "watchdog"}), Heard(110.0, {"kind": "watchdog"})])
    assert ear.gaps(0.0, 120.0) == [10.0, 100.0, 10.0]
    ear.miss(20.0, 50.0)
    ear.miss(40.0, 70.0)
    assert ear.gaps(0.0, 120.0) == [10.0, 50.0, 10.0]


def test_an_alert_that_nobody_is_told_of_is_found(tmp_path: Path) -> None:
    """The pipeline failed two minutes ago, and nothing was heard; what was heard before that counts for nothing."""
    field = Field(tmp_path, random.Random(0), "every 1h")
    field.ear.heard.append(Heard(time.monotonic(), {"id": "1", "kind": "firing", "alerts": [{"rule": RULE}]}))
    tripwire = Tripwire(field, random.Random(0))
    tripwire._tripped, tripwire._before = True, {"1"}
    tripwire._since = time.monotonic() - TOLD_SECONDS_MAX + 30
    tripwire.tend()
    assert tripwire.untold == []
    tripwire._since -= 31
    tripwire.tend()
    assert len(tripwire.untold) == 1


# --------------------------------------------------------------------------------------------- the rest


def test_a_soak_that_left_something_out_is_found() -> None:
    """An operation that never ended well, a fault that met none."""
    done, struck = dict.fromkeys(OPERATIONS, 1), dict.fromkeys(OF_OPERATIONS, 1)
    verdict = Verdict()
    judge_exercise(struck, done, verdict)
    assert verdict.is_good
    judge_exercise(struck | {"prune killed": 0}, {**done, "backup drill": 0}, verdict)
    assert (verdict.unexercised, verdict.is_good) == (2, False)


def test_operations_are_known_by_their_command_lines() -> None:
    """As a worker starts them; a run is none, nor is a listing. An ambush is laid for known ones alone."""
    worker = ["python", "-m", "rowkeeper.cli"]
    assert [operation_of([*worker, *each.split(), "--automatic"]) for each in OPERATIONS] == list(OPERATIONS)
    assert operation_of([*worker, "backup", "list"]) is None
    assert operation_of([*worker, "run", "restore"]) is None
    assert operation_of(["restore"]) is None
    assert {operation for operation, _ in AMBUSHES.values()} == set(OPERATIONS)


@dataclasses.dataclass
class Site:
    """An installation with backups, an alert that was told, and those who look at it."""

    field: Field
    vault: Vault
    operator: Operator
    tripwire: Tripwire
    looked: tuple[float, float]

    def slots(self, verdict: Verdict) -> None:
        judge_slots(self.field, verdict)

    def backups(self, verdict: Verdict, *, restores_max: int = 0) -> None:
        self.operator.verdict = verdict
        judge_backups(self.field, self.vault, self.operator, verdict, restores_max=restores_max)

    def restores(self, verdict: Verdict) -> None:
        self.backups(verdict, restores_max=1)

    def alerts(self, verdict: Verdict) -> None:
        judge_alerts(self.field, self.tripwire, *self.looked, verdict)

    def scratch(self, verdict: Verdict) -> None:
        judge_scratch(self.field, self.vault, verdict)


def judged(*judges: Callable[[Verdict], None]) -> set[str]:
    """What they find."""
    verdict = Verdict()
    for judge in judges:
        judge(verdict)
    return found(verdict)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, source = tmp_path_factory.mktemp("site"), random.Random(0)
    field = Field(folder, source, "every 1h")
    with field.laid_out(timedelta(minutes=1)):
        began = time.monotonic()
        tripwire = Tripwire(field, source)
        tripwire.lay()
        field.answer("run", "by_csv.py")
        (tripwire._data / "bad.csv").write_text("name\nx\n")
        assert field.ask("run", "tripwire.py").status == 1
        field.answer("alerts", "check")
        vault = Vault(field.place)
        for _ in range(2):
            field.answer("backup", "create")
            vault.look()
        yield Site(field, vault, Operator(field, source, Verdict()), tripwire, (began, began + 1))


@pytest.mark.timeout(300)
def test_nothing_is_found_of_what_is_well(site: Site) -> None:
    """Backups, one restored; an alert that was told; after the last operations nothing is left."""
    last = Verdict()
    finish(site.field, last, thorough=True)
    assert found(last) == set(), last.notes
    assert judged(site.slots, site.restores, site.alerts, site.scratch) == set()
    assert len(site.field.ear.heard) >= 2


def test_a_backup_that_is_lost_is_found(site: Site) -> None:
    """The manifest of one that has to be kept is gone, and its files are those of none."""
    manifest = site.field.place / "manifests" / f"{site.vault.kept[-1]}.json"
    aside = manifest.read_bytes()
    manifest.unlink()
    assert {"backups_lost", "scratch_left"} <= judged(site.backups, site.scratch)
    manifest.write_bytes(aside)
    site.vault.lost.clear()
    assert judged(site.scratch) == set()


def test_a_backup_that_is_damaged_is_found(site: Site) -> None:
    """One file is too short, or as long as ever with another bit."""
    (file,) = list((site.field.place / site.vault.kept[-1]).glob("sealed-*"))[:1]
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        file.write_bytes(damaged)
        assert judged(site.backups) == {"backups_unsound"}
    file.write_bytes(content)


def test_a_restored_row_that_was_in_no_file_is_found(site: Site) -> None:
    """The tables are those of the files that the restored ledger names."""
    laid = site.field.feeds[0].laid
    ((name, rows),) = laid.items()
    laid[name] = rows[1:]
    assert judged(site.restores) == {"restores_wrong"}
    laid[name] = rows


def test_what_restores_and_backups_leave_behind_is_found(site: Site) -> None:
    """The place of a drill, work of the engine, half a backup."""
    field = site.field
    work = field.home / "engine" / "backups" / "work" / "half"
    for path in (field.disk / "home.drill.restoring", work, field.place / "half"):
        path.mkdir()
        assert judged(site.scratch) == {"scratch_left"}, path
        path.rmdir()
    (field.place / "manifests" / "20261126T000000Z-full.begun").touch()
    assert judged(site.scratch) == {"scratch_left"}
    (field.place / "manifests" / "20261126T000000Z-full.begun").unlink()


def test_a_notice_that_nobody_heard_or_in_another_order_is_found(site: Site) -> None:
    """By what the ledger says was delivered."""
    heard = list(site.field.ear.heard)
    for other in (heard[1:], heard[::-1]):
        site.field.ear.heard = other
        assert judged(site.alerts) == {"alerts_lost"}
    site.field.ear.heard = heard
    assert judged(site.alerts) == set()


def test_an_operation_that_finds_something_damaged_is_found_unless_it_was_pruned(site: Site) -> None:
    """While nothing goes, nothing can be missing."""
    operator, verdict = site.operator, Verdict()
    operator.verdict, operator._words = verdict, ("backup", "drill")
    error = {"error": {"what": "the backup is not what was written", "code": "RK-7006"}}
    for there in ([*site.vault.kept, "pruned"], []):  # something went meanwhile; nothing was there yet
        operator._there = frozenset(there)
        operator._judge("backup drill", 1, error, "RK-7006")
        assert verdict.is_good
    operator._there = frozenset(site.vault.kept)
    operator._judge("backup drill", 1, error, "RK-3401")
    assert verdict.is_good
    operator._judge("backup drill", 1, error, "RK-7006")
    assert found(verdict) == {"operations_failed"}
