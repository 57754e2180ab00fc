"""The sentences about a run: what is the matter, what Rowkeeper did about it, what a person should do now."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rowkeeper.errors import FrameworkError, error_of
from rowkeeper.ledger import GateResult, Override, RunKind, RunPerformance, RunRecord, RunStatus
from rowkeeper.resilience.outcomes import Outcome

HINTS_SHOWN = 5
OVER = (RunStatus.PUBLISHED, RunStatus.UNCHANGED, RunStatus.ROLLED_BACK)
WELL = {
    RunStatus.STAGING: "it is under way",
    RunStatus.PREPARED: "it is being published",
    RunStatus.PUBLISHED: "no row was rejected, and nothing failed",
    RunStatus.UNCHANGED: "there was nothing new to load",
    RunStatus.INTERRUPTED: "it was interrupted",
    RunStatus.HELD: "its quality gates hold it",
    RunStatus.FAILED: "it failed",
    RunStatus.SPOOLED: "its rows wait in the spool",
    RunStatus.ROLLED_BACK: "it was published, and taken back later",
}
ENDED = {
    RunStatus.UNCHANGED: "There was nothing new to load; the table was left alone.",
    RunStatus.ROLLED_BACK: "The run was published, and taken back by a later one.",
    RunStatus.SPOOLED: "The destination could not take it: its rows wait in sealed files, to be published later.",
    RunStatus.FAILED: "Nothing was published: readers see the table as it was before. What was staged is dropped.",
    RunStatus.PREPARED: "The process ended while publishing; the next command asks the table what took effect.",
}
BY_THE_WORKER = {
    "hung": "The worker stopped its process: it took longer than worker_run_seconds_max.",
    "died": "The worker found its process dead, and tries again.",
}
CALLS = {
    Outcome.TRANSIENT: "{name} failed {times} in a way that may pass: such calls are tried again, as far as attempts, "
    "budget and deadline allow.",
    Outcome.THROTTLED: "{name} was refused {times} for too much work: such calls are tried again later, as far as "
    "attempts, budget and deadline allow.",
    Outcome.PERMANENT: "{name} failed {times} for a reason that trying again cannot help, so it was not tried again.",
    Outcome.AMBIGUOUS: "{name} broke off {times}, and may have taken effect: such a call is looked up before anything "
    "is repeated.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the sentences are made from.

    Attributes:
        is_live: a process is at it.
        account: what was read, and what became of it.
        partitions: how many there are.
        failed: those that the run went on without: key, code, what, hint.
        lines: of the log, about this run.
    """

    run: RunRecord
    is_live: bool
    account: Mapping[str, int]
    partitions: int
    failed: Sequence[Mapping[str, Any]]
    gates: Sequence[GateResult]
    override: Override | None
    lines: Sequence[Mapping[str, Any]]

    @property
    def is_over(self) -> bool:
        """It ended, and not for an error."""
        return self.run.status in OVER


def matter(facts: Facts) -> Iterator[str]:
    """What is the matter with a run, the gravest first; nothing if all is well."""
    error, count = facts.run.error or {}, len(facts.failed)
    if error and not facts.is_over and not facts.is_live:
        yield f"{error.get('what', 'it failed')}{_kind(error)}"
    elif facts.run.status in (RunStatus.STAGING, RunStatus.PREPARED) and not facts.is_live:
        yield "its process ended without a word"
    if count:
        without = f": the run was published without {'it' if count == 1 else 'them'}" if facts.is_over else ""
        yield f"{count:,} of {_count(facts.partitions, 'partition')} failed{without}"
    told = ("warned",) if facts.run.status is RunStatus.HELD else ("failed", "warned")  # its error says what failed
    for each in facts.gates:
        if each.status in told:
            yield f"the gate {each.gate} {each.status}: {each.told}"
    if facts.account["quarantined"]:
        yield f"{facts.account['quarantined']:,} of {facts.account['read']:,} rows were rejected"
    if facts.run.degraded:
        yield "it was degraded: something was done less well than it should have been"


def _kind(error: Mapping[str, Any]) -> str:
    facts = [str(error[key]) for key in ("code", "type", "category") if error.get(key)]
    if "retryable" in error:
        facts.append("the same command may help" if error["retryable"] else "the same command will not help")
    return f" ({', '.join(facts)})" if facts else ""


def done(facts: Facts) -> Iterator[str]:
    """What Rowkeeper did about it."""
    yield _end(facts)
    again = sum(line["event"] == "run taken over" for line in facts.lines)
    if again:
        yield f"It was taken up again {_times(again)} where it had stopped."
    for line in facts.lines:
        if line["event"] == "dead run settled":
            yield f"The reconciler found it unfinished: {line.get('note', '')}."
        if line["event"] == "process of a run ended" and line.get("outcome") in BY_THE_WORKER:
            yield BY_THE_WORKER[line["outcome"]]
        if line["event"] == "process of a dead worker adopted":
            yield "Its worker died; the next one took its process over."
    yield from _calls(facts.lines)
    if (decided := facts.override) is not None:
        yield f"{decided.who} published it against its gates, {decided.decided_at:%Y-%m-%d %H:%M} UTC."
    if (pruned := facts.run.pruned_at) is not None:
        yield f"How it came about is kept no longer: batches, judgements and profile went on {pruned:%Y-%m-%d}."


