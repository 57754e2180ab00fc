"""One partition, from opening it to its last batch: unchanged from the first byte to the last, or an error."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import IO, Any

import pyarrow as pa

from rowkeeper.batch import Batch, InputMode, Malformed, Partition
from rowkeeper.errors import ColumnsDiffer
from rowkeeper.protocols import Columns
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.file import avro, columnar, delimited, documents, identity, lines
from rowkeeper.sources.file.delimited import CsvFile, Dialect, Piece
from rowkeeper.sources.file.opening import DAMAGES, damaged, opened
from rowkeeper.sources.file.store import Store

NAME_NEAR = 0.75  # `nmae` is meant to be `name`; James is a person
BEGINNING_BYTES = 4096
UNITS = {"ndjson": "line", "json": "record"}
MODES = {
    "csv": InputMode.STRINGS,
    "ndjson": InputMode.JSON,
    "json": InputMode.JSON,
    "parquet": InputMode.PYTHON,
    "avro": InputMode.PYTHON,
}


@dataclasses.dataclass(frozen=True)
class Reading:
    """The reading of one partition from `start_row` on."""

    store: Store
    partition: Partition
    dialect: Dialect
    columns: Columns
    batch_rows: int
    batch_bytes: int
    start_row: int

    def batches(self) -> Iterator[Batch]:
        """Batches of at most about `batch_rows` rows and `batch_bytes`, the last of them held back until the file is
        known to be the one that the plan saw.

        Raises SourceError if it changed, or cannot be read to its end.
        """
        held: Batch | None = None
        try:
            for batch in self._gathered():
                if held is not None:
                    yield held
                    failpoint("source.after_batch")
                held = batch
            failpoint("source.before_end_check")
            self._check_unchanged()
        except DAMAGES as error:
            raise damaged(self.partition.key, error, held.next_row if held else None) from error
        if held is not None:
            yield held

    def _check_unchanged(self) -> None:
        location = str(self.partition.detail["path"])
        if not identity.same(self.store.stamp(location), self.partition.detail):
            raise identity.changed(location)

    def _gathered(self) -> Iterator[Batch]:
        self._check_unchanged()
        mode = MODES[str(self.partition.detail["format"])]
        collected: list[Piece] = []
        first, collected_bytes = self.start_row, 0
        for whole in self._pieces():
            if whole.next_row <= self.start_row:
                continue
            for part in _parts(whole.since(self.start_row), self.batch_rows, self.batch_bytes):
                part_bytes = part.table.nbytes
                if collected and collected_bytes + part_bytes > self.batch_bytes:
                    yield _batch(collected, self.partition.key, mode, first, self._unit)
                    first, collected, collected_bytes = collected[-1].next_row, [], 0
                collected.append(part)
                collected_bytes += part_bytes
                if part.next_row - first >= self.batch_rows:
                    yield _batch(collected, self.partition.key, mode, first, self._unit)
                    first, collected, collected_bytes = part.next_row, [], 0
        if collected and collected[-1].next_row > first:
            yield _batch(collected, self.partition.key, mode, first, self._unit)

    def _pieces(self) -> Iterator[Piece]:
        name, detail = self.partition.key, self.partition.detail
        if self._unit == "record":
            yield from documents.pieces(name, self._open, self.dialect.encoding, self.dialect.records, self.batch_bytes)
        elif detail["format"] in ("json", "ndjson"):
            yield from lines.pieces(name, self._open, self.dialect.encoding, self.batch_bytes)
        elif detail["format"] == "avro":
            with self._open() as stream:
                names = list(avro.head_of(name, stream).columns)
            keep = columns_to_keep(name, names, self.columns)
            yield from avro.pieces(name, self._open, keep, batch_rows=self.batch_rows, start_row=self.start_row)
        elif detail["format"] == "csv":
            with self._open() as stream:
                names, header_lines = delimited.header_of(name, stream, self.dialect)
            keep = columns_to_keep(name, names, self.columns)
            yield from CsvFile(name, self._open, names, header_lines, keep, self.dialect, self.batch_bytes).pieces()
        else:
            seekable = not detail["compression"] and detail["member"] is None
            with self._open() as stream:
                names = columnar.open_parquet(name, stream, seekable=seekable).schema_arrow.names
            delimited.refuse_twice(name, names)
            keep = columns_to_keep(name, names, self.columns)
            yield from columnar.pieces(
                name,
                self._open,
                keep,
                seekable=seekable,
                batch_rows=self.batch_rows,
                batch_bytes=self.batch_bytes,
                start_row=self.start_row,
            )

    @functools.cached_property
    def _unit(self) -> str:
        """What is counted: lines of NDJSON, records of a JSON document, rows of anything else.

        A file that is called `.json` holds lines, unless it begins like an array.
        """
        name, detail = self.partition.key, self.partition.detail
        if detail["format"] == "ndjson" and ".json" in PurePath(name.partition("?")[0]).suffixes[-2:]:
            with self._open() as stream:
                if documents.begins_as_array(stream.read(BEGINNING_BYTES)):
                    return "record"
        return UNITS.get(str(detail["format"]), "row")

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The content of the file that the plan saw, unpacked."""
        detail = self.partition.detail
        location = str(detail["path"])
        scattered = detail["member"] is not None or (detail["format"] == "parquet" and not detail["compression"])
        with self.store.open(location, "random" if scattered else "sequence") as file:
            if not identity.same(self.store.stamp_of_open(file), detail):
                raise identity.changed(location)
            with opened(file, self.partition.key, detail["member"], str(detail["compression"])) as stream:
                yield stream


