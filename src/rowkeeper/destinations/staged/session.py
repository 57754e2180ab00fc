"""What the sessions of destinations share whose rows wait in the embedded engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree.layout import Columns
from rowkeeper.destinations.staged.area import StagingArea
from rowkeeper.errors import DeclarationError, DestinationLacks
from rowkeeper.measures import Question, Rehearsal, Repeated, Returned, StagedTable
from rowkeeper.protocols import Change, DuplicateRow, Leftover, RunRows, Sealed, StagedRows


class StagedInEngine:
    """The part of a `protocols.DestinationSession` that comes before the publish. Inherit from it.

    Left to the destination are `prepare`, `commit_record`, `publish` and `settle`; and, where it has them, `undo_kept`,
    `verify`, `look_up` and `check_change`, which refuse here.

    Attributes:
        area: where the rows wait.
        what: the destination in words, for errors.
    """

    def __init__(self, area: StagingArea, what: str) -> None:
        self.area = area
        self.what = what

    def check_change(self, change: Change) -> None:
        """Adds rows, and can do nothing else."""
        if change.drop_all:
            raise self.lacks('replace all rows (write="replace")', "let it add rows, and begin another one for others")
        if change.drop_rows:
            raise self.lacks(
                "take back the rows of a file that changed",
                'let the source leave changed files as they are (on_change="ignore"), or offer them under other names',
            )
        if change.reverse is not None:
            raise self.lacks("take a run back", "undo it there by other means; the ledger keeps the run as published")

    def evolve(self, schema: pa.Schema) -> Columns:
        """Adds the columns that drift brought to the staging area."""
        return self.area.evolve(schema)

    def stage_open(self, run: int, token: int) -> None:
        """Makes an empty staging area."""
        self.area.open_to_fence(run, token)

    def stage_resume(self, run: int, token: int, staged: Sequence[StagedRows]) -> bool:
        """Takes over a dead run's staging area; False if it does not hold what the ledger says."""
        if not self.area.is_made():
            return False
        return self.area.table.stage_resume(run, token, staged)

    def stage(self, table: pa.Table) -> None:
        """Stages accepted rows."""
        self.area.table.stage(table)

    def stage_withdraw(self, partition_ordinal: int) -> None:
        """Takes the rows of one partition out again."""
        self.area.table.stage_withdraw(partition_ordinal)

    def stage_drop(self, run: int) -> None:
        """Drops all that a run has staged."""
        self.area.table.stage_drop(run)

    def leftovers(self) -> Sequence[Leftover]:
        """The staging areas of all runs."""
        return self.area.table.leftovers()

    def clear(self, leftover: Leftover) -> None:
        """Drops one."""
        self.area.table.clear(leftover)

    def duplicate_rows(self, change: Change) -> Iterator[DuplicateRow]:
        """The staged rows that `seal` will take out, because their key is there twice in the run."""
        return self.area.table.duplicate_rows(change)

    def rehearse(self, columns: Sequence[tuple[str, str]]) -> Rehearsal:
        """A table of these columns without rows; questions about what the destination holds are refused."""
        return _OfTheRunAlone(self.area.table.rehearse(columns), self.what)

    def staged(self, change: Change) -> StagedTable:
        """The staged rows, to be asked."""
        return self.area.table.staged(change)

    def staged_relation(self, run: int, token: int) -> str | None:
        """What typed SQL reads a run's staged rows from."""
        return self.area.table.staged_relation(run, token)

    def seal(self, staged: Sequence[StagedRows], change: Change) -> Sealed:
        """Takes out duplicates, reads back from disk all that is left, and compares it with what was sent."""
        return self.area.table.seal(staged, change)

    def undo_kept(self, run: int) -> bool:
        """Nothing is kept."""
        del run
        return False

    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Refused: nothing can be read back."""
        del expected
        raise self.lacks("be read back, so nothing can be verified", "look there by other means")

    def look_up(self, columns: Sequence[str], where: Mapping[str, str], limit: int) -> Sequence[Sequence[Any]]:
        """Refused: nothing can be read back."""
        del columns, where, limit
        raise self.lacks("be searched for rows", "look there by other means")

    def lacks(self, what: str, hint: str) -> DestinationLacks:
        """The one error for what a destination has not."""
        return DestinationLacks(f"{self.what} cannot {what}", hint=hint)

    def close(self) -> None:
        """Gives back connections; the staged rows stay."""
        self.area.close()


class _OfTheRunAlone:
    """Implements `measures.Rehearsal`, without the questions whose answer lies where the engine cannot look."""

    def __init__(self, inner: Rehearsal, what: str) -> None:
        self._inner = inner
        self._what = what

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """No rows, in the types in which blocks come."""
        return self._inner.empty(columns)

    def try_out(self, question: Question) -> None:
        """Raises DeclarationError if the question could not be answered."""
        if (isinstance(question, Returned) and "{table}" in question.query) or (
            isinstance(question, Repeated) and question.in_table
        ):
            raise DeclarationError(
                f"it asks for the rows that {self._what} holds, and only those of the run can be asked",
                hint='leave out {table}, or across="table"',
            )
        self._inner.try_out(question)
