"""Alerts over processes: killed at each step, two at once, a real worker, the commands that people give."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.alerts import LEASE
from rowkeeper.operations.worker.alerting import Alerter
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests import extent
from tests.arena import KILLED, Arena
from tests.auditing import AUDITING
from tests.operations.alerts.receiving import Asked, Hook, hook, well
from tests.operations.test_worker import declare, working

FILE = """
disable = ["health-bad", "health-warning", "notices-undelivered"]
[[rule]]
name = "flights-late"
no_success = {{ pipeline = "flights", within = "26h" }}
[[route]]
name = "ops"
to = "http://127.0.0.1:{port}/hook"
"""
OWN = ("alerts.after_rules", "ledger.before_commit:alert_look", "alerts.after_send")
TABLES = ("alerts", "alert_notices", "alert_deliveries", "alert_silences", "alert_rounds")


def age(arena: Arena) -> None:
    """The ledger is two days old, and nobody ever looked."""
    with arena.by_hand() as hand:
        past = (datetime.now(UTC) - timedelta(days=2)).replace(tzinfo=None)
        hand.execute(f"UPDATE ledger SET created_at = '{past}'")
        for table in TABLES:
            hand.execute(f"DELETE FROM {table}")
        hand.commit()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Hook]:
    with hook() as made:
        yield made


@pytest.fixture(scope="module")
def site(arena: Arena, receiver: Hook) -> Arena:
    """An arena with an alerts file, and a ledger that is two days old."""
    arena.write("rowkeeper-alerts.toml", FILE.format(port=receiver.port))
    arena.ok("alerts", "list")
    return arena


@pytest.fixture
def aged(site: Arena, receiver: Hook) -> Arena:
    age(site)
    receiver.asked.clear()
    return site


def passed(arena: Arena) -> list[str]:
    """The failpoints of a look that fires and sends, in their order."""
    log = arena.folder / "points.log"
    log.unlink(missing_ok=True)
    arena.ok("alerts", "check", failpoints=f"*=log:{log}")
    points = log.read_text().split()
    first = points.index("ledger.before_commit:acquire_lease")
    return list(dict.fromkeys(points[first:]))


def test_a_look_that_is_killed_anywhere_is_followed_by_the_next(site: Arena, receiver: Hook):
    """Nothing is lost: it is told after all. Nothing is told twice but by the same id, and only if the process died
    between the receiver's answer and its note.
    """
    age(site)
    points = passed(site)
    assert {"alerts.after_rules", "ledger.before_commit:alert_look", "alerts.after_send"} <= set(points)
    for point in extent.sample("alerts", points, len(points) if extent.whole else 4, OWN):
        age(site)
        receiver.asked.clear()
        assert site.run("alerts", "check", failpoints=f"{point}=kill").status == KILLED, point
        site.ok("alerts", "check")
        ids = [each["id"] for each in receiver.documents]
        assert len(set(ids)) == 1, point
        twice = point in ("alerts.after_send", "ledger.before_commit:alert_delivered")
        assert len(ids) == 1 + twice, point
        assert site.ok("alerts", "show")["deliveries"][0]["outcome"] == "delivered"


def test_a_look_that_is_told_to_stop_notes_what_it_has_sent(aged: Arena, receiver: Hook):
    """The signal comes while the receiver has the notice and has not answered: it is noted, and not sent again."""
    answering = threading.Event()

    def slowly(_: Asked) -> tuple[int, dict[str, str], bytes]:
        assert answering.wait(60)
        return well(_)

    receiver.answers = slowly
    try:
        look = aged.start("alerts", "check")
        receiver.wait_for(lambda: bool(receiver.asked))
        look.signal(signal.SIGTERM)
    finally:
        answering.set()
        receiver.answers = well
    assert look.wait().status == 1
    assert [each["outcome"] for each in aged.ok("alerts", "show")["deliveries"]] == ["delivered"]
    aged.ok("alerts", "check")
    assert len(receiver.asked) == 1


def test_of_two_that_look_at_once_one_does(aged: Arena, receiver: Hook):
    """The other comes back at once, and says so; together they tell it once."""
    outcomes = [each.wait() for each in [aged.start("alerts", "check", "--json") for _ in range(3)]]
    assert [each.status for each in outcomes] == [0, 0, 0], outcomes
    assert len(receiver.asked) == 1
    with Ledger.open(None, aged.home, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(LEASE, 60)
        assert aged.ok("alerts", "check")["busy"] is True
        assert ledger.runs_alive() == []
        ledger.release_lease(lease)


def test_a_pipeline_whose_worker_died_is_told_of(own_arena: Arena):
    """The worker is killed, nobody runs the pipeline any more; whoever looks, a cron job, finds that it is overdue."""
    with hook() as ops:
        own_arena.write("rowkeeper-alerts.toml", f'[[route]]\nname = "ops"\nto = "http://127.0.0.1:{ops.port}/"')
        file = declare(own_arena, "trips")
        with working(own_arena, file) as worker:
            worker.wait_for("ready")
            worker.running.process.kill()
            worker.running.wait()
            worker.end = lambda: 0
        past = datetime.now(UTC) - timedelta(hours=3)
        with own_arena.by_hand() as hand:
            hand.execute(f"UPDATE schedules SET kept_until = '{past.replace(tzinfo=None)}'")
            hand.commit()
        own_arena.ok("alerts", "check")
    told = [alert for each in ops.documents for alert in each["alerts"] if alert["rule"] == "no-success"]
    assert [each["subject"] for each in told] == ["trips"]


def test_a_worker_looks_and_tells(own_arena: Arena):
    """By itself, every so often; what is over is told by it, too; what it cannot deliver is an event."""
    with hook() as ops:
        own_arena.write("rowkeeper-alerts.toml", FILE.format(port=ops.port))
        own_arena.ok("alerts", "list")
        age(own_arena)
        file = declare(own_arena, "flights", schedule=None)
        quick = {"ROWKEEPER_ALERTS_SECONDS": "0.2"}
        ops.answers = lambda _: (404, {}, b"")
        with working(own_arena, env=quick) as worker:
            failed = worker.wait_for("notice not delivered")
            ops.answers = lambda _: (200, {}, b"")
            own_arena.ok("run", file)
            ops.wait_for(lambda: any(each["kind"] == "resolved" for each in ops.documents))
    assert failed["error"] == "127.0.0.1 answered 404"
    assert list(dict.fromkeys(each["kind"] for each in ops.documents)) == ["firing", "resolved"]


def test_people_list_silence_and_acknowledge(aged: Arena, receiver: Hook):
    """Each command with its answer; what is wrong is one error, and changes nothing."""
    aged.ok("alerts", "check", "--no-send")
    (alert,) = aged.ok("alerts", "list")["alerts"]
    assert (alert["state"], receiver.asked) == ("firing", [])
    assert aged.ok("alerts", "ack", alert["id"][:8], "--note", "I look")["state"] == "acknowledged"
    assert aged.ok("alerts", "show", alert["id"])["note"] == "I look"
    made = aged.ok("alerts", "silence", "pipeline=flights", "--for", "2h", "--reason", "it is being moved")
    (listed,) = aged.ok("alerts", "list")["silences"]
    assert (listed["number"], listed["reason"]) == (made["number"], "it is being moved")
    assert aged.ok("alerts", "unsilence", str(made["number"]))["ended"] is True
    wrong = {
        ("silence", "pipelin=flights", "--for", "2h", "--reason", "x"): "RK-7058",
        ("silence", "pipeline=flights", "--reason", "x"): "RK-7058",
        ("silence", "--for", "2h", "--reason", "x"): "RK-7058",
        ("unsilence", "99"): "RK-7057",
        ("ack", "0000"): "RK-7057",
        ("test", "op"): "RK-7057",
    }
    outcomes = aged.together(*(("alerts", *words, "--json") for words in wrong))
    assert [(each.status, each.json["error"]["code"]) for each in outcomes] == [(2, code) for code in wrong.values()]
    assert aged.ok("alerts", "list")["silences"] == []
    said = aged.together(
        *(("alerts", *words) for words in (["list"], ["show"], ["show", alert["id"]], ["check"], ["test"]))
    )
    assert [each.status for each in said] == [0, 0, 0, 0, 0], said
    actions = {each["action"] for each in aged.ok("audit", "list", "--action", "alert")["entries"]}
    assert actions == {"alert.ack", "alert.silence", "alert.unsilence", "alert.test"}


def test_cron_can_ask_whether_anything_fires(aged: Arena, receiver: Hook):
    """By the exit status: 4 if an alert of the severity fires, or a worse one; by what stands if another looks now; 0
    if somebody sees to it; 1 if it cannot be told.
    """
    ask = ("alerts", "check", "--fail-on")
    assert [aged.run(*ask, severity).status for severity in ("critical", "warning", "info")] == [0, 4, 4]
    with Ledger.open(None, aged.home, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(LEASE, 60)
        assert aged.run(*ask, "warning").status == 4
        ledger.release_lease(lease)
    (alert,) = aged.ok("alerts", "list")["alerts"]
    aged.ok("alerts", "ack", alert["id"])
    assert aged.run(*ask, "warning").status == 0
    age(aged)
    receiver.answers = lambda _: (404, {}, b"")
    assert aged.run(*ask, "warning").status == 1
    receiver.answers = lambda _: (200, {}, b"")


def test_who_lists_alerts_is_told_whether_anybody_looks(aged: Arena):
    """That nobody has yet; when somebody did; that nobody does any more."""
    assert "nobody has looked at the rules yet" in aged.run("alerts", "list").stdout
    aged.ok("alerts", "check", "--no-send")
    assert "last look: " in aged.run("alerts", "list").stdout
    with aged.by_hand() as hand:
        hand.execute("UPDATE alert_rounds SET looked_at = '2026-01-01 00:00:00.000000'")
        hand.commit()
    assert "nobody looks at the rules" in aged.run("alerts", "list").stdout


def test_without_a_route_a_test_proves_nothing(aged: Arena, tmp_path: Path):
    """It says that nobody is told, and its exit status is no success."""
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    outcome = aged.run("alerts", "test", env={"ROWKEEPER_ALERTS_FILE": str(empty)})
    assert outcome.status == 1
    assert "no route is declared" in outcome.stdout


def test_a_test_notice_tells_what_happened(aged: Arena, receiver: Hook):
    """To every route; a receiver that refuses is an exit status of its own."""
    (sent,) = aged.ok("alerts", "test")["sent"]
    assert (sent["route"], sent["error"], receiver.documents[0]["kind"]) == ("ops", None, "test")
    receiver.answers = lambda _: (401, {}, b"")
    outcome = aged.run("alerts", "test", "ops", "--json")
    receiver.answers = lambda _: (200, {}, b"")
    assert outcome.status == 1
    assert outcome.json["sent"][0]["error"]["what"] == "127.0.0.1 answered 401"


def test_a_file_that_is_wrong_stops_nothing_else(aged: Arena, tmp_path: Path):
    """One error at its line; nothing was looked at, and what stands is still listed."""
    bad = tmp_path / "bad.toml"
    bad.write_text("[[rule]]\nname = 'x'\nrun_faild = {}")
    env = {"ROWKEEPER_ALERTS_FILE": str(bad)}
    outcome = aged.run("alerts", "check", "--json", env=env)
    assert (outcome.status, json.loads(outcome.stdout)["error"]["code"]) == (2, "RK-7055")
    assert "bad.toml:3" in outcome.json["error"]["what"]
    assert aged.run("alerts", "list", env=env).status == 0
    places = aged.ok("endpoints")["endpoints"]
    assert any(str(each["port"]) == str(_port(aged)) for each in places)


def _port(arena: Arena) -> int:
    to = arena.ok("alerts", "show")["routes"][0]["to"]
    return int(to.split(":")[2].partition("/")[0])


def test_after_looks_that_came_to_nothing_a_worker_looks_as_often_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Other chores are tried less and less often; a file of alerts that was mended counts at once."""
    (tmp_path / "alerts.toml").write_text("[[rule]]")
    surroundings = {"HOME": tmp_path / "home", "KEY_FILE": tmp_path / "key", "ALERTS_FILE": tmp_path / "alerts.toml"}
    for name, value in surroundings.items():
        monkeypatch.setenv(f"ROWKEEPER_{name}", str(value))
    often = {"worker_reconcile_seconds": 0.01, "alerts_seconds": 0.02}
    told: list[str] = []
    with Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key", **often)) as space:
        alerter = Alerter(space, lambda event, **_: told.append(event), random.Random(0))
        while len(told) < 3:
            alerter.look()
            time.sleep(0.01)
        assert set(told) == {"alerts not looked at"}
        assert alerter._pause_seconds <= often["alerts_seconds"]
        alerter.kill()
