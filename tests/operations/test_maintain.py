"""`rowkeeper maintain`: what nobody needs goes, what somebody needs stays, whatever dies on the way."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.ledger import RunRecord
from rowkeeper.operations.appointments import is_due
from rowkeeper.operations.maintenance.maintaining import MAINTAIN
from rowkeeper.runs.reconciling import destination_of
from rowkeeper.settings import Settings
from tests import extent
from tests.access.governed import opened
from tests.arena import KILLED, Arena
from tests.operations.test_worker import working

PIPELINES = """
from typing import Annotated
import rowkeeper as rk
from pydantic import BaseModel, Field

class Item(BaseModel):
    id: int
    price: Annotated[int, Field(ge=0)]

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    contract=Item,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
)
"""
ALL_GOES = {
    "ROWKEEPER_HISTORY_KEEP_DAYS": "0",
    "ROWKEEPER_QUARANTINE_KEEP_DAYS": "0",
    "ROWKEEPER_UNDO_KEEP_DAYS": "0",
    "ROWKEEPER_MAINTAIN_PARTS_MAX": "1",
}


def put(arena: Arena, name: str, file: str, first: int, rows: int = 5) -> None:
    """A file with rows, the last of them bad."""
    arena.write(f"{name}.py", PIPELINES.format(name=name))
    lines = "".join(
        f"{number},{number if number < first + rows - 1 else -1}\n" for number in range(first, first + rows)
    )
    arena.write(f"{name}/{file}.csv", "id,price\n" + lines)


def load(arena: Arena, name: str, runs: int = 3) -> None:
    """Several published runs, of one file each."""
    for number in range(runs):
        put(arena, name, f"f{number}", 100 * number)
        arena.ok("run", f"{name}.py")


def maintained(arena: Arena, *options: str, failpoints: str = "", **env: str) -> Any:
    outcome = arena.run("maintain", *options, "--json", failpoints=failpoints, env={**arena.env, **env})
    assert outcome.status == 0, outcome
    return outcome.json["steps"]


def about(steps: list[dict[str, Any]], table: str) -> list[tuple[str, str]]:
    return [(each["part"], each["outcome"]) for each in steps if each["subject"].endswith(f".{table}")]


def tables(arena: Arena, name: str) -> list[str]:
    found = arena.ok("query", f"SELECT name FROM system.tables WHERE name LIKE '{name}%' ORDER BY name")["rows"]
    return [row[0] for row in found]


def by_hand(arena: Arena, name: str, *statements: str) -> None:
    """Statements of the engine, as somebody of the house."""
    with opened(arena) as space:
        session = destination_of(newest(space.ledger, name)).connect(space.site, None)
        assert isinstance(session, TableSession)
        try:
            for each in statements:
                session.statements.do(each)
        finally:
            session.close()


def newest(ledger: Any, name: str) -> RunRecord:
    (found,) = ledger.runs(limit=1, pipeline=name)
    return found


@pytest.fixture(scope="module", autouse=True)
def founded(arena: Arena) -> None:
    arena.env["ROWKEEPER_EGRESS"] = "off"  # as in this process
    arena.ok("query", "SELECT 1")


def test_what_dead_runs_left_in_the_engine_goes(arena: Arena):
    """Staging of a run that is over, and the undo of a former run; what others own stays, and so does the last undo."""
    load(arena, "left", 2)
    last = arena.ok("runs", "--pipeline", "left")["runs"][0]["run"]
    names = [
        f"left__rk_staging_{last}_1",
        f"left__rk_undo_{last - 1}",
        f"left__rk_losers_{last}_9",
        "left__rk_staging_9999_1",
    ]
    by_hand(arena, "left", *(f"CREATE TABLE default.{each} AS default.left" for each in names))
    before = arena.rows("left")
    steps = maintained(arena)
    assert sorted(about(steps, "left")) == [("snapshots", "done"), ("staging", "done"), ("staging", "done")]
    assert tables(arena, "left") == ["left", "left__rk_staging_9999_1", f"left__rk_undo_{last}"]
    assert arena.rows("left") == before
    by_hand(arena, "left", "DROP TABLE default.left__rk_staging_9999_1")


def test_staging_that_somebody_comes_back_for_stays(arena: Arena):
    """A run that was killed in the midst is gone on with afterwards, and nothing was lost."""
    put(arena, "resumed", "a", 0, rows=90)
    assert arena.run("run", "resumed.py", failpoints="run.after_stage=kill").status == KILLED
    assert about(maintained(arena), "resumed") == [("tables", "left")]  # the reconciler comes first
    arena.ok("recover")
    assert about(maintained(arena, **ALL_GOES), "resumed") == []
    assert arena.ok("run", "resumed.py")["account"]["committed"] == 89


def test_many_parts_become_one_and_the_books_still_agree(arena: Arena):
    """Only above the limit, only as much as may be merged; a run can be taken back afterwards."""
    load(arena, "parts", 3)
    by_hand(arena, "parts", "SYSTEM STOP MERGES default.parts", "SYSTEM START MERGES default.parts")
    steps = maintained(arena, ROWKEEPER_MAINTAIN_PARTS_MAX="1", ROWKEEPER_MAINTAIN_MERGE_BYTES_MAX="1")
    assert about(steps, "parts") == []
    steps = maintained(arena, ROWKEEPER_MAINTAIN_PARTS_MAX="1")
    parts = "SELECT count() FROM system.parts WHERE active AND table = 'parts'"
    assert arena.ok("query", parts)["rows"] == [[1]]
    assert about(steps, "parts") in ([("parts", "done")], [])  # unless ClickHouse was faster
    assert arena.ok("verify", "parts.py")["sound"]
    last = arena.ok("runs", "--pipeline", "parts")["runs"][0]["run"]
    arena.ok("rollback", str(last))
    assert arena.ok("verify", "parts.py")["sound"]


def test_rejected_rows_go_when_they_are_old(arena: Arena):
    """The files, and what shows them says so; figures and reasons stay, and the run itself."""
    load(arena, "old", 1)
    number = arena.ok("runs", "--pipeline", "old")["runs"][0]["run"]
    assert len(arena.ok("quarantine", "show", str(number))["rows"]) == 1
    assert about(maintained(arena, ROWKEEPER_QUARANTINE_KEEP_DAYS="1"), "old") == []
    assert about(maintained(arena, ROWKEEPER_QUARANTINE_KEEP_DAYS="0"), "old") == [("history", "done")]
    assert list((arena.home / "quarantine" / str(number)).glob("*")) == []
    for words in (("show",), ("replay",), ("export", "--to", str(arena.folder / "out.jsonl"))):
        refused = arena.run("quarantine", words[0], str(number), *words[1:])
        assert (refused.status, "were removed" in refused.stderr) == (1, True), refused
    shown = arena.ok("show", str(number))
    assert (shown["account"]["quarantined"], list(shown["reasons"].values())) == (1, [1])
    (listed,) = [each for each in arena.ok("quarantine", "list")["quarantine"] if each["run"] == number]
    assert (listed["rows"], listed["kept"]) == (1, False)
    assert arena.ok("verify", "old.py")["sound"]


def test_what_is_loaded_stays_loaded_when_history_goes(arena: Arena):
    """The same files again are nothing new; a changed one takes the place of what it brought before."""
    load(arena, "kept", 3)
    put(arena, "kept", "f0", 900)
    arena.ok("run", "kept.py")
    maintained(arena, **ALL_GOES)
    rows = arena.rows("kept")
    assert arena.ok("run", "kept.py")["status"] == "unchanged"
    put(arena, "kept", "f1", 500)
    arena.ok("run", "kept.py")
    expected = [row for row in rows if not 100 <= int(row[0]) < 200] + [[each, each] for each in range(500, 504)]
    assert sorted(arena.rows("kept")) == sorted(expected)
    assert arena.ok("verify", "kept.py")["sound"]


def test_a_dry_run_tells_and_changes_nothing(arena: Arena):
    """The same steps as would be done, no entry in the trail, no lease, and all is there as before."""
    load(arena, "dry", 2)
    by_hand(arena, "dry", "CREATE TABLE default.dry__rk_undo_1 AS default.dry")
    before = (tables(arena, "dry"), files(arena.home), entries(arena))
    steps = maintained(arena, "--dry-run", **ALL_GOES)
    told = [each["part"] for each in steps if each["subject"].endswith(".dry")]
    assert {each["outcome"] for each in steps if each["subject"].endswith(".dry")} == {"would"}
    assert (tables(arena, "dry"), files(arena.home), entries(arena)) == before
    done = [each["part"] for each in maintained(arena, **ALL_GOES) if each["subject"].endswith(".dry")]
    assert done == told


def entries(arena: Arena) -> list[int]:
    """Those of the trail that maintenance writes."""
    of_it = ("maintain.run", "history.prune", "quarantine.prune")
    found = arena.ok("audit", "list", "--limit", "500")["entries"]
    return [each["number"] for each in found if each["action"] in of_it]


def files(home: Path) -> list[str]:
    return sorted(str(path) for name in ("quarantine", "samples") for path in (home / name).rglob("*.sealed"))


def test_a_destination_that_a_run_holds_is_left_alone(arena: Arena):
    """It is told, the others are maintained, and the command has done what it could."""
    load(arena, "busy", 1)
    with opened(arena) as space:
        lease = space.ledger.acquire_lease(newest(space.ledger, "busy").target, 60)
        assert about(maintained(arena, **ALL_GOES), "busy") == [("tables", "left")]
        space.ledger.release_lease(lease)
    assert ("history", "done") in about(maintained(arena, **ALL_GOES), "busy")


def test_it_is_on_the_record_before_it_is_done(arena: Arena):
    """With the destination, and how much of what."""
    load(arena, "noted", 1)
    assert (
        arena.run(
            "maintain", failpoints="maintain.after_entry=kill", env={**arena.env, "ROWKEEPER_QUARANTINE_KEEP_DAYS": "0"}
        ).status
        == KILLED
    )
    found = arena.ok("audit", "list", "--limit", "10")["entries"]
    written = [each for each in found if each["action"] == "maintain.run"]
    assert (written[-1]["on"]["place"].rpartition(".")[2], written[-1]["detail"]) == ("noted", {"history": 1})
    number = arena.ok("runs", "--pipeline", "noted")["runs"][0]["run"]
    assert len(arena.ok("quarantine", "show", str(number))["rows"]) == 1


def test_drafts_of_dead_processes_go_when_they_are_old(arena: Arena):
    """A day old; one that may be written just now stays."""
    old, fresh = (arena.home / "audit" / f".checkpoint.{letter * 16}" for letter in "ab")
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    maintained(arena)
    assert (old.exists(), fresh.exists()) == (False, True)
    fresh.unlink()


def age(arena: Arena, name: str, slots: int = 3) -> None:
    """Slots, alerts, silences and notices of long ago."""
    at = "2026-01-01 {:02}:00:00.000000"
    with arena.by_hand() as hand:
        for hour in range(slots):
            end = at.format(hour + 1)
            hand.execute(
                "INSERT INTO slots (pipeline, key, cause, since, until, not_before, state, tries, outcome, told, "
                f"ended_at) VALUES ('{name}', '2026-01-01T{hour + 1:02}:00:00+00:00', 'time', '{at.format(hour)}', "
                f"'{end}', '{end}', 'done', 1, 'published', '', '{end}')"
            )
        id = (name.encode().hex() + "0" * 32)[:32]
        then = at.format(1)
        hand.execute(
            "INSERT INTO alerts (id, rule, subject, severity, labels, told, mend, since, resolved_at, acked_by, "
            f"acked_note, silenced_by, routes) VALUES ('{id}', 'r', '', 'info', '{{}}', '', '', '{then}', '{then}', "
            "'', '', '', '{}')"
        )
        for _ in range(2):  # the newest stays
            hand.execute(
                "INSERT INTO alert_silences (matchers, reason, who, made_at, until) VALUES "
                f"""('["rule=r"]', 'why', 'ann', '{then}', '{then}')"""
            )
        hand.execute(
            "INSERT INTO alert_notices (id, route, kind, alert_group, alerts, made_at, attempts, ended_at, outcome) "
            f"VALUES ('{id}', 'ops', 'firing', '{{}}', '[]', '{then}', 0, '{then}', 'delivered')"
        )
        hand.execute(
            "INSERT INTO alert_deliveries (notice, route, at, seconds, outcome, told) "
            f"VALUES ('{id}', 'ops', '{then}', 0.1, 'delivered', '')"
        )


def test_old_slots_and_alerts_go_and_it_is_told_how_many(own_arena: Arena):
    """A dry run tells the same, and what was done once is not done again; what is younger than is set stays."""
    own_arena.ok("runs")
    age(own_arena, "orders")
    keeping = {f"ROWKEEPER_{each}_KEEP_DAYS": "36500" for each in ("SLOTS", "ALERTS", "NOTICES")}
    assert maintained(own_arena, **keeping) == []
    would = maintained(own_arena, "--dry-run")
    done = maintained(own_arena)
    assert [(each["part"], each["subject"], each["told"].partition(" before ")[0]) for each in done] == [
        ("slots", "orders", "remove 3 slots that ended"),
        ("alerts", "alerts", "remove 1 alerts and 1 silences that were over"),
        ("notices", "alerts", "remove 1 notices that were delivered or given up"),
    ]
    assert [each["told"] for each in would] == [each["told"] for each in done]
    assert maintained(own_arena) == []
    with own_arena.by_hand() as hand:
        ((rows,),) = hand.execute("SELECT count(*) FROM answered_instants").fetchall()
    assert rows == 1


def test_killed_anywhere_it_is_done_by_the_next_one(arena: Arena):
    """At each failpoint: the table stays, the books agree, and what the next one leaves is the same."""

    def furnished(name: str) -> None:
        load(arena, name, 2)
        last = arena.ok("runs", "--pipeline", name)["runs"][0]["run"]
        by_hand(arena, name, f"CREATE TABLE default.{name}__rk_undo_{last - 1} AS default.{name}")
        age(arena, name)

    maintained(arena)  # the appointment is made once
    furnished("calm")
    log = arena.folder / "maintain.log"
    maintained(arena, failpoints=f"*=log:{log}", **ALL_GOES)
    own = ("maintain.", "upkeep.", "appointment.", "prune_", "_appointment")
    points = [each for each in dict.fromkeys(log.read_text().split()) if any(word in each for word in own)]
    assert len(points) > 12, points
    for number, point in enumerate(extent.sample("kills of maintain", points, len(points) if extent.whole else 3)):
        name = f"killed{number}"
        furnished(name)
        rows = arena.rows(name)
        killed = arena.run("maintain", failpoints=f"{point}=kill", env={**arena.env, **ALL_GOES})
        assert killed.status == KILLED, (point, killed)
        maintained(arena, **ALL_GOES)
        assert tables(arena, name) == [name], point
        numbers = [each["run"] for each in arena.ok("runs", "--pipeline", name)["runs"]]
        assert not any(list((arena.home / "quarantine" / str(each)).glob("*")) for each in numbers), point
        assert arena.rows(name) == rows, point
        assert arena.ok("verify", f"{name}.py")["sound"], point
        assert maintained(arena, "--dry-run", **ALL_GOES) == [], point


@pytest.mark.of_sqlite("PostgreSQL sees to this by itself")
def test_the_ledger_gives_back_its_free_pages(own_arena: Arena):
    """After much was removed from it; what is left of it is sound."""
    own_arena.ok("query", "SELECT 1")
    with own_arena.by_hand() as hand:
        hand.execute("CREATE TABLE ballast (x)")
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
        hand.execute(f"INSERT INTO ballast {many} SELECT randomblob(1000) FROM n")
        hand.execute("DROP TABLE ballast")
    size = (own_arena.home / "ledger.sqlite").stat().st_size
    (step,) = maintained(own_arena)
    assert (step["part"], step["outcome"]) == ("ledger", "done")
    assert (own_arena.home / "ledger.sqlite").stat().st_size < size / 2
    assert next(each for each in own_arena.ok("doctor")["checks"] if each["name"] == "ledger")["ok"]


# ------------------------------------------------------------------------------------------- by the worker


def test_the_worker_maintains_once_for_each_time(own_arena: Arena):
    """It has it done when it is due, slots and alerts too, and then it is not due before the next time."""
    own_arena.env |= {"ROWKEEPER_MAINTAIN_SCHEDULE": "every 1d", "ROWKEEPER_WORKER_RECONCILE_SECONDS": "0.3"}
    own_arena.ok("runs")
    age(own_arena, "orders")
    due(own_arena)
    with working(own_arena) as worker:
        worker.wait_for("maintained")
    with own_arena.by_hand() as hand:
        ((kept_until, outcome),) = hand.execute("SELECT kept_until, outcome FROM appointments").fetchall()
        left = [hand.execute(f"SELECT count(*) FROM {each}").fetchall()[0][0] for each in ("slots", "alerts")]
    assert left == [0, 0]
    assert (outcome, str(kept_until) > "2026-01-02") == ("done", True)
    assert own_arena.ok("maintain", "--automatic")["status"] == "not due"


def test_of_many_who_ask_at_once_one_maintains(own_arena: Arena):
    """Each time is kept once: whoever comes second finds it held, or kept."""
    own_arena.env |= {"ROWKEEPER_MAINTAIN_SCHEDULE": "every 1d"}
    own_arena.ok("runs")
    due(own_arena)
    all_of_them = [own_arena.start("maintain", "--automatic", "--json") for _ in range(4)]
    ended = [each.wait().json for each in all_of_them]
    held = [each for each in ended if each.get("error", {}).get("code") == "RK-3401"]
    statuses = [each["status"] for each in ended if each not in held]
    assert sorted(statuses) == ["done", *["not due"] * (len(statuses) - 1)]


def due(arena: Arena) -> None:
    """The maintenance is long due."""
    with arena.by_hand() as hand:
        hand.execute(
            "INSERT INTO appointments (name, kept_until, failures, outcome, told, publish_order) VALUES "
            "('maintain', '2026-01-01 00:00:00.000000', 0, '', '', 0)"
        )


def test_when_it_is_due():
    """At the first time of its schedule after it was kept last, and not while a pause goes on."""
    from rowkeeper.ledger.appointments import Appointment

    kept = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
    found = Appointment(MAINTAIN, kept)
    for hours, due in ((1, False), (23, False), (24, True)):
        assert is_due("30 3 * * *", found, now=kept + timedelta(hours=hours)) is due
    assert not is_due("off", found, now=kept + timedelta(days=9))
    paused = Appointment(MAINTAIN, kept, failures=1, try_after=kept + timedelta(hours=25))
    assert not is_due("30 3 * * *", paused, now=kept + timedelta(hours=24))


def test_days_without_an_end_are_refused():
    """Where they are set: more than a hundred years, or less than a day of what is decided by."""
    for given in ({"slots_keep_days": 0}, {"alerts_keep_days": 1e9}, {"history_keep_days": 1e9}):
        with pytest.raises(ValueError, match="keep_days"):
            Settings(**given)


@pytest.mark.parametrize("text", ["nightly", "30 3 * *", "99 3 * * *"])
def test_a_schedule_that_is_none_is_refused(text: str):
    """Where it is set, with what would be one."""
    with pytest.raises(ValueError, match="off"):
        Settings(maintain_schedule=text)
