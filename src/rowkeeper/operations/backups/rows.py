"""Rows of tables on ClickHouse servers, as a backup holds them: what each run brought, once for each state of it.

The files of such a table cannot be reached, so its rows are fetched, in batches. A batch has the rows of some runs as
they were in one snapshot, in pieces. What a run has in a table is known by its fingerprint: while that is the same, the
rows are those that an earlier batch holds, and are not fetched again. Which batch has the rows of which run is told by
a description for each snapshot.

    rows/TABLE/SNAPSHOT.json    the shape of the table; by run, its fingerprint and its batch
    rows/TABLE/BATCH/000000     a piece, in ClickHouse's format Native

TABLE stands for the target, by a hash. All of it lies in sealed packs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree.exporting import NOBODYS, Shape, among, held_by_run, pieces, shape_of
from rowkeeper.destinations.mergetree.layout import Columns
from rowkeeper.destinations.mergetree.saving import Part, name_of
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.errors import BooksDiffer
from rowkeeper.operations.backups.chain import ChainReader
from rowkeeper.operations.backups.manifest import damaged
from rowkeeper.operations.backups.packing import Packer
from rowkeeper.operations.backups.packs import Entry
from rowkeeper.resilience.failpoints import failpoint

ROWS = "rows/"
ENDING = ".json"
KEY_DIGITS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Rows that were fetched together.

    Attributes:
        name: below the table's part of the backup.
        columns: that they have; a table may have got more since.
        runs: that they are of.
    """

    name: str
    columns: Columns
    runs: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What a run has in a snapshot, and where it lies."""

    fingerprint: str
    batch: Batch


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """A snapshot."""

    shape: Shape
    held: Mapping[int, Held]

    def written(self) -> bytes:
        """As a document."""
        batches = {each.batch.name: [each.batch.columns, each.batch.runs] for each in self.held.values()}
        held = {str(run): [each.fingerprint, each.batch.name] for run, each in self.held.items()}
        return json.dumps({"shape": dataclasses.asdict(self.shape), "held": held, "batches": batches}).encode()

    @classmethod
    def read(cls, id: str, document: bytes) -> Self:
        """The inverse of `written`. Raises BackupDamaged, naming the backup."""
        try:
            found = json.loads(document)
            shape = Shape(**{**found["shape"], "columns": _columns(found["shape"]["columns"])})
            batches = {
                name: Batch(name, _columns(columns), tuple(map(int, runs)))
                for name, (columns, runs) in found["batches"].items()
            }
            held = {int(run): Held(str(print), batches[name]) for run, (print, name) in found["held"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(id, "a description of a table is not what Rowkeeper wrote") from error
        return cls(shape, held)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A table on a server that stands still, and is to go into the backup.

    Attributes:
        part: its name there, and in the backup.
        books: what the ledger says that it holds, by the run that brought it.
    """

    target: str
    part: Part
    books: Mapping[int, Fingerprint]


class RowsKnown:
    """The batches that a backup can go on from: those of its base."""

    def __init__(self, reader: ChainReader | None, index: Mapping[str, Entry]) -> None:
        self._batches: dict[tuple[str, int, str], Batch] = {}
        self._pieces: dict[str, list[Entry]] = {}
        described = [entry for path, entry in index.items() if path.startswith(ROWS) and path.endswith(ENDING)]
        for path, entry in index.items():
            if path.startswith(ROWS) and not path.endswith(ENDING):
                self._pieces.setdefault(path.rpartition("/")[0], []).append(entry)
        if reader is not None:
            for entry, document in reader.each(described):
                self.add(entry.path.split("/")[1], Description.read(entry.backup, document))

    def add(self, key: str, description: Description) -> None:
        """The rows of a snapshot are known now."""
        for run, held in description.held.items():
            self._batches[key, run, held.fingerprint] = held.batch

    def batch(self, key: str, run: int, fingerprint: str) -> Batch | None:
        """The one with a run's rows as they have this fingerprint."""
        return self._batches.get((key, run, fingerprint))

    def pieces(self, key: str, batch: Batch) -> list[Entry]:
        """Where the pieces of a batch of the base lie; empty for one of this backup."""
        return self._pieces.get(f"{ROWS}{key}/{batch.name}", [])