def _end(facts: Facts) -> str:
    """What readers of the table see."""
    status = facts.run.status
    if status is RunStatus.PUBLISHED and facts.run.kind is RunKind.ROLLBACK:
        return f"Run {facts.run.reverses} was taken back in one step; readers see none of its rows."
    if status is RunStatus.PUBLISHED and facts.run.kind is RunKind.RESTORE:
        return "A backup was restored: readers see the table as it was then, and later runs count as taken back."
    if status is RunStatus.PUBLISHED:
        left = _count(len(facts.failed), "partition")
        rest = f" but those of {left} that failed, which the next run tries again" if facts.failed else ""
        return f"The run was published in one step; readers see all of its rows{rest}."
    if facts.is_live:
        return "It is under way; readers see the table as it was before, and all of its rows once it is published."
    staged = facts.account.get("staged, not published", facts.account.get("committed", 0))
    kept = f"Nothing was published: readers see the table as it was before. {staged:,} staged rows are kept."
    return ENDED.get(status, kept)


def _calls(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Calls that failed, by what that allowed; hosts that were left alone."""
    failed: Counter[tuple[str, str]] = Counter()
    opened: Counter[str] = Counter()
    for line in lines:
        name = f"{line.get('operation')} on {line.get('host')}"
        if line["event"] in ("call failed", "call refused"):
            failed[name, str(line.get("outcome"))] += 1
        elif line["event"] == "breaker turned" and line.get("after") == "open":
            opened[name] += 1
    for (name, outcome), count in failed.items():
        if outcome in list(Outcome):
            yield CALLS[Outcome(outcome)].format(name=name, times=_times(count))
    yield from (f"{name} was left alone {_times(count)}." for name, count in opened.items())


def steps(facts: Facts, *, needed: bool) -> list[str]:
    """What to do now, the first thing first. The errors know best; then what a run of this status needs.

    Args:
        needed: something is the matter with it.
    """
    if facts.is_live:
        return ["wait until it has ended, or stop it: Ctrl-C, or SIGTERM to its process"]
    found = [*_after_error(facts), *_after_failed(facts), *_after_rejects(facts.run)]
    if facts.run.degraded:
        found.append("see to what was degraded: the next run may not find a way round it")
    if needed:
        number = facts.run.run
        found.append(f"to ask somebody: rowkeeper bundle {number} makes a file without values or secrets to attach")
    return list(dict.fromkeys(step for step in found if step))


def _after_error(facts: Facts) -> Iterator[str]:
    run, error = facts.run, facts.run.error or {}
    if not facts.is_over:
        yield str(error.get("hint") or "")
        if run.status is not RunStatus.HELD or not error.get("hint"):  # which says all of it
            yield _advice(str(error.get("code") or "")).replace(" RUN", f" {run.run}")
    if run.status is RunStatus.SPOOLED:
        yield f"rowkeeper spool drain publishes it, as does the next run; rowkeeper abandon {run.run} gives it up"
    elif run.status is RunStatus.PREPARED:
        yield "rowkeeper recover finishes it, or undoes it"
    elif run.status in (RunStatus.INTERRUPTED, RunStatus.STAGING) and run.kind is RunKind.LOAD:
        yield f"rowkeeper resume {run.run} goes on where it stopped; rowkeeper abandon {run.run} gives it up"


def _after_failed(facts: Facts) -> Iterator[str]:
    for each in facts.failed[:HINTS_SHOWN]:
        yield f"{each['key']}: {each['hint'] or _advice(str(each['code']))}"
    if len(facts.failed) > HINTS_SHOWN:
        yield f"and so on for {_count(len(facts.failed) - HINTS_SHOWN, 'partition')} more"
    if facts.failed and facts.is_over:
        yield "then run the pipeline again: it tries what failed, and what is new"


def _after_rejects(run: RunRecord) -> Iterator[str]:
    if run.status is RunStatus.PUBLISHED and run.account.quarantined:
        yield f"rowkeeper quarantine show {run.run} shows the rejected rows to whoever may see them"
        yield f"mend the contract or the transform, then rowkeeper quarantine replay {run.run}"


def how_often(often: Mapping[str, int], *, has_error: bool) -> str:
    """How the runs before it ended."""
    if not often["former_runs"]:
        return "It is the first run of this pipeline."
    told = f"Runs of this pipeline before it: {often['former_runs']:,}; with an error: {often['with_an_error']:,}"
    return f"{told}; with this error: {often['with_this_error']:,}." if has_error else f"{told}."


def how_much(found: RunPerformance) -> str:
    """What a run took as a whole."""
    told = f"{found.seconds:,.2f} s, {found.cpu_seconds:,.2f} s of a processor, {found.peak_memory_bytes / 1e6:,.0f} MB"
    retries = f", {found.retries:,} calls tried again" if found.retries else ""
    share = f"; {found.by_pydantic / found.rows:.1%} of the rows went through Pydantic" if found.rows else ""
    return f"{told} of memory at most{retries}{share}."


def _advice(code: str) -> str:
    try:
        return error_of(code).advice if code else ""
    except FrameworkError:
        return ""  # of a connector that is not installed here


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
