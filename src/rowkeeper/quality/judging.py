"""All gates of a run at once: tried out before it, answered in one shared pass after it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rowkeeper.errors import DeclarationError
from rowkeeper.frames import frame_of
from rowkeeper.measures import Figure, Measure, Rehearsal, StagedTable, Tally, TotalElsewhere
from rowkeeper.quality.expression import judge_block, try_expression
from rowkeeper.quality.gate import Asked, Finding, Gate, Offenders, Past, Severity, Status, Streamed, Verdict
from rowkeeper.quality.profile import Profile, figures_of, profile_of
from rowkeeper.usercode import users_own

SAMPLE_ROWS = 5
BLOCK_ROWS = 250_000


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A gate, its verdict, and up to five rows that it objects to."""

    gate: Gate
    finding: Finding
    sample: tuple[Mapping[str, Any], ...]

    @property
    def status(self) -> Status:
        """Passed, failed, warned or unknown."""
        match self.finding.verdict:
            case Verdict.GOOD:
                return Status.PASSED
            case Verdict.UNKNOWN:
                return Status.UNKNOWN
            case Verdict.BAD:
                return Status.WARNED if self.gate.severity is Severity.WARN else Status.FAILED


def rehearse(gates: Sequence[Gate], rehearsal: Rehearsal, columns: Sequence[tuple[str, str]]) -> None:
    """Tries out every gate before a row is read.

    Raises DeclarationError, naming the gate, for one that could not be judged.
    """
    names = [name for name, _ in columns]
    for gate in gates:
        for name in gate.columns():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                raise DeclarationError(
                    f"the gate {gate.name} names the column {name}, which the contract does not have",
                    hint=f"did you mean {near[0]}?" if near else "it has " + ", ".join(names),
                )
        try:
            for question in gate.questions():
                if isinstance(question, Streamed):
                    try_expression(question.expression, frame_of(rehearsal.empty(gate.columns() or names[:1])))
                else:
                    rehearsal.try_out(question)
        except DeclarationError as error:
            raise DeclarationError(f"the gate {gate.name}: {error.what}", hint=error.hint) from error


def judge(
    gates: Sequence[Gate], staged: StagedTable, past: Past, classified: frozenset[str]
) -> tuple[list[Judged], Profile]:
    """Asks the staged rows everything that the gates and the profile want to know, and lets the gates judge."""
    answers = _answers(gates, staged, classified)
    judged = []
    for gate in gates:
        replies = [answers[question] for question in gate.questions()]
        with _judged_by(gate):
            finding = gate.judge(replies, past)
        judged.append(Judged(gate, finding, _sample(gate, finding, replies, staged)))
    return judged, profile_of(staged, answers, classified)


def _answers(gates: Sequence[Gate], staged: StagedTable, classified: frozenset[str]) -> dict[Any, Any]:
    questions = list(dict.fromkeys(question for gate in gates for question in gate.questions()))
    wanted = figures_of(staged.columns, classified)
    shared: list[Measure] = [*wanted, *(each for each in questions if isinstance(each, (Figure, Tally)))]
    shared = list(dict.fromkeys(shared))
    answers: dict[Asked, Any] = dict(zip(shared, staged.measure(shared), strict=True))
    for question in questions:
        if isinstance(question, TotalElsewhere):
            answers[question] = staged.total_elsewhere(question)
        elif not isinstance(question, (Figure, Tally, Streamed)):
            answers[question] = staged.count(question)
    streamed = {question: gate for gate in gates for question in gate.questions() if isinstance(question, Streamed)}
    return {**answers, **_stream(streamed, staged)}


def _stream(asked_by: Mapping[Streamed, Gate], staged: StagedTable) -> dict[Streamed, Offenders]:
    """One pass over the rows for all expressions, a block at a time.

    Raises TransformError for an expression that fails on the rows, although it could be worked out on none.
    """
    found = {question: Offenders(0, 0, ()) for question in asked_by}
    if not asked_by:
        return found
    names = list(dict.fromkeys(name for each in asked_by for name in each.expression.meta.root_names()))
    for block in staged.blocks(names or [staged.columns[0][0]], BLOCK_ROWS):
        rows = frame_of(block)
        for question, before in found.items():
            with _judged_by(asked_by[question]):
                more = judge_block(question.expression, rows, SAMPLE_ROWS - len(before.sample))
            found[question] = Offenders(
                before.judged + more.judged, before.offending + more.offending, (*before.sample, *more.sample)
            )
    return found


def _judged_by(gate: Gate) -> AbstractContextManager[None]:
    """For the gate's own code."""
    return users_own(f"the gate {gate.name}", hint="correct it and run again; nothing was published")


def _sample(gate: Gate, finding: Finding, replies: Sequence[Any], staged: StagedTable) -> tuple[Mapping[str, Any], ...]:
    """Rows that show what is wrong, also where few enough are bad for the gate to pass."""
    rows = gate.offenders()
    if not finding.offending:
        return ()
    if rows is not None:
        return tuple(staged.sample(rows, SAMPLE_ROWS))
    return tuple(row for reply in replies if isinstance(reply, Offenders) for row in reply.sample)
