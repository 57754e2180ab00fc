"""Group commit: who comes together is written together, and each has its own answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rowkeeper.errors import DeadlineExceeded, LedgerBusy
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.grouping import GroupCommit, _Place
from rowkeeper.ledger.audit.verifying import verify
from rowkeeper.resilience.deadline import deadline
from tests.ledger.audit.books import opened


class Desk:
    """Writes groups; the first of them stays at it until it is told to go on, so that a line forms behind it."""

    def __init__(self, first: BaseException | None = None, later: BaseException | None = None) -> None:
        self.groups: list[list[str]] = []
        self.written: list[str] = []
        self.go_on = threading.Event()
        self.began = threading.Event()
        self._faults = {0: first, 1: later}
        self.line = GroupCommit(self.commit)
        self.pool = ThreadPoolExecutor(16)

    def commit(self, items: Sequence[str]) -> None:
        number = len(self.groups)
        self.groups.append(list(items))
        if number == 0:
            self.began.set()
            assert self.go_on.wait(30)
        fault = self._faults.get(number)
        if fault is not None:
            raise fault
        self.written += items

    def submit(self, item: str, seconds: float | None = None) -> Future[None]:
        def wait() -> None:
            with deadline(seconds):
                self.line.submit(item)

        return self.pool.submit(wait)

    def lined_up(self, *names: str) -> list[Future[None]]:
        """The first leads and is at it; the others have lined up, in this order."""
        leader = self.submit("leader")
        assert self.began.wait(30)
        found = []
        for number, name in enumerate(names, 1):
            found.append(self.submit(name))
            until(lambda number=number: len(self.line._line) == number)  # type: ignore[misc]
        return [leader, *found]


def until(true: Callable[[], bool]) -> None:
    """Waits for what another thread does in a moment."""
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        threading.Event().wait(0.001)


def test_who_lines_up_is_written_together():
    """Three that come while a commit is under way are one group, and none returned before it was written."""
    desk = Desk()
    waiting = desk.lined_up("a", "b", "c")
    assert not any(each.done() for each in waiting)
    desk.go_on.set()
    for each in waiting:
        each.result(30)
    assert desk.groups == [["leader"], ["a", "b", "c"]]
    desk.line.submit("alone")
    assert desk.written == ["leader", "a", "b", "c", "alone"]


def test_a_failure_reaches_all_who_were_written_together():
    """Each raises an error of its own, of the same words; who came before is not concerned, nor who comes after."""
    desk = Desk(later=LedgerBusy("locked", hint="try again"))
    leader, *others = desk.lined_up("a", "b", "c")
    desk.go_on.set()
    leader.result(30)
    errors = [each.exception(30) for each in others]
    assert [(type(each), str(each), getattr(each, "hint", "")) for each in errors] == [
        (LedgerBusy, "locked", "try again")
    ] * 3
    assert len({id(each) for each in errors}) == 3
    desk.line.submit("later")
    assert desk.written == ["leader", "later"]


@pytest.mark.parametrize("fault", [DeadlineExceeded("too late", hint=""), KeyboardInterrupt(), ZeroDivisionError()])
def test_what_concerns_the_leader_alone_is_no_failure_of_the_others(fault: BaseException):
    """The leader's deadline, or an interrupt, takes nobody along: the others are written by the next to lead."""
    desk = Desk(later=fault)
    leader, first, *others = desk.lined_up("a", "b", "c")
    desk.go_on.set()
    assert first.exception(30) is fault
    for each in (leader, *others):
        each.result(30)
    assert desk.groups == [["leader"], ["a", "b", "c"], ["b", "c"]]
    assert desk.written == ["leader", "b", "c"]


def test_who_has_no_time_left_leaves_the_line():
    """A deadline that passes in the line is told at once; the item is never written, and the line goes on."""
    desk = Desk()
    (leader,) = desk.lined_up()
    late = desk.submit("late", seconds=0.05)
    assert isinstance(late.exception(30), DeadlineExceeded)
    last = desk.submit("last")
    until(lambda: len(desk.line._line) == 1)
    desk.go_on.set()
    leader.result(30)
    last.result(30)
    assert desk.written == ["leader", "last"]


def test_who_was_called_to_lead_and_leaves_calls_the_next():
    """The lead is not lost with whoever gave up at the moment when it was his."""
    line = GroupCommit[str](lambda items: None)
    first, second = _Place("a"), _Place("b")
    line._line, line._led = [first, second], True
    line._pass_on()
    assert (first.leads, second.leads) == (True, False)
    line._leave(first)
    assert second.leads
    assert second.turn.acquire(timeout=0)
    assert line._line == [second]


def test_entries_that_threads_record_share_commits(tmp_path: Path):
    """Eight threads record 240 entries in fewer transactions; all are there, each of its own caller, and sound."""
    with opened(tmp_path) as ledger, ThreadPoolExecutor(8) as pool:
        groups: list[int] = []

        def counted(parts: Sequence[object]) -> None:
            groups.append(len(parts))
            ledger.audit._commit(parts)  # type: ignore[arg-type]

        ledger.audit._group = GroupCommit(counted)
        together = threading.Barrier(8)

        def record(thread: int) -> None:
            together.wait(30)
            for number in range(30):
                ledger.audit.record(Event("data.query", {"thread": thread, "number": number}))

        for each in [pool.submit(record, thread) for thread in range(8)]:
            each.result(60)
        found = [entry.event.on for entry in ledger.audit.newest(240)]
        for thread in range(8):
            assert [on["number"] for on in found if on["thread"] == thread] == list(range(30))
        assert sum(groups) == 240
        assert len(groups) < 240
        assert verify(ledger.audit, {}).sound
