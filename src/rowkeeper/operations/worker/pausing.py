"""What an attempt's end means for the next one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

from rowkeeper.operations.worker.attempt import Ended

PAUSE_SECONDS_FIRST = 2.0
PAUSE_SECONDS_MAX = 300.0
PAUSE_SECONDS_BUSY = 3.0
BUSY = ("RK-3401", "RK-3402")  # somebody else is at it: no fault
ANSWERED = "RK-7070"  # somebody else was at it, and has answered
FOLLOWED_WELL_SECONDS = 300.0  # one that was followed for so long has not failed again and again
DONE_IN_PART = 3  # the exit status of a run that was published without partitions that failed


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What to note of an attempt.

    Attributes:
        outcome: a run's status, or `partial`, `died`, `hung`, `stopped`, `busy`.
        told: what went wrong, in a sentence; empty where nothing did.
        code: of the error; empty where there was none.
        answered: the schedule's instant is dealt with; otherwise it is tried again after the pause.
    """

    outcome: str
    told: str = ""
    answered: bool = True
    failures: int = 0
    pause_seconds: float = 0.0
    code: str = ""


def judge(ended: Ended, failures: int, *, stopping: bool, source: random.Random) -> Judgement:
    """What an ended run means.

    What may pass (`retryable`, a crash, a hang) is tried again, after a pause that doubles with each failure in a row,
    with jitter. What a person has to mend waits for the next instant of its schedule, and so do
    the partitions that a run was published without: it is no failure of the schedule. An orphan's end says nothing:
    its pipeline is run again, which finds out.

    Args:
        failures: in a row, before this one.
        stopping: we asked it to stop.
    """
    document = ended.document or {}
    error = document.get("error") or {}
    outcome = str(document.get("status") or "died")
    told, code = str(error.get("what", "")), str(error.get("code", ""))
    if ended.status is None:
        return Judgement("unknown", "its worker died", answered=False)
    if ended.status == 0:
        return Judgement(outcome)
    if ended.status == DONE_IN_PART and document:
        return Judgement("partial", _left_out(document))
    if stopping:
        return Judgement("stopped", told, answered=False, failures=failures, code=code)
    if code in (ANSWERED, *BUSY):
        return _judged_by_others(code, told, failures, source)
    again = ended.hung or not document or bool(error.get("retryable"))
    if ended.hung:
        outcome, told = "hung", "it took longer than worker_run_seconds_max, and was stopped"
    elif not document:
        told = f"its process ended with status {ended.status}, without a word"
    return Judgement(outcome, told, not again, failures + 1, _pause_seconds(failures, source) if again else 0.0, code)


def _judged_by_others(code: str, told: str, failures: int, source: random.Random) -> Judgement:
    """Where somebody else is at it, or has been."""
    if code == ANSWERED:
        return Judgement("answered", code=code)
    pause = PAUSE_SECONDS_BUSY * source.uniform(0.5, 1.0)
    return Judgement("busy", told, answered=False, failures=failures, pause_seconds=pause, code=code)


def judge_following(ended: Ended, failures: int, *, stopping: bool, seconds: float, source: random.Random) -> Judgement:
    """What it means that a stream is not followed any more: it is followed again, after a pause that grows as that of
    a run does.

    Args:
        seconds: for which it was followed.
    """
    if stopping:
        return Judgement("stopped", answered=False)
    failures = 0 if seconds >= FOLLOWED_WELL_SECONDS else failures
    ended_how = "its worker died" if ended.status is None else f"its process ended with status {ended.status}"
    outcome = "died" if ended.status is None or ended.status < 0 else "stopped" if ended.status == 0 else "failed"
    told = f"{ended_how}; the log says why"
    return Judgement(outcome, told, False, failures + 1, _pause_seconds(failures, source))


def _pause_seconds(failures: int, source: random.Random) -> float:
    return min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2.0 ** min(failures, 16)) * source.uniform(0.5, 1.0)


def _left_out(document: Mapping[str, Any]) -> str:
    """Which partitions a run was published without, and why the first of them failed."""
    failed = document.get("failed_partitions") or [{}]
    count = f"{len(failed):,} partition{'' if len(failed) == 1 else 's'}"
    return f"published without {count} that failed; {failed[0].get('key')}: {failed[0].get('what')}"
