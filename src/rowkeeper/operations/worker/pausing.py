"""What an attempt's end means for the next one."""

from __future__ import annotations

import dataclasses
import random

from rowkeeper.operations.worker.attempt import Ended

PAUSE_SECONDS_FIRST = 2.0
PAUSE_SECONDS_MAX = 300.0
PAUSE_SECONDS_BUSY = 3.0
BUSY = ("RK-3401", "RK-3402")  # somebody else is at it: no fault


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What to note of an attempt.

    Attributes:
        outcome: a run's status, or `died`, `hung`, `stopped`, `busy`.
        answered: the schedule's instant is dealt with; otherwise it is tried again after the pause.
    """

    outcome: str
    told: str = ""
    answered: bool = True
    failures: int = 0
    pause_seconds: float = 0.0


def judge(ended: Ended, failures: int, *, stopping: bool, source: random.Random) -> Judgement:
    """What an ended run means.

    What may pass (`retryable`, a crash, a hang) is tried again, after a pause that doubles with each failure in a row,
    with jitter. What a person has to mend waits for the next instant of its schedule. An orphan's end says nothing:
    its pipeline is run again, which finds out.

    Args:
        failures: in a row, before this one.
        stopping: we asked it to stop.
    """
    document = ended.document or {}
    error = document.get("error") or {}
    outcome = str(document.get("status") or "died")
    told = str(error.get("what", ""))
    if ended.status is None:
        return Judgement("unknown", "its worker died", answered=False)
    if ended.status == 0:
        return Judgement(outcome)
    if stopping:
        return Judgement("stopped", told, answered=False, failures=failures)
    if error.get("code") in BUSY:
        pause = PAUSE_SECONDS_BUSY * source.uniform(0.5, 1.0)
        return Judgement("busy", told, answered=False, failures=failures, pause_seconds=pause)
    again = ended.hung or not document or bool(error.get("retryable"))
    if ended.hung:
        outcome, told = "hung", "it took longer than worker_run_seconds_max, and was stopped"
    elif not document:
        told = f"its process ended with status {ended.status}, without a word"
    pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2 ** min(failures, 16)) * source.uniform(0.5, 1.0)
    return Judgement(outcome, told, not again, failures + 1, pause if again else 0.0)
