"""Conditions on what runs say of their rows: quality gates, and shares in quarantine."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterator
from typing import ClassVar

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.alerts.rule import Finding, View
from rowkeeper.operations.alerts.tables import Table

STATUSES = ("failed", "warned", "unknown")
OVER = (RunStatus.PUBLISHED, RunStatus.HELD, RunStatus.FAILED)


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """A quality gate that did not pass in the newest load that its gates were asked about.

    Attributes:
        statuses: what it said.
        gate: its name, or a pattern.
    """

    word: ClassVar[str] = "gate"
    pipeline: str = "*"
    gate: str = "*"
    statuses: tuple[str, ...] = ("failed", "warned")

    @classmethod
    def of(cls, table: Table) -> Gate:
        """As the file has it."""
        statuses = table.choices("status", STATUSES, ("failed", "warned"))
        return cls(table.text("pipeline", "*"), table.text("gate", "*"), statuses)

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for name, runs in view.newest.items():
            if not fnmatch.fnmatchcase(name, self.pipeline):
                continue
            newest = next((run for run in runs if run.status in OVER), None)
            for result in view.space.ledger.gate_results(newest.run) if newest is not None and newest.gates else ():
                if result.status in self.statuses and fnmatch.fnmatchcase(result.gate, self.gate):
                    told = f"gate {result.gate} {result.status} in run {result.run} of {name}"
                    labels = {"pipeline": name, "gate": result.gate}
                    yield Finding(f"{name}/{result.gate}", told, labels, mend=f"rowkeeper show {result.run}")


@dataclasses.dataclass(frozen=True, slots=True)
class Quarantine:
    """The newest published load of a pipeline, if too great a share of what it read was rejected.

    Attributes:
        above: the share, from 0 to 1.
        rows_min: loads of fewer rows are not looked at.
    """

    word: ClassVar[str] = "quarantine"
    pipeline: str = "*"
    above: float = 0.05
    rows_min: int = 100

    @classmethod
    def of(cls, table: Table) -> Quarantine:
        """As the file has it."""
        above = table.number("above", 0.05, least=0.0, most=1.0)
        return cls(table.text("pipeline", "*"), above, int(table.number("rows_min", 100, least=0)))

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for name, runs in view.newest.items():
            newest = next((run for run in runs if run.status is RunStatus.PUBLISHED), None)
            if newest is None or not fnmatch.fnmatchcase(name, self.pipeline):
                continue
            account = newest.account
            if not account.read or account.read < self.rows_min:
                continue
            share = account.quarantined / account.read
            if share > self.above:
                told = f"run {newest.run} of {name} put {share:.1%} of its rows into quarantine"
                mend = f"rowkeeper quarantine show {newest.run}"
                yield Finding(name, f"{told}; above {self.above:.1%} is too much", {"pipeline": name}, mend=mend)
