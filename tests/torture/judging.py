"""What a disturbed run may leave behind, and what counts as lost, doubled, half published or stranded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.torture.processes import HUNG, Ended
from tests.torture.workload import Outcome, Unreadable


@dataclass(frozen=True)
class Expected:
    """The two states that a reader may ever see."""

    before: Outcome
    after: Outcome


@dataclass
class Findings:
    """What went wrong at one point: numbers of rows, or of cases. All zero is good.

    `hit`: the fault came before the run was over.
    """

    point: str
    rows_lost: int = 0
    rows_doubled: int = 0
    half_published: int = 0
    misbooked: int = 0
    stranded: int = 0
    tracebacks: int = 0
    hit: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Nothing is lost, doubled, half published, misbooked or stranded, and nothing ended in a traceback."""
        wrong = self.rows_lost + self.rows_doubled + self.half_published + self.misbooked + self.stranded
        return wrong + self.tracebacks == 0


def _difference(wanted: list[str], got: list[str]) -> tuple[int, int]:
    """How many of the wanted are missing, and how many of the got were not wanted."""
    want, have = Counter(wanted), Counter(got)
    return (want - have).total(), (have - want).total()


def judge_command(findings: Findings, what: str, ended: Ended) -> None:
    """A command may fail, but must end, and with an error that is its own."""
    if ended.status == HUNG:
        findings.stranded += 1
        places = re.findall(r'File "[^"]*/(rowkeeper/[^"]*", line \d+ in \w+)', ended.errors)
        findings.notes.append(f"{what} hung: {' < '.join(places[:4]) or _last_line(ended)}")
    if "Traceback (most recent call last)" in ended.errors:
        findings.tracebacks += 1
        raised = re.findall(r"(?m)^[\w.]+(?:Error|Exception|Died|Full)\b.*$", ended.errors)
        findings.notes.append(f"{what}: traceback: {' < '.join(raised) or _last_line(ended)}")


def judge_seen(findings: Findings, expected: Expected, seen: Outcome, acknowledged: bool) -> None:
    """What a reader sees after the fault, before anything was recovered: the state before, or the state after.

    After an acknowledgement it is the state after.
    """
    missing, extra = _difference(expected.after["rows"], seen["rows"])
    if acknowledged:
        findings.rows_lost += missing
        findings.rows_doubled += extra
        if missing or extra:
            findings.notes.append(f"acknowledged, but {missing} rows are missing and {extra} are too many")
    elif (missing or extra) and _difference(expected.before["rows"], seen["rows"]) != (0, 0):
        findings.half_published += 1
        findings.notes.append(f"half published: {len(seen['rows'])} rows are seen")


def judge_recovery(findings: Findings, expected: Expected, ended: Ended, final: Outcome) -> None:
    """After the run was repeated undisturbed, nothing tells it from one that was never disturbed."""
    if not ended.acknowledged and ended.status != HUNG:
        findings.stranded += 1
        findings.notes.append(f"the next run failed with {ended.status}: {_last_line(ended)}")
    missing, extra = _difference(expected.after["rows"], final["rows"])
    # What was lost before recovery and after it is the same row.
    findings.rows_lost = max(findings.rows_lost, missing)
    findings.rows_doubled = max(findings.rows_doubled, extra)
    if missing or extra:
        findings.notes.append(f"after recovery {missing} rows are missing and {extra} are too many")
    books = {
        "accounts": (expected.after["accounts"], final["accounts"]),
        "quarantine": (expected.after["quarantine"], final["quarantine"]),
    }
    for book, (wanted, got) in books.items():
        missing, extra = _difference(wanted, got)
        if missing or extra:
            findings.misbooked += 1
            findings.notes.append(f"after recovery {book}: {missing} missing, {extra} too many")


def judge_unreadable(findings: Findings, when: str, error: Unreadable) -> None:
    """Nobody can read: the destination is stranded, whatever is in it."""
    findings.stranded += 1
    findings.notes.append(f"unreadable {when}: {error}")


def _last_line(ended: Ended) -> str:
    lines = [line for line in (ended.errors + ended.output).splitlines() if line.strip(" {}[],")]
    return " | ".join(line.strip()[:300] for line in lines[-8:]) if lines else "(it said nothing)"
