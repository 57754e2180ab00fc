"""What a manifest holds: the files that are the table, and by which run it came to be so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Self

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.staged.delivered import as_text, from_text
from rowkeeper.destinations.staged.record import document_of, record_of
from rowkeeper.errors import BooksDiffer, NewerState
from rowkeeper.protocols import CommitRecord

FORM = 1
Columns = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file.

    Attributes:
        columns: name and ClickHouse type of each, by which rows are hashed.
        schema: their Arrow types, in which they are written and read.
    """

    columns: Columns
    schema: pa.Schema

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        kinds = [str(field.type) for field in self.schema]
        columns = [
            {"name": name, "type": kind, "engine_type": engine}
            for (name, engine), kind in zip(self.columns, kinds, strict=True)
        ]
        return {"columns": columns, "arrow": as_text(self.schema)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        columns = tuple((str(each["name"]), str(each["engine_type"])) for each in document["columns"])
        return cls(columns, from_text(document["arrow"]))


@dataclasses.dataclass(frozen=True, slots=True)
class DataFile:
    """One file of the table.

    Attributes:
        path: below the table's folder.
        run, partition: the run that brought its rows, and the ordinal of the partition of its source that they are
            from.
        rows, fingerprint: of the rows in it.
        size, sha256: of the file as it is stored: compressed, encrypted.
        values: of the columns by which the table is partitioned, as text; None is null.
        layout: which of the manifest's layouts it has.
    """

    path: str
    run: int
    partition: int
    rows: int
    fingerprint: Fingerprint
    size: int
    sha256: str
    values: Mapping[str, str | None]
    layout: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "fingerprint": str(self.fingerprint),
            "values": dict(self.values),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(**{**document, "fingerprint": Fingerprint.parse(document["fingerprint"])})


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """One version of the table.

    Attributes:
        version: counts from 1.
        record: by which run the table came to be as it is; None for one that keeps a dead run out of an empty table.
        before: the version that it was made from, whose files are the table as it was before; None for the first.
        settings: format, compression, recipients and partitioning of the files.
        layouts: of all files; the last is the table's own, which has the columns of all others.
    """

    version: int
    record: CommitRecord | None
    before: int | None
    settings: Mapping[str, Any]
    layouts: tuple[Layout, ...]
    files: tuple[DataFile, ...]

    @property
    def columns(self) -> Columns | None:
        """Of the table; None if no run has given it any."""
        return self.layouts[-1].columns if self.layouts else None

    def layout_of(self, file: DataFile) -> Layout:
        """The columns of one of its files."""
        return self.layouts[file.layout]

    def encoded(self) -> bytes:
        """As it is stored."""
        document = {
            "rowkeeper_manifest": FORM,
            "version": self.version,
            "commit": None if self.record is None else document_of(self.record),
            "before": self.before,
            **self.settings,
            "rows": sum(each.rows for each in self.files),
            "layouts": [each.as_dict() for each in self.layouts],
            "files": [each.as_dict() for each in self.files],
        }
        return json.dumps(document, indent=1, ensure_ascii=False).encode()

    @classmethod
    def decoded(cls, data: bytes, where: str) -> Self:
        """The inverse of `encoded`.

        Args:
            where: it was read from, for errors.

        Raises BooksDiffer if it is no manifest, NewerState if it is of a form that this version does not know.
        """
        try:
            document = json.loads(data)
            form = document["rowkeeper_manifest"]
            if form != FORM:
                raise NewerState(
                    f"{where} has the form {form}, and this version of Rowkeeper knows {FORM}",
                    hint="install the version that wrote it, or a later one",
                )
            return cls(
                document["version"],
                None if document["commit"] is None else record_of(document["commit"]),
                document["before"],
                {name: document[name] for name in SETTINGS},
                tuple(Layout.from_dict(each) for each in document["layouts"]),
                tuple(DataFile.from_dict(each) for each in document["files"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BooksDiffer(
                f"{where} is no manifest", hint="somebody changed it; restore the table from a backup"
            ) from error


SETTINGS = ("format", "compression", "encrypted_for", "partition_by")