def columns_to_keep(name: str, names: Sequence[str], columns: Columns) -> list[str]:
    """The columns that are read, by the contract's policy on others.

    Raises SourceError for a required column that is missing, or one that is there and must not be.
    """
    known = columns.known.intersection(names)
    near = _near(names, columns.known)
    if not known and not near and (columns.required or columns.extra != "evolve"):
        raise ColumnsDiffer(  # where there is no header, these names are the first row's values: they are not told
            f"{name} has none of the columns that the contract names, but {len(names)} others",
            hint="see whether it has a header, and the right delimiter; rowkeeper explain lists the contract's names",
        )
    for group in columns.required:
        if not group.intersection(names):
            near = _near(names, group)
            raise ColumnsDiffer(
                f"{name} has no column {' or '.join(sorted(group))}, which the contract requires",
                hint=f"did you mean {near}? Give the field an alias"
                if near
                else ("it has " + ", ".join(names) if known else "see whether it has a header"),
            )
    unknown = [each for each in names if each not in columns.known]
    if unknown and columns.extra == "reject":
        raise ColumnsDiffer(
            f"{name} has a column {unknown[0]} that the contract does not name"
            + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            hint='name it in the contract, or say what to do: drift="ignore" drops it, drift="evolve" adds it',
        )
    keep = [each for each in names if columns.extra == "evolve" or each in columns.known]
    if not keep:
        raise ColumnsDiffer(
            f"{name} has none of the columns that the contract names",
            hint=f"did you mean {near}? Give the field an alias" if near else "see whether it has a header",
        )
    return keep


def _near(names: Sequence[str], wanted: Iterable[str]) -> str:
    """The column that is so near to a wanted name that it must be a name itself; empty if none is."""
    for each in sorted(wanted):
        if near := difflib.get_close_matches(each, names, n=1, cutoff=NAME_NEAR):
            return near[0]
    return ""


def _parts(piece: Piece, rows: int, size: int) -> Iterator[Piece]:
    """A piece in parts of at most so many rows, and of about so many bytes."""
    if piece.table.nbytes > size:
        rows = max(1, min(rows, piece.table.num_rows * size // piece.table.nbytes))
    if piece.table.num_rows <= rows:
        yield piece
        return
    start = 0
    while start < piece.table.num_rows:
        numbers = piece.numbers.slice(start, rows)
        last = start + rows >= piece.table.num_rows
        end = piece.next_row if last else piece.numbers[start + rows].as_py()
        low = 0 if start == 0 else numbers[0].as_py()
        bad: tuple[Malformed, ...] = tuple(each for each in piece.malformed if low <= each.row < end)
        yield Piece(piece.table.slice(start, rows), numbers, piece.places.slice(start, rows), bad, end)
        start += rows


def _batch(pieces: Sequence[Piece], key: str, mode: InputMode, first: int, unit: str) -> Batch:
    return Batch(
        table=pa.concat_tables([each.table for each in pieces]),
        mode=mode,
        partition=key,
        first_row=first,
        next_row=pieces[-1].next_row,
        row_numbers=pa.concat_arrays([_flat(each.numbers) for each in pieces]),
        places=pa.concat_arrays([_flat(each.places) for each in pieces]),
        malformed=tuple(bad for each in pieces for bad in each.malformed),
        unit=unit,
    )


def _flat(array: Any) -> pa.Array[Any]:
    flat: pa.Array[Any] = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return flat