class RowsSending:
    """Fetches what is new of tables on servers, into the packs of a backup.

    Args:
        id: of the backup.
    """

    def __init__(self, id: str, packer: Packer, known: RowsKnown) -> None:
        self._id, self._packer, self._known = id, packer, known
        self._kept: set[tuple[str, str]] = set()
        self._count = 0

    def send(self, table: TableSession, wanted: Wanted) -> None:
        """One snapshot.

        Raises:
            BooksDiffer: the table does not hold what the ledger says, so that it could not be restored.
            TableMoved: somebody changed it meanwhile.
            DatabaseError: the server is away, or refused.
        """
        key, name = key_of(wanted.target), wanted.part.table
        with table.engine.staying():
            table.catch_up(name)
            shape = shape_of(table, name)
            there = held_by_run(table, name, shape.columns)
            _check(wanted, there)
            known = {run: self._known.batch(key, run, str(each)) for run, each in there.items()}
            new = [run for run, batch in known.items() if batch is None]
            fresh = Batch(f"{self._id}-{self._count:06d}", shape.columns, tuple(new))
            self._count += 1
            held = {run: Held(str(each), known[run] or fresh) for run, each in there.items()}
            description = Description(shape, held)
            self._keep(key, description)
            self._packer.add_data(path_of(key, wanted.part), description.written())
            if new:
                found = pieces(table, name, shape.columns, among(new, there))
                for number, piece in enumerate(found):
                    self._packer.add_data(f"{ROWS}{key}/{fresh.name}/{number:06d}", piece)
                    failpoint("backup.after_piece")
        self._known.add(key, description)

    def _keep(self, key: str, description: Description) -> None:
        """The index of a backup names also what lies in those before it."""
        for batch in {each.batch.name: each.batch for each in description.held.values()}.values():
            if (key, batch.name) not in self._kept:
                self._kept.add((key, batch.name))
                self._packer.keep(self._known.pieces(key, batch))


def key_of(target: str) -> str:
    """What stands for a target in the names of a backup."""
    return hashlib.sha256(target.encode()).hexdigest()[:KEY_DIGITS]


def path_of(key: str, part: Part) -> str:
    """Where the description of a snapshot lies."""
    return f"{ROWS}{key}/{name_of(part)}{ENDING}"


def described(reader: ChainReader, target: str, snapshot: str) -> tuple[Description, dict[str, list[Entry]]]:
    """A snapshot in a backup, and the pieces of its batches, in order.

    Args:
        snapshot: its name, as the manifest has it.

    Raises BackupDamaged, BackupMissing.
    """
    index, id = reader.index(), reader.manifest.id
    entry = index.get(f"{ROWS}{key_of(target)}/{snapshot}{ENDING}")
    if entry is None:
        raise damaged(id, f"it does not say what {target} holds")
    description = Description.read(id, reader.read(entry))
    names = {each.batch.name for each in description.held.values()}
    return description, {name: list(_pieces(index, f"{ROWS}{key_of(target)}/{name}/")) for name in sorted(names)}


def bytes_of(found: Mapping[str, list[Entry]]) -> int:
    """Of all pieces, as they are sent to a table."""
    return sum(entry.size for entries in found.values() for entry in entries)


def _pieces(index: Mapping[str, Entry], start: str) -> Iterator[Entry]:
    for path in sorted(path for path in index if path.startswith(start)):
        yield index[path]


def _check(wanted: Wanted, there: Mapping[int, Fingerprint]) -> None:
    """What does not agree with the books could be put back, and would not be taken for what it was."""
    runs = {*there, *wanted.books} - {NOBODYS}
    wrong = [run for run in sorted(runs) if there.get(run, Fingerprint()) != wanted.books.get(run, Fingerprint())]
    if wrong:
        raise BooksDiffer(
            f"{wanted.target} does not hold what the ledger says of run {wrong[0]}, and so cannot be backed up",
            hint="rowkeeper verify says what was changed, added or is missing",
        )


def _columns(found: Any) -> Columns:
    return tuple((str(name), str(kind)) for name, kind in found)
