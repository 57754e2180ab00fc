"""The files against the manifest, and the rows in them against the books."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.comparing import judged
from rowkeeper.destinations.file import formats, packing
from rowkeeper.destinations.file.manifest import DataFile, Manifest
from rowkeeper.errors import ObjectMissing
from rowkeeper.protocols import RunRows

if TYPE_CHECKING:
    from rowkeeper.destinations.file.declaring import FilesDestination
    from rowkeeper.destinations.file.log import Log
    from rowkeeper.destinations.staged import StagingArea

COPY_BYTES = 1 << 20


@dataclasses.dataclass
class _Found:
    """What is found of one run. Grows file by file."""

    rows: Fingerprint = dataclasses.field(default_factory=Fingerprint)
    changed: int = 0


def verify(table: FilesDestination, log: Log, area: StagingArea, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
    """Reads every file that the manifest names.

    The rows of a file that is as it was written are hashed anew; of one that is encrypted, where no identity is given,
    the bytes have to do. A file that is another than it was, and can still be read, counts with the rows that it has;
    one that cannot be read has none.
    """
    newest = log.newest()
    found: dict[int, _Found] = {}
    for file in () if newest is None else newest.files:
        assert newest is not None
        one = found.setdefault(file.run, _Found())
        rows, is_same = _rows_of(table, log, area, newest, file)
        one.rows += rows
        if not is_same and rows.rows >= file.rows:
            one.changed += 1
    nothing = _Found()
    return [
        judged(run, expected.get(run, Fingerprint()), found.get(run, nothing).rows, found.get(run, nothing).changed)
        for run in sorted({*expected, *found})
    ]


def _rows_of(
    table: FilesDestination, log: Log, area: StagingArea, manifest: Manifest, file: DataFile
) -> tuple[Fingerprint, bool]:
    """The rows of a file, and whether it is byte by byte what was written."""
    digest = hashlib.sha256()
    with packing.memory_file() as copy:
        try:
            with log.store.open(log.name(file.path)) as stored:
                while piece := stored.read(COPY_BYTES):
                    digest.update(piece)
                    copy.write(piece)
        except ObjectMissing:
            return Fingerprint(), False
        is_same = digest.hexdigest() == file.sha256
        copy.seek(0)
        if manifest.settings["encrypted_for"] or file.path.endswith(packing.AGE):
            if table.identity is None:
                return (file.fingerprint if is_same else Fingerprint()), is_same
            return _decrypted(table, area, manifest, file, copy), is_same
        return _hashed(area, manifest, file, copy), is_same


def _decrypted(
    table: FilesDestination, area: StagingArea, manifest: Manifest, file: DataFile, copy: IO[bytes]
) -> Fingerprint:
    assert table.identity is not None
    try:
        with packing.decrypted(copy, table.identity) as plain:
            return _hashed(area, manifest, file, plain)
    except ValueError:
        return Fingerprint()


def _hashed(area: StagingArea, manifest: Manifest, file: DataFile, stored: IO[bytes]) -> Fingerprint:
    """Of the rows in a file; of none where they cannot be read."""
    layout, name = manifest.layout_of(file), format_of(file.path)
    outer = packing.decompressed(stored, packing.compression_of(file.path))
    found = Fingerprint()
    try:
        for rows in formats.read_back(name, outer, layout.schema):
            found += area.fingerprint(rows, layout.columns)
    except (ValueError, TypeError, OSError, KeyError, EOFError):  # pyarrow's and msgspec's are of these
        return Fingerprint()
    return found


def format_of(path: str) -> str:
    """By a file's name: earlier runs may have written others than the table has now."""
    plain = path.removesuffix(packing.AGE).removesuffix(".gz").removesuffix(".zst")
    return plain.rpartition(".")[2]
