"""The counter, the plan and the judgement, without any filesystem."""

from __future__ import annotations

import errno
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.torture.faults import Fault, Meter, Mode, Verdict
from tests.torture.judging import Expected, Findings, judge_command, judge_recovery, judge_seen
from tests.torture.planning import MODES, plan, spread
from tests.torture.processes import HUNG, Ended
from tests.torture.workload import Outcome

WRITES = ["create", "write", "fsync", "rename"]
NUMBERS = range(1, 101)
GOOD, FAILED = Ended(0, 1.0, "", ""), Ended(1, 1.0, "", "error: no")


def _meter(mode: Mode, at: int, *, sticky: bool = False, reads: bool = False) -> Meter:
    return Meter(Fault(mode, at, sticky, reads))


def _verdicts(meter: Meter, operations: list[str], process: int = 7) -> list[Verdict]:
    return [meter.judge(operation, "/a", process) for operation in operations]


def test_a_fault_strikes_the_operation_it_names_and_no_other() -> None:
    """EIO at 3 refuses the third mutating operation, and lets all the others pass."""
    meter = _meter(Mode.EIO, 3)
    assert _verdicts(meter, WRITES) == [Verdict.PASS, Verdict.PASS, Verdict.REFUSE, Verdict.PASS]
    assert meter.struck == "3 fsync /a"
    assert meter.errno == errno.EIO


def test_a_sticky_fault_strikes_everything_after_it() -> None:
    """EIO at 2, sticky, refuses the second operation and all later ones."""
    assert _verdicts(_meter(Mode.EIO, 2, sticky=True), WRITES) == [Verdict.PASS] + [Verdict.REFUSE] * 3


def test_a_full_disk_still_deletes_and_syncs() -> None:
    """ENOSPC refuses only what takes space: the first such operation from the one that is named."""
    meter = _meter(Mode.ENOSPC, 1, sticky=True)
    assert _verdicts(meter, ["unlink", "fsync", "write", "truncate", "mkdir"]) == [
        Verdict.PASS,
        Verdict.PASS,
        Verdict.REFUSE,
        Verdict.PASS,
        Verdict.REFUSE,
    ]
    assert meter.errno == errno.ENOSPC


def test_only_a_write_can_be_torn() -> None:
    """TORN waits for the first write from the operation that is named."""
    assert _verdicts(_meter(Mode.TORN, 1), ["mkdir", "write"]) == [Verdict.PASS, Verdict.TEAR]


def test_the_dead_change_nothing() -> None:
    """After a kill nothing that a process asks for is done, but the kernel may still write its mapped pages."""
    meter = _meter(Mode.KILL, 1)
    assert _verdicts(meter, ["write", "rename"]) == [Verdict.KILL, Verdict.REFUSE]
    assert meter.judge("write", "/a", 0) is Verdict.PASS
    assert meter.operations == 1


def test_one_of_two_dies_alone() -> None:
    """After kill-one the other process goes on, the victim does not."""
    meter = _meter(Mode.KILL_ONE, 1)
    assert meter.judge("write", "/a", 7) is Verdict.KILL_ONE
    assert meter.judge("write", "/a", 7) is Verdict.REFUSE
    assert meter.judge("write", "/a", 8) is Verdict.PASS


@pytest.mark.parametrize(("reads", "counted"), [(False, 1), (True, 3)])
def test_reads_count_when_asked_for(reads: bool, counted: int) -> None:
    """Reads are counted, and so can be struck, only where the fault says so."""
    meter = _meter(Mode.COUNT, 0, reads=reads)
    _verdicts(meter, ["open", "read", "write"])
    assert meter.operations == counted


@given(st.integers(1, 3000))
def test_spread_visits_each_once(count: int) -> None:
    """The order is a permutation, and its first half leaves no gap wider than four steps of that half."""
    order = list(spread(count))
    assert sorted(order) == list(range(count))
    half = sorted(order[: max(1, count // 2)])
    gaps = [after - before for before, after in zip(half, [*half[1:], count], strict=True)]
    assert max(gaps) <= 4


def test_a_plan_cut_short_has_every_mode() -> None:
    """The first seven points are one place in all seven modes; the whole is every place in every mode."""
    assert [(fault.mode, fault.sticky) for fault in islice(plan(NUMBERS), len(MODES))] == list(MODES)
    assert len(set(plan(NUMBERS))) == len(NUMBERS) * len(MODES)


def _outcome(*rows: str) -> Outcome:
    return Outcome(rows=list(rows), accounts=[], quarantine=[])


EXPECTED = Expected(_outcome("a"), _outcome("a", "b", "b"))


def test_before_and_after_are_fine_for_a_run_that_failed() -> None:
    """A run that did not acknowledge may leave either state, and nothing else: half is half published."""
    for rows, half in ((["a"], 0), (["b", "a", "b"], 0), (["a", "b"], 1), (["a", "b", "b", "b"], 1), ([], 1)):
        findings = Findings("x")
        judge_seen(findings, EXPECTED, _outcome(*rows), acknowledged=False)
        assert findings.half_published == half, rows


def test_an_acknowledged_run_must_be_seen() -> None:
    """After an acknowledgement the state before is a loss, as many rows as are missing."""
    findings = Findings("x")
    judge_seen(findings, EXPECTED, _outcome("a"), acknowledged=True)
    assert (findings.rows_lost, findings.rows_doubled) == (2, 0)


def test_after_recovery_everything_is_compared() -> None:
    """Rows as a multiset, accounts and quarantine as books; a failed recovery is stranded."""
    findings = Findings("x")
    final = Outcome(rows=["a", "b", "b", "b"], accounts=["more"], quarantine=[])
    judge_recovery(findings, EXPECTED, FAILED, final)
    assert (findings.rows_lost, findings.rows_doubled, findings.misbooked, findings.stranded) == (0, 1, 1, 1)
    good = Findings("x")
    judge_recovery(good, EXPECTED, GOOD, EXPECTED.after)
    assert good.is_good


def test_a_hang_and_a_traceback_are_found() -> None:
    """A command may fail, but neither hang nor show a traceback."""
    findings = Findings("x")
    judge_command(findings, "it", Ended(HUNG, 60.0, "", ""))
    judge_command(findings, "it", Ended(1, 1.0, "", "Traceback (most recent call last):\nOSError: no"))
    judge_command(findings, "it", FAILED)
    assert (findings.stranded, findings.tracebacks) == (1, 1)
