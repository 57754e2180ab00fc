"""What a reader needs of a table of files: which files it is now, and of which columns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa

from rowkeeper.destinations.file.log import Log
from rowkeeper.destinations.file.manifest import Manifest
from rowkeeper.errors import DeclarationError, SourceMissing
from rowkeeper.stores import Folder, address_of


@dataclasses.dataclass(frozen=True, slots=True)
class TableFiles:
    """One version of a table of files, which never changes.

    Attributes:
        version: counts from 1; 0 for a table that nothing was published to yet.
        run: the run that was published last; None for none.
        format: `parquet`, `arrow`, `csv` or `ndjson`.
        files: paths or URLs, which Polars, DuckDB and pyarrow read as they are.
        rows: in all of them.
        schema: name and Arrow type of each column. A file that is older than a column has not got it: it is null there.
    """

    version: int
    run: int | None
    format: str
    files: tuple[str, ...]
    rows: int
    schema: pa.Schema

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "version": self.version,
            "run": self.run,
            "format": self.format,
            "rows": self.rows,
            "columns": [{"name": field.name, "type": str(field.type)} for field in self.schema],
            "files": list(self.files),
        }


def table_files(manifest: Manifest | None, place: str) -> TableFiles:
    """A manifest, as a reader sees it.

    Args:
        place: of the table, such as `/data/flights` or `s3://bucket/flights`.
    """
    if manifest is None:
        return TableFiles(0, None, "", (), 0, pa.schema([]))
    return TableFiles(
        manifest.version,
        None if manifest.record is None else manifest.record.run,
        str(manifest.settings["format"]),
        tuple(f"{place}/{file.path}" for file in manifest.files),
        sum(file.rows for file in manifest.files),
        manifest.layouts[-1].schema if manifest.layouts else pa.schema([]),
    )


def read_manifest(url: str | Path) -> TableFiles:
    """The files of a table in a folder of this machine, as it is now; no state folder is needed.

    Of a table in an object store, `rowkeeper files FILE --json` says the same; or read `_rowkeeper/current.json` there,
    which names the newest manifest, with a client of your own.

    Raises:
        DeclarationError: it is in an object store.
        SourceMissing: there is no such table.
        IntegrityError: the manifest was changed.
    """
    address = address_of(str(url))
    if address.is_remote:
        raise DeclarationError(
            f"{address.scheme}:// is not read without a pipeline, which says who we are there",
            hint="rowkeeper files FILE --json lists the files; or read _rowkeeper/current.json there",
        )
    log = Log(Folder(Path(address.path)), "")
    newest = log.newest()
    if newest is None:
        raise SourceMissing(f"there is no table of files in {address.path}", hint="a run makes it")
    return table_files(newest, str(Path(address.path).absolute()))
