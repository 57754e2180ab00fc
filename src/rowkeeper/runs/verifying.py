"""`rowkeeper verify`: what the table holds against what the books say it holds."""

from __future__ import annotations

import dataclasses
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.batch import Fingerprint
from rowkeeper.errors import LeaseHeld
from rowkeeper.ledger.audit import Event
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import RunRows
from rowkeeper.runs.reconciling import check_commit, reconcile_if_free
from rowkeeper.runs.workspace import Workspace

ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome for one table.

    Attributes:
        runs: per run; run 0 stands for rows that no run brought.
    """

    pipeline: str
    target: str
    expected: Fingerprint
    runs: tuple[RunRows, ...]

    @property
    def sound(self) -> bool:
        """Whether the table holds exactly what the books say."""
        return all(each.sound for each in self.runs)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        found = sum((each.found for each in self.runs), Fingerprint())
        return {
            "pipeline": self.pipeline,
            "target": self.target,
            "sound": self.sound,
            "expected": str(self.expected),
            "found": str(found),
            "missing": sum(each.missing for each in self.runs),
            "added": sum(each.added for each in self.runs),
            "changed": sum(each.changed for each in self.runs),
            "runs": [
                {
                    "run": each.run,
                    "sound": each.sound,
                    "expected": str(each.expected),
                    "found": str(each.found),
                    "missing": each.missing,
                    "added": each.added,
                    "changed": each.changed,
                }
                for each in self.runs
            ],
        }


def verify_pipeline(pipeline: Pipeline, workspace: Workspace) -> VerifyReport:
    """Recomputes the fingerprint of everything in the pipeline's table.

    Works beside a run: if one publishes meanwhile, the table is looked at again.

    Raises:
        AccessDenied: the caller may not.
        IntegrityError: the table and the ledger do not even agree on the last run.
        LeaseError: runs were published faster than the table could be read.
    """
    workspace.access.require("pipeline.verify", of_pipeline(pipeline.name))
    report = _verified(pipeline, workspace)
    on = {"pipeline": pipeline.name, "target": report.target}
    workspace.ledger.audit.record(Event("pipeline.verify", on, detail={"sound": report.sound}))
    return report


def _verified(pipeline: Pipeline, workspace: Workspace) -> VerifyReport:
    ledger, destination = workspace.ledger, pipeline.destination
    reconcile_if_free(workspace, destination)
    session = destination.connect(workspace.site, None)
    try:
        for _ in range(ATTEMPTS):
            last = ledger.last_published(destination.target)
            books = ledger.balance(destination.target)
            rows = session.verify(books)
            if ledger.last_published(destination.target) == last:
                check_commit(ledger, session, destination.target)
                return VerifyReport(pipeline.name, destination.target, sum(books.values(), Fingerprint()), tuple(rows))
    finally:
        session.close()
    raise LeaseHeld(
        f"{destination.target} was published to {ATTEMPTS} times while it was being verified",
        hint="verify again when fewer runs are under way",
    )
