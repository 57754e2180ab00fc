"""What is kept of the audit trail elsewhere: asked when it is verified, looked at by `rowkeeper doctor`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from rowkeeper.errors import CheckpointNotSent
from rowkeeper.ledger.audit.verifying import AuditVerdict
from rowkeeper.operations.finding import Finding
from rowkeeper.runs.checkpoints import Checkpoints
from rowkeeper.runs.workspace import Workspace

NAME = "audit trail elsewhere"
FAILURES_MAX = 3  # in a row, before it is a fault


@dataclasses.dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the URL and the witnesses say.

    Attributes:
        notes: the checkpoints that they have, by name.
        findings: in what they differ from the ledger.
        unreachable: who could not be asked, and why.
    """

    notes: Mapping[str, str]
    findings: tuple[str, ...]
    unreachable: Mapping[str, str]


def ask_elsewhere(checkpoints: Checkpoints) -> Elsewhere:
    """Asks each of them."""
    notes: dict[str, str] = {}
    findings: list[str] = []
    unreachable: dict[str, str] = {}
    for place, answer in checkpoints.kept_elsewhere():
        match answer:
            case str():
                notes[place.name] = answer
            case None:
                unreachable[place.name] = "it has no checkpoint yet"
            case CheckpointNotSent():
                unreachable[place.name] = answer.what
            case _:
                findings.append(answer.what)
    return Elsewhere(notes, tuple(findings), unreachable)


def with_findings(verdict: AuditVerdict, elsewhere: Elsewhere | None) -> AuditVerdict:
    """A verdict with what was found elsewhere."""
    if elsewhere is None:
        return verdict
    return dataclasses.replace(verdict, findings=(*verdict.findings, *elsewhere.findings))


def examine_elsewhere(workspace: Workspace) -> Iterator[Finding]:
    """For each place how much of the trail it lacks, and since when it could not be reached."""
    lags = workspace.checkpoints.lags()
    if not lags:
        yield Finding(NAME, True, "no URL and no witness is set: ROWKEEPER_AUDIT_URL, ROWKEEPER_AUDIT_WITNESSES")
    for place, has, lag in lags:
        if not lag:
            yield Finding(NAME, True, f"{place.name} has all {has.size:,} entries")
        elif has.failures:
            found = f"{place.name} lacks the last {lag:,} entries; {has.failures} tries failed: {has.told}"
            yield Finding(NAME, has.failures < FAILURES_MAX, found, "mend that, then rowkeeper audit send")
        else:
            yield Finding(NAME, True, f"{place.name} lacks the last {lag:,} entries", "rowkeeper audit send")
