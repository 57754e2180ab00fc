"""The files source: what it declares, what it finds, and how one file is read."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, Self

import pyarrow as pa

from rowkeeper.batch import Batch, InputMode, Malformed, Partition
from rowkeeper.errors import ConfigurationError, SourceError
from rowkeeper.protocols import Columns, Guarantee, Plan
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.file import columnar, delimited, identity, lines
from rowkeeper.sources.file.delimited import CsvFile, Dialect, Piece
from rowkeeper.sources.file.finding import Found, find
from rowkeeper.sources.file.opening import DAMAGES, damaged, opened

ChangePolicy = Literal["reject", "reload", "ignore"]
BATCH_BYTES_MAX = 64 << 20
MODES = {"csv": InputMode.STRINGS, "ndjson": InputMode.JSON, "parquet": InputMode.PYTHON}


@dataclasses.dataclass(frozen=True)
class FilesSource:
    """Files by pattern. Guarantee: exactly once. Made by `files()`, which says what each attribute means."""

    patterns: tuple[str, ...]
    format: str
    null_values: tuple[str, ...]
    encoding: str
    delimiter: str
    on_change: ChangePolicy
    base: Path = Path()
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def mode(self) -> InputMode:
        """CSV gives text, NDJSON documents, Parquet typed values."""
        known = self.format if self.format != "auto" else find(self.patterns, self.base, self.format)[0].format
        return MODES[known]

    def located(self, base: Path) -> Self:
        """The same, its relative patterns taken from this folder."""
        return dataclasses.replace(self, base=base)

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out."""
        document = dataclasses.asdict(self)
        return {"kind": "files", **document, "base": str(self.base)}

    # ------------------------------------------------------------------------------------------ plan

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Finds the files, and compares them with those that were loaded."""
        here = [self._identified(found, loaded.get(found.key)) for found in find(self.patterns, self.base, self.format)]
        if whole:
            same = {each.key: each.identity for each in here} == {key: each.identity for key, each in loaded.items()}
            return Plan(unchanged=tuple(here)) if same else Plan(load=tuple(here))
        new = [each for each in here if each.key not in loaded]
        known = [each for each in here if each.key in loaded]
        changed = tuple(each for each in known if each.identity != loaded[each.key].identity)
        if changed and self.on_change == "reject":
            raise SourceError(
                f"{changed[0].key} changed since it was loaded"
                + (f", and {len(changed) - 1} more files" if len(changed) > 1 else ""),
                hint='say what to do with changed files: rk.sources.files(..., on_change="reload") loads them in the '
                'place of their former rows, "ignore" leaves them',
            )
        return Plan(
            load=tuple(new),
            reload=changed if self.on_change == "reload" else (),
            unchanged=tuple(each for each in known if each.identity == loaded[each.key].identity),
            ignored=changed if self.on_change == "ignore" else (),
        )

    def _identified(self, found: Found, former: Partition | None) -> Partition:
        stat = identity.stat_of(found.path)
        detail = former.detail if former is not None else {}
        if former is not None and identity.untouched(stat, detail):
            content, hashed_ns = former.identity, int(detail["hashed_ns"])
        else:
            content, hashed_ns = identity.hashed(found.path, stat)
        return Partition(
            key=found.key,
            identity=content,
            size_bytes=stat["size"],
            detail={
                **stat,
                "hashed_ns": hashed_ns,
                "path": str(found.path),
                "member": found.member,
                "format": found.format,
                "compression": found.compression,
            },
        )

    # ------------------------------------------------------------------------------------------ read

    def read(self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns) -> Iterator[Batch]:
        """Reads one file. What is yielded last was still the file that the plan saw."""
        path = Path(str(partition.detail["path"]))
        held: Batch | None = None
        try:
            for batch in self._batches(partition, path, start_row, batch_rows, columns):
                if held is not None:
                    yield held
                    failpoint("source.after_batch")
                held = batch
            failpoint("source.before_end_check")
            self._check_unchanged(partition, path)
        except DAMAGES as error:
            raise damaged(partition.key, error) from error
        if held is not None:
            yield held

    @staticmethod
    def _check_unchanged(partition: Partition, path: Path) -> None:
        stat = identity.stat_of(path)
        if any(partition.detail[name] != value for name, value in stat.items()):
            raise identity.changed(path)

    def _batches(
        self, partition: Partition, path: Path, start_row: int, batch_rows: int, columns: Columns
    ) -> Iterator[Batch]:
        self._check_unchanged(partition, path)
        mode = MODES[str(partition.detail["format"])]
        collected: list[Piece] = []
        first = start_row
        for whole in self._pieces(partition, path, start_row, batch_rows, columns):
            piece = whole.since(start_row)
            for part in _parts(piece, batch_rows):
                collected.append(part)
                rows = part.next_row - first
                if rows >= batch_rows or sum(each.table.nbytes for each in collected) > BATCH_BYTES_MAX:
                    yield _batch(collected, partition.key, mode, first)
                    first, collected = part.next_row, []
        if collected and collected[-1].next_row > first:
            yield _batch(collected, partition.key, mode, first)

    def _pieces(
        self, partition: Partition, path: Path, start_row: int, batch_rows: int, columns: Columns
    ) -> Iterator[Piece]:
        reopen = partial(self._open, partition, path)
        name, kind = partition.key, str(partition.detail["format"])
        if kind == "ndjson":
            yield from lines.pieces(name, reopen)
        elif kind == "csv":
            dialect = Dialect(self.delimiter, self.encoding, self.null_values)
            with reopen() as stream:
                names, header_lines = delimited.header_of(name, stream, dialect)
            keep = columns_to_keep(name, names, columns)
            yield from CsvFile(name, reopen, names, header_lines, keep, dialect).pieces()
        else:
            seekable = not partition.detail["compression"] and partition.detail["member"] is None
            with reopen() as stream:
                names = columnar.open_parquet(name, stream, seekable=seekable).schema_arrow.names
            keep = columns_to_keep(name, names, columns)
            yield from columnar.pieces(
                name, reopen, keep, seekable=seekable, batch_rows=batch_rows, start_row=start_row
            )

    def _open(self, partition: Partition, path: Path) -> AbstractContextManager[IO[bytes]]:
        return _stream(partition, path)


@contextmanager
def _stream(partition: Partition, path: Path) -> Iterator[IO[bytes]]:
    member, compression = partition.detail["member"], str(partition.detail["compression"])
    with path.open("rb") as file:
        descriptor_stat = identity.stat_of_descriptor(file.fileno())
        if any(partition.detail[name] != value for name, value in descriptor_stat.items()):
            raise identity.changed(path)
        with opened(file, path, member, compression) as stream:
            yield stream


def columns_to_keep(name: str, names: Sequence[str], columns: Columns) -> list[str]:
    """The columns that are read, by the contract's policy on others.

    Raises SourceError for a required column that is missing, or one that is there and must not be.
    """
    for group in columns.required:
        if not group.intersection(names):
            wanted = sorted(group)[0]
            near = difflib.get_close_matches(wanted, names, n=1)
            raise SourceError(
                f"{name} has no column {' or '.join(sorted(group))}, which the contract requires",
                hint=f"did you mean {near[0]}? Give the field an alias" if near else "it has " + ", ".join(names),
            )
    unknown = [each for each in names if each not in columns.known]
    if unknown and columns.extra == "reject":
        raise SourceError(
            f"{name} has a column {unknown[0]} that the contract does not name"
            + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            hint='name it in the contract, or say what to do: drift="ignore" drops it, drift="evolve" adds it',
        )
    return [each for each in names if columns.extra == "evolve" or each in columns.known]


def _parts(piece: Piece, rows: int) -> Iterator[Piece]:
    """A piece in parts of at most so many rows."""
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


def _batch(pieces: Sequence[Piece], key: str, mode: InputMode, first: int) -> Batch:
    return Batch(
        table=pa.concat_tables([each.table for each in pieces]),
        mode=mode,
        partition=key,
        first_row=first,
        next_row=pieces[-1].next_row,
        row_numbers=pa.concat_arrays([_flat(each.numbers) for each in pieces]),
        places=pa.concat_arrays([_flat(each.places) for each in pieces]),
        malformed=tuple(bad for each in pieces for bad in each.malformed),
    )


def _flat(array: Any) -> pa.Array[Any]:
    flat: pa.Array[Any] = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return flat


def files(
    *patterns: str,
    format: Literal["auto", "csv", "ndjson", "parquet"] = "auto",
    null_values: Sequence[str] = ("",),
    encoding: str = "utf-8",
    delimiter: str = ",",
    on_change: ChangePolicy = "reject",
) -> FilesSource:
    """Local files: CSV, NDJSON or Parquet; plain, `.gz`, `.zst`, or inside a `.zip`.

    Each file (and each member of a zip) is a partition, known by its size and the SHA-256 of its bytes: one that was
    loaded is not loaded again.

    Args:
        patterns: paths, with `*`, `?`, `[...]` and `**`; relative ones start from the pipeline file's folder.
        format: "auto" goes by the files' names.
        null_values: what stands for null in a CSV, where it is not quoted.
        encoding: of a CSV.
        delimiter: of a CSV.
        on_change: what to do with a file that changed since it was loaded: `reject` fails the run, `reload` loads it in
            the place of its former rows, `ignore` leaves it.

    Raises:
        ConfigurationError: an argument is not possible.
    """
    if not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise ConfigurationError("a files source needs a path or pattern", hint='rk.sources.files("data/*.csv")')
    if on_change not in ("reject", "reload", "ignore"):
        raise ConfigurationError(f"on_change={on_change!r} is no policy", hint="one of reject, reload, ignore")
    if format not in ("auto", *MODES):
        raise ConfigurationError(f"format={format!r} is not known", hint="one of auto, csv, ndjson, parquet")
    if len(delimiter) != 1:
        raise ConfigurationError("a delimiter is one character", hint='such as delimiter=";"')
    try:
        "".encode(encoding)
    except LookupError as error:
        raise ConfigurationError(f"encoding={encoding!r} is not known", hint='such as "latin-1"') from error
    if isinstance(null_values, str):
        raise ConfigurationError("null_values is one string", hint=f"give a list: null_values=[{null_values!r}]")
    return FilesSource(tuple(patterns), format, tuple(null_values), encoding, delimiter, on_change)
