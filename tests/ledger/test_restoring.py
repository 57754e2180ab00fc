"""What a restore does to the books: the state of a point, with all that happened since still told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.batch import Fingerprint
from rowkeeper.errors import LeaseLost, UnknownRun
from rowkeeper.ledger import Lease, Ledger, RunKind, RunStatus
from rowkeeper.ledger.audit.verifying import verify
from rowkeeper.ledger.drills import DrillRecord
from rowkeeper.ledger.restoring import RUNS_SKIPPED, TOKENS_SKIPPED, Undone
from tests.auditing import AUDITING
from tests.ledger.steps import NOW, TARGET, publish, start, take_back

OTHER = "clickhouse:test/other"
pytestmark = pytest.mark.of_sqlite("what is restored is a file until it is whole, wherever it goes then")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, lambda: NOW, auditing=AUDITING) as opened:
        yield opened


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return ledger.acquire_lease(TARGET, 30)


def restored(ledger: Ledger, run: int, *targets: str, newest: bool = True) -> list[Undone]:
    point = ledger.restoring.point_of_run(run)
    assert point is not None
    return ledger.restoring.undo(point, targets or [TARGET], on={"backup": "b"}, ledger_is_newest=newest)


def statuses(ledger: Ledger) -> dict[int, str]:
    return {run.run: run.status.value for run in ledger.runs(limit=100)}


def test_books_are_those_of_the_point(ledger: Ledger, lease: Lease):
    """After a restore the balance is what it was after that run, and a run publishes last that says so."""
    first = publish(ledger, lease, 10, 1)
    then = ledger.balance(TARGET)
    publish(ledger, lease, 20, 2)
    (done,) = restored(ledger, first)
    assert ledger.balance(TARGET) == then == {first: Fingerprint(10, 1)}
    last = ledger.last_published(TARGET)
    assert last is not None
    assert (last.run, last.kind) == (done.entry.run, RunKind.RESTORE)


def test_what_came_later_counts_as_not_loaded(ledger: Ledger, lease: Lease):
    """The partitions of undone runs are loaded again by the next run; those of the point are not."""
    first = publish(ledger, lease, 10)
    second = publish(ledger, lease, 20)
    assert {each.run for each in ledger.loaded("p", TARGET).values()} == {second}
    restored(ledger, first)
    assert {each.run for each in ledger.loaded("p", TARGET).values()} == {first}
    assert statuses(ledger)[second] == "rolled_back"


def test_a_run_that_was_taken_back_after_the_point_is_there_again(ledger: Ledger, lease: Lease):
    """A rollback that came later is undone: its run counts as published, and so does its input."""
    first = publish(ledger, lease, 10, 1)
    take_back(ledger, lease, first)
    assert not ledger.loaded("p", TARGET)
    (done,) = restored(ledger, first)
    assert (done.revived, done.undone) == ((first,), (first + 1,))
    assert ledger.balance(TARGET) == {first: Fingerprint(10, 1)}
    assert {each.run for each in ledger.loaded("p", TARGET).values()} == {first}


def test_restores_can_be_restored_beyond(ledger: Ledger, lease: Lease):
    """A restore is itself a point; going back to before it brings back what it had undone."""
    first = publish(ledger, lease, 10, 1)
    second = publish(ledger, lease, 20, 2)
    restored(ledger, first)
    lease = ledger.acquire_lease(TARGET, 30)
    third = publish(ledger, lease, 5, 3)
    restored(ledger, second)
    assert ledger.balance(TARGET) == {first: Fingerprint(10, 1), second: Fingerprint(20, 2)}
    assert statuses(ledger)[second] == "published"
    assert statuses(ledger)[third] == "rolled_back"
    restored(ledger, third)
    assert ledger.balance(TARGET) == {first: Fingerprint(10, 1), third: Fingerprint(5, 3)}
    assert statuses(ledger)[second] == "rolled_back"


def test_to_before_the_table_was_there(ledger: Ledger, lease: Lease):
    """A table that was not there at the point is not there in the books: no commit record is expected of it."""
    first = publish(ledger, lease, 10, 1)
    other = ledger.acquire_lease(OTHER, 30)
    publish(ledger, other, 7, target=OTHER)
    restored(ledger, first, TARGET, OTHER)
    assert ledger.last_published(OTHER) is None
    assert not ledger.balance(OTHER)
    assert ledger.balance(TARGET) == {first: Fingerprint(10, 1)}


def test_a_destination_that_is_not_restored_stays_as_it_is_known(ledger: Ledger, lease: Lease):
    """Files, databases, APIs are not rolled back: their runs stay published."""
    first = publish(ledger, lease, 10, 1)
    other = ledger.acquire_lease(OTHER, 30)
    elsewhere = publish(ledger, other, 7, target=OTHER)
    restored(ledger, first, TARGET)
    assert statuses(ledger)[elsewhere] == "published"


def test_a_zombie_can_write_nothing(ledger: Ledger, lease: Lease):
    """A lease of before is lost, and the next token is far from any that may have been given out since the backup."""
    first = publish(ledger, lease, 10, 1)
    open_one = start(ledger, lease).run
    restored(ledger, first)
    assert ledger.run(open_one).status is RunStatus.FAILED
    with pytest.raises(LeaseLost):
        start(ledger, lease)
    assert ledger.acquire_lease(TARGET, 30).token > TOKENS_SKIPPED


def test_numbers_of_runs_that_nobody_knows_any_more_are_left_out(ledger: Ledger, lease: Lease):
    """Runs of after the last backup may have left their numbers elsewhere: those are not given out again."""
    first = publish(ledger, lease, 10, 1)
    publish(ledger, lease, 10, 1)
    (done,) = restored(ledger, first, newest=False)
    assert done.entry.run > first + RUNS_SKIPPED
    lease = ledger.acquire_lease(TARGET, 30)
    assert start(ledger, lease).run == done.entry.run + 1


def test_numbers_are_left_out_where_nothing_was_undone(ledger: Ledger, lease: Lease):
    """Nor are they after a restore of the newest state that there is."""
    first = publish(ledger, lease, 10, 1)
    assert restored(ledger, first, newest=False) == []
    lease = ledger.acquire_lease(TARGET, 30)
    assert start(ledger, lease).run == first + RUNS_SKIPPED + 1


def test_the_trail_goes_on(ledger: Ledger, lease: Lease):
    """The trail holds what it held, an entry for each table and one for the whole, and verifies against the runs."""
    first = publish(ledger, lease, 10, 1)
    publish(ledger, lease, 20, 2)
    before = ledger.audit.head()[0]
    restored(ledger, first)
    assert [each.event.action for each in ledger.audit.newest(2)] == ["run.restore", "backup.restore"]
    assert ledger.audit.head()[0] == before + 2
    assert verify(ledger.audit, {}).sound


def test_points_by_run_and_by_time(ledger: Ledger, lease: Lease):
    """A run that was never published is no point; a time means the last publish at or before it."""
    first = publish(ledger, lease, 10, 1)
    open_one = start(ledger, lease).run
    assert ledger.restoring.point_of_run(open_one) is None
    with pytest.raises(UnknownRun):
        ledger.restoring.point_of_run(99)
    at = ledger.restoring.point_at(NOW)
    assert at is not None
    assert at.run == first
    assert ledger.restoring.point_at(NOW.replace(year=2025)) is None


def test_drills_are_remembered(ledger: Ledger):
    """The last drill, and the last good one, each with an audit entry."""
    good = DrillRecord("b1", 4, NOW, 1.5, 2, 100, 3, sound=True)
    bad = DrillRecord("b2", 5, NOW, 0.5, 1, 10, 0, sound=False, told="a table differs")
    ledger.drills.note(good)
    ledger.drills.note(bad)
    assert ledger.drills.newest() == bad
    assert ledger.drills.newest(sound=True) == good
    assert [(each.event.action, each.event.outcome.value) for each in ledger.audit.newest(2, "backup.drill")] == [
        ("backup.drill", "done"),
        ("backup.drill", "failed"),
    ]
