"""The rows of a run as data files: written, read back, and compared with what was staged, before anything is published.

A file has rows of one partition of the source and of one value of the columns by which the table is partitioned; so
what a changed file of the source brought can be dropped to the row, with whole files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote

import pyarrow as pa

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.file import formats, packing
from rowkeeper.destinations.file.manifest import DataFile, Layout
from rowkeeper.errors import DestinationRefused, StagingDamaged
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.file.declaring import FilesDestination
    from rowkeeper.destinations.file.log import Log
    from rowkeeper.destinations.staged import StagingArea
    from rowkeeper.stores import Writing

FILE_BYTES_MAX = 64 << 20  # as they are written, before a compression of the whole
COPY_BYTES = 1 << 20
PARTITIONS_MAX = 2_000  # values of the partitioning columns in one run: each takes a pass over its rows
NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Rows that go into files of their own: of a partition of the source, with the same values to be partitioned by."""

    partition: int
    values: Mapping[str, str | None]

    @property
    def folder(self) -> str:
        """Below the table's own, in the manner of Hive: `country=no/year=2026/`."""
        parts = [
            f"{quote(name, safe='')}={NULL if text is None else quote(text, safe='')}"
            for name, text in self.values.items()
        ]
        return "".join(f"{part}/" for part in parts)


def write_files(table: FilesDestination, log: Log, area: StagingArea) -> list[DataFile]:
    """Writes all staged rows of the run. Raises IntegrityError if what is read back is not what was staged."""
    layout = Layout(area.columns, area.delivered_schema)
    written: list[DataFile] = []
    for share in _shares(table, area):
        rows = _Peeked(area.rows(share.partition, where=share.values))
        while not rows.is_over:
            written.append(_write_file(table, log, area, layout, share, rows, len(written)))
            failpoint("files.after_data")
    _compare(written, area)
    return written


def _shares(table: FilesDestination, area: StagingArea) -> list[Share]:
    found = [Share(ordinal, values) for ordinal, values in area.shares(table.partition_by, PARTITIONS_MAX + 1)]
    if len(found) > PARTITIONS_MAX:
        raise DestinationRefused(
            f"the run has more than {PARTITIONS_MAX:,} partitions of {table.target}, each of which would be a file",
            hint="partition by columns with fewer values, or load fewer files at a time",
        )
    return found


class _Peeked:
    """Tables of rows, of which the rest of one can be put back."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._next = next(tables, None)

    @property
    def is_over(self) -> bool:
        return self._next is None

    def take(self, rows_max: int | None) -> pa.Table:
        table = self._next
        assert table is not None
        if rows_max is not None and table.num_rows > rows_max:
            self._next = table.slice(rows_max)
            return table.slice(0, rows_max)
        self._next = next(self._tables, None)
        return table


def _write_file(  # noqa: PLR0917 - what, where to, from where
    table: FilesDestination, log: Log, area: StagingArea, layout: Layout, share: Share, rows: _Peeked, number: int
) -> DataFile:
    path = f"{share.folder}run-{area.table.run}-{area.table.token}-{number:05}{table.extension}"
    with log.store.writing(log.name(path)) as out:
        counted = _Counted(out)
        if table.encrypt_for:
            with packing.memory_file() as plain:
                count = _encode(table, layout, rows, plain)
                plain.seek(0)
                found = _fingerprint(table, area, layout, plain)
                plain.seek(0)
                packing.encrypted(plain, cast("IO[bytes]", counted), table.encrypt_for)
        else:
            count = _encode(table, layout, rows, cast("IO[bytes]", counted))
            found = None
    file = DataFile(
        path, area.table.run, share.partition, count, Fingerprint(), counted.size, counted.digest, share.values
    )
    back = read_whole(log, file)
    with back:
        if found is None:
            found = _fingerprint(table, area, layout, back)
    if found.rows != count:
        raise StagingDamaged(
            f"{count} rows were written to {log.place}/{path}, and {found.rows} are in it", hint=MENDING
        )
    return dataclasses.replace(file, fingerprint=found)


MENDING = "nothing was published; run the pipeline again, and see to the disk or the store if that does not help"


def _encode(table: FilesDestination, layout: Layout, rows: _Peeked, out: IO[bytes]) -> int:
    """Fills one file; returns how many rows went into it."""
    inner = table.compression if table.compresses_within else "none"
    outer = packing.compressed(out, "none" if table.compresses_within else table.compression)
    measured = _Counted(outer)
    writer = formats.open_writer(table.format, cast("IO[bytes]", measured), layout.schema, inner)
    count = 0
    while not rows.is_over and (table.rows_per_file is None or count < table.rows_per_file):
        part = rows.take(None if table.rows_per_file is None else table.rows_per_file - count)
        writer.write(part.drop_columns([ROW_ID]).cast(layout.schema))
        count += part.num_rows
        if measured.size >= FILE_BYTES_MAX:
            break
    writer.close()
    if table.compression in packing.EXTENSIONS and not table.compresses_within:
        outer.close()  # what is around the whole ends with it
    return count


class _Counted(io.RawIOBase):
    """A stream that says how much went through it, and its SHA-256. It is only ever written to, and closes nothing."""

    def __init__(self, out: IO[bytes] | Writing) -> None:
        super().__init__()
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._out.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        return len(piece)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _fingerprint(table: FilesDestination, area: StagingArea, layout: Layout, file: IO[bytes]) -> Fingerprint:
    """Of the rows in a file that is not encrypted, hashed anew by the engine."""
    outer = packing.decompressed(file, "none" if table.compresses_within else table.compression)
    try:
        tables = formats.read_back(table.format, outer, layout.schema)
        return sum((area.fingerprint(rows, layout.columns) for rows in tables), Fingerprint())
    except (ValueError, TypeError, OSError, KeyError) as error:  # pyarrow's and msgspec's are of these
        raise StagingDamaged(
            f"a file that was just written cannot be read ({type(error).__name__})", hint=MENDING
        ) from error


def read_whole(log: Log, file: DataFile) -> IO[bytes]:
    """A data file as it is stored, read and compared with its SHA-256. Raises IntegrityError if it is another."""
    copy = packing.memory_file()
    digest = hashlib.sha256()
    with log.store.open(log.name(file.path)) as stored:
        while piece := stored.read(COPY_BYTES):
            digest.update(piece)
            copy.write(piece)
    if digest.hexdigest() != file.sha256:
        copy.close()
        raise StagingDamaged(f"{log.place}/{file.path} is not as it was written", hint=MENDING)
    copy.seek(0)
    return copy


def _compare(written: list[DataFile], area: StagingArea) -> None:
    """What is in the files against what was staged, by partition of the source."""
    found: dict[int, Fingerprint] = {}
    for file in written:
        found[file.partition] = found.get(file.partition, Fingerprint()) + file.fingerprint
    if found != area.fingerprints():
        raise StagingDamaged(
            f"the rows in the files of run {area.table.run} are not those that were staged", hint=MENDING
        )
