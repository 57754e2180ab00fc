"""By when a success is due: from the schedule, its slots, and how long runs take, whatever nobody does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from rowkeeper.ledger import ScheduleRecord, SlotRecord, SlotState
from rowkeeper.ledger.schedules import LedgerSchedules
from rowkeeper.ledger.schema import runs, slots
from rowkeeper.ledger.slots import Cause
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.collecting import gathered
from rowkeeper.operations.metrics.schedules import success_due
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import Timing
from rowkeeper.settings import Settings

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
HOUR, MINUTE, NOTHING = timedelta(hours=1), timedelta(minutes=1), timedelta()
SLACK = 5 * MINUTE


def record(schedule: str = "every 1h", kept_until: datetime = MONDAY) -> ScheduleRecord:
    return ScheduleRecord("p", "p.py", Timing(schedule), kept_until)


def slot(until: datetime, state: SlotState = SlotState.FAILED, cause: Cause = Cause.TIME) -> SlotRecord:
    return SlotRecord(1, "p", cause, until - HOUR, until, until, state, 1, None, "failed", "", None)


@pytest.mark.parametrize(
    ("schedule", "longest", "due"),
    [
        ("every 1h", NOTHING, MONDAY + HOUR + SLACK),
        ("every 1h", 20 * MINUTE, MONDAY + 2 * HOUR),
        ("0 6 * * 1-5", NOTHING, MONDAY + 6 * HOUR + SLACK),
    ],
    ids=["five minutes at least", "three times the longest run", "no work on Sundays"],
)
def test_without_a_worker_a_success_is_due_at_the_next_instant(schedule: str, longest: timedelta, due: datetime):
    """Nobody takes slots down, and time passes it all the same; whether or not there was a success before."""
    kept = MONDAY if schedule.startswith("every") else MONDAY - 2 * timedelta(days=1)
    for last in (None, kept - HOUR):
        assert success_due(record(schedule, kept), [], last, longest) == due


def test_failures_put_nothing_off():
    """A success stays due since the first slot after the last one, however many were taken down and tried since."""
    slots, kept = [slot(MONDAY + hours * HOUR) for hours in (5, 4, 3)], record(kept_until=MONDAY + 5 * HOUR)
    for last in (MONDAY + 2 * HOUR, None):
        assert success_due(kept, slots, last, NOTHING) == MONDAY + 3 * HOUR + SLACK


def test_a_success_answers_what_was_due_before_it():
    """Also one that somebody ran by hand, with or without a worker."""
    assert success_due(record(), [], MONDAY + 3 * HOUR, NOTHING) == MONDAY + 4 * HOUR + SLACK
    slots = [slot(MONDAY + 3 * HOUR, SlotState.DUE)]
    due = success_due(record(kept_until=MONDAY + 3 * HOUR), slots, MONDAY + 3 * HOUR + MINUTE, NOTHING)
    assert due == MONDAY + 4 * HOUR + SLACK


def test_what_is_passed_over_or_filled_afterwards_is_not_due():
    """Slots that the schedule skips, and those of a backfill."""
    slots = [slot(MONDAY + HOUR, SlotState.SKIPPED), slot(MONDAY + HOUR, cause=Cause.BACKFILL)]
    assert success_due(record(kept_until=MONDAY + HOUR), slots, None, NOTHING) == MONDAY + 2 * HOUR + SLACK


def test_a_publish_that_was_followed_by_nothing_is_due():
    """Of a pipeline that comes after others, which has no instants of its own."""
    after = ScheduleRecord("p", "p.py", Timing(after=("q",)), MONDAY)
    assert success_due(after, [], MONDAY, NOTHING) is None
    waits = slot(MONDAY + HOUR, SlotState.DUE, Cause.PUBLISH)
    assert success_due(after, [waits], MONDAY, NOTHING) == MONDAY + HOUR + SLACK


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    """An installation of the test's own, in this process."""
    with Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key")) as made:
        yield made


def furnished(space: Workspace, names: range) -> None:
    """Schedules, each with slots of every kind, runs and freshness."""
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    engine = space.ledger.audit.engine
    given = LedgerSchedules(engine, lambda: long_ago, space.ledger.audit)
    for number in names:
        given.declare(f"p{number}", "p.py", Timing("every 1h"))
    with engine.begin() as connection:
        connection.info["writes"] = "test"
        for number in names:
            connection.execute(insert(runs), [run_of(f"p{number}", long_ago, seconds) for seconds in range(30)])
            connection.execute(insert(slots), [slot_row(f"p{number}", long_ago, hour) for hour in range(40)])


def run_of(pipeline: str, at: datetime, seconds: int) -> dict[str, Any]:
    whole = {"pipeline": pipeline, "target": f"a/{pipeline}", "kind": "load", "status": "published", "definition": "0"}
    process = {"token": 1, "host": "h", "pid": 1, "started_at": at, "finished_at": at, "seconds": float(40 - seconds)}
    return {
        **whole,
        **process,
        "source": {},
        "destination": {},
        "replaces_all": False,
        "drop_rows": [],
        "in_spool": False,
    }


def slot_row(pipeline: str, at: datetime, hour: int) -> dict[str, Any]:
    """Every fourth has failed, the last is due, and one of a backfill is, too."""
    state = "due" if hour in (38, 39) else "failed" if hour % 4 == 0 else "done"
    ends = at + hour * HOUR
    when = {"since": ends - HOUR, "until": ends, "not_before": ends}
    how = {"cause": "backfill" if hour == 38 else "time", "state": state, "tries": 1, "outcome": "", "told": ""}
    return {"pipeline": pipeline, "key": f"k{hour}", **when, **how}


@contextlib.contextmanager
def counted(space: Workspace) -> Iterator[list[str]]:
    """The statements that are given to the ledger meanwhile."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(space.ledger.audit.engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(space.ledger.audit.engine, "before_cursor_execute", hear)


def test_a_scrape_asks_the_ledger_as_often_for_many_schedules_as_for_one(space: Workspace):
    """The same statements for thirty as for one, of all of the metrics; and each has its due."""
    counts = []
    for names in (range(1), range(1, 30)):
        furnished(space, names)
        with counted(space) as said:
            found = {each.name: each for each in gathered(space)}
        counts.append(len(said))
        assert len(found[catalogue.SUCCESS_DUE.name].samples) == names.stop
    assert counts[0] == counts[1]


def test_what_the_ledger_tells_of_slots_and_runs(space: Workspace):
    """Of each pipeline the first slot since a moment that nobody answered; of the last twenty runs the longest."""
    furnished(space, range(2))
    kept, began = space.ledger.schedules, datetime(2026, 1, 1, tzinfo=UTC)
    moments = ({}, {"p1": began + 5 * HOUR}, {"p0": began + 100 * HOUR, "p1": began + 39 * HOUR})
    found = [{name: each.until for name, (each,) in kept.unanswered(since).items()} for since in moments]
    assert found == [{"p0": began, "p1": began}, {"p0": began, "p1": began + 8 * HOUR}, {}]
    assert kept.longest_runs(20) == {"p0": timedelta(seconds=30), "p1": timedelta(seconds=30)}
