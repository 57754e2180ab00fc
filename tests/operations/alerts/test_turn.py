"""Whose turn it is: of those that are up one looks each time, and none waits longer because a look failed."""

from __future__ import annotations

import random
import time
from datetime import timedelta

import pytest

from rowkeeper.operations.alerts import check_alerts
from rowkeeper.operations.alerts.turn import is_wanted
from rowkeeper.operations.worker.alerting import Alerter
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.operations.alerts.conftest import Bench

MINUTE = timedelta(minutes=1)


def test_a_look_is_wanted_when_nobody_has_looked_for_so_long(bench: Bench):
    """Before anybody has; not after; again when the time has come."""
    alerts = bench.space.ledger.alerts
    assert is_wanted(alerts, MINUTE, bench.now)
    bench.look(send=False)
    assert not is_wanted(alerts, MINUTE, bench.now + timedelta(seconds=59))
    assert is_wanted(alerts, MINUTE, bench.now + MINUTE)


def test_a_look_noted_by_a_clock_that_was_wrong_keeps_nobody_from_looking(bench: Bench):
    """It is noted for tomorrow; whoever has the right time looks."""
    bench.look(timedelta(days=1), send=False)
    assert is_wanted(bench.space.ledger.alerts, MINUTE, bench.now - timedelta(days=1))


def test_whoever_comes_by_itself_looks_once_each_time(bench: Bench):
    """The second of two that found that it was time comes back, as the first has looked; by hand it looks."""
    assert not check_alerts(bench.space, clock=lambda: bench.now, automatic=True).busy
    assert check_alerts(bench.space, clock=lambda: bench.now, automatic=True).busy
    assert not check_alerts(bench.space, clock=lambda: bench.now).busy
    later = bench.now + MINUTE
    assert not check_alerts(bench.space, clock=lambda: later, automatic=True).busy


def test_a_notice_that_is_due_is_a_reason_to_look(bench: Bench):
    """Although somebody has just looked."""
    bench.declare(
        '[[rule]]\nname = "late"\nno_success = { pipeline = "x", within = "1h" }\n[[route]]\nname = "ops"\n'
        'to = "http://127.0.0.1:9/"'
    )
    bench.look(timedelta(hours=2), send=False)
    assert is_wanted(bench.space.ledger.alerts, MINUTE, bench.now)


@pytest.fixture
def alerter(tmp_path) -> Alerter:
    settings = Settings(home=tmp_path / "home", key_file=tmp_path / "key", alerts_seconds=0.3)
    with Workspace.open(settings) as space:
        yield Alerter(space, lambda *_, **__: None, random.Random(1))


def test_a_look_that_came_to_nothing_is_followed_by_another_after_the_usual_time(alerter: Alerter):
    """Not at once, and no later, however often that happens: nothing puts it off."""
    for _ in range(4):
        until = time.monotonic() + 10
        while not alerter._waiting():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert alerter._waiting() == []
