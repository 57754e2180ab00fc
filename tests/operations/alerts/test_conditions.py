"""What rules find: each condition when it holds, when it does not, and when it no longer does."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert

from rowkeeper.errors import DatabaseError
from rowkeeper.ledger import RunStatus
from rowkeeper.ledger.schema import gate_results
from rowkeeper.operations.alerts.conditions.watching import HealthState
from rowkeeper.operations.alerts.rule import View
from rowkeeper.schedule import Timing
from tests.operations.alerts.conftest import MINUTE, Bench

HOUR = 60 * MINUTE
ALL_OFF = (
    'disable = ["no-success", "run-failed", "run-parked", "run-held", "run-slow", "gate-warned", "quarantine-share", '
    '"health-bad", "health-warning", "security-detection", "notices-undelivered"]\n'
)


def only(bench: Bench, condition: str) -> None:
    bench.declare(f'{ALL_OFF}[[rule]]\nname = "x"\n{condition}')


def test_a_schedule_that_is_not_kept_is_an_absence_of_success(bench: Bench):
    """By its own instants, with a grace: for a pipeline of a dead worker, which never ran at all."""
    bench.declare('disable = ["health-bad", "health-warning"]')
    bench.space.ledger.schedules.declare("flights", "f.py", Timing("every 1h"))
    bench.now = bench.now.replace(minute=5) + HOUR
    due = bench.now.replace(minute=0)
    assert bench.firing() == {}
    bench.now = due + timedelta(minutes=16)
    (told,) = bench.firing().values()
    assert "no success of flights since it was due at" in told
    assert "it has never succeeded" in told
    bench.run("flights", RunStatus.PUBLISHED)
    assert bench.firing(MINUTE) == {}
    assert bench.firing(30 * MINUTE) == {}
    assert list(bench.firing(45 * MINUTE)) == ["no-success flights"]


def test_a_failed_run_is_told_until_the_next_that_is_well(bench: Bench):
    """By its error, without words of others; a failed attempt that made no run, too."""
    only(bench, "run_failed = {}")
    bench.run("a", RunStatus.PUBLISHED)
    quoting = {"code": "RK-1101", "what": "it raised hunter2secret", "type": "PipelineFileError"}
    bench.run("a", RunStatus.FAILED, error=quoting)
    bench.run("b", RunStatus.FAILED, error={"code": "RK-2101", "what": "nothing is there"})
    found = bench.firing()
    assert set(found) == {"x a", "x b"}
    assert "hunter2secret" not in found["x a"]
    assert "RK-1101" in found["x a"]
    assert "nothing is there (RK-2101)" in found["x b"]
    bench.run("a", RunStatus.UNCHANGED)
    assert set(bench.firing(MINUTE)) == {"x b"}


def test_runs_that_wait_for_somebody_are_told(bench: Bench):
    """Interrupted, and held: each by its own condition, and not while somebody is at it."""
    only(bench, "run_parked = {}")
    number = bench.run("a", RunStatus.INTERRUPTED)
    held = bench.run("b", RunStatus.HELD)
    assert set(bench.firing()) == {f"x run {number}"}
    lease = bench.space.ledger.acquire_lease("a/a", 60)
    assert bench.firing(MINUTE) == {}
    bench.space.ledger.release_lease(lease)
    only(bench, "run_held = {}")
    assert set(bench.firing(MINUTE)) == {f"x run {held}"}


def test_a_slow_run_is_slow_against_its_own_history(bench: Bench):
    """One that is over, and one that is still at it; three former ones are a history, two are none."""
    only(bench, 'run_slow = { times = 2, least = "5s" }')
    for pipeline, past in (("a", 3), ("b", 2)):
        for _ in range(past):
            bench.run(pipeline, RunStatus.PUBLISHED, seconds=10.0)
        bench.run(pipeline, RunStatus.PUBLISHED, seconds=25.0)
    bench.run("c", RunStatus.STAGING)
    assert set(bench.firing()) == {"x a"}
    for _ in range(3):
        bench.run("d", RunStatus.PUBLISHED, seconds=10.0)
    bench.run("d", RunStatus.STAGING, finished_at=None, seconds=None)
    assert set(bench.firing(timedelta(seconds=19))) == {"x a"}
    assert set(bench.firing(timedelta(seconds=2))) == {"x a", "x d"}


def test_too_great_a_share_in_quarantine_is_told(bench: Bench):
    """Of the newest published load that read enough rows; none read is no share."""
    only(bench, "quarantine = { above = 0.1 }")
    bench.run("a", RunStatus.PUBLISHED, rows_read=1000, rows_committed=850, rows_quarantined=150)
    bench.run("b", RunStatus.PUBLISHED, rows_read=1000, rows_committed=900, rows_quarantined=100)
    bench.run("c", RunStatus.PUBLISHED, rows_read=10, rows_quarantined=10)
    bench.run("d", RunStatus.PUBLISHED)
    found = bench.firing()
    assert set(found) == {"x a"}
    assert "15.0%" in found["x a"]


def test_a_gate_is_told_by_what_it_said(bench: Bench):
    """Of the newest load, as long as that is the newest."""
    only(bench, 'gate = { status = "warned" }')
    number = bench.run("a", RunStatus.PUBLISHED, gates=["volume", "complete"])
    said = {"dimension": "volume", "severity": "warning", "told": "", "threshold": "", "judged_at": bench.now}
    with bench.space.ledger._engine.begin() as connection:
        connection.info["writes"] = "test"
        for position, (gate, status) in enumerate((("volume", "warned"), ("complete", "passed"))):
            values = {"run": number, "attempt": 1, "position": position, "gate": gate, "status": status, **said}
            connection.execute(insert(gate_results).values(**values))
    assert set(bench.firing()) == {"x a/volume"}
    bench.run("a", RunStatus.PUBLISHED)
    assert bench.firing(MINUTE) == {}


def test_health_is_asked_by_check_and_state(bench: Bench):
    """A run that is parked is a check of health; what is well is no alert."""
    only(bench, 'health = { check = "run", state = ["bad", "warning"] }')
    assert bench.firing() == {}
    bench.run("a", RunStatus.INTERRUPTED)
    (told,) = bench.firing(MINUTE).values()
    assert told.startswith("run ")


def test_refused_logins_are_security_events(bench: Bench):
    """Counted by class and outcome within a time; when they are older, it is over."""
    from rowkeeper.ledger.audit import Event, Outcome

    only(bench, 'event = { class = "authentication", outcome = "refused", at_least = 2, within = "10m" }')
    bench.now -= MINUTE
    bench.space.ledger.audit.record(Event("session.begin", {"user": "ann"}, outcome=Outcome.REFUSED))
    assert bench.firing() == {}
    bench.space.ledger.audit.record(Event("session.begin", {"user": "ann"}, outcome=Outcome.REFUSED))
    bench.space.ledger.audit.record(Event("session.begin", {"user": "ann"}))
    (told,) = bench.firing(MINUTE).values()
    assert told.startswith("2 security events of authentication (refused)")
    assert "ann" not in told
    assert bench.firing(HOUR) == {}


def test_a_metric_is_compared_with_a_number(bench: Bench):
    """Each sample that fits the labels is an alert of its own."""
    only(bench, 'metric = { name = "rowkeeper_runs_open", labels = { status = "held" }, above = 1 }')
    for pipeline, count in (("a", 2), ("b", 1)):
        for _ in range(count):
            bench.run(pipeline, RunStatus.HELD)
    (subject,) = bench.firing()
    assert "pipeline=a" in subject


def test_what_cannot_be_looked_at_is_neither_good_nor_bad(bench: Bench, monkeypatch):
    """The alert stays as it is; that nobody can see is an alert of its own after a while."""
    only(bench, 'health = { check = "run", state = ["bad", "warning"] }')
    bench.run("a", RunStatus.INTERRUPTED)
    assert len(bench.firing()) == 1

    def blind(self: HealthState, view: View):
        raise DatabaseError("nobody can see")

    monkeypatch.setattr(HealthState, "find", blind)
    assert len(bench.firing(MINUTE)) == 1
    assert set(bench.firing(11 * MINUTE)) - {"x run a"} >= {"rules-unseen x"}
    assert bench.look(send=False).step.unseen == {"x": "nobody can see (RK-3000)"}
