"""The first rows of a file, for `rowkeeper init`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow as pa

from rowkeeper.batch import InputMode, Partition
from rowkeeper.errors import SourceError
from rowkeeper.protocols import Columns, Source
from rowkeeper.sources.file.declaring import files
from rowkeeper.sources.file.finding import find
from rowkeeper.sources.file.opening import DAMAGES, damaged, opened
from rowkeeper.sources.file.reading import MODES
from rowkeeper.sources.file.source import partition_of
from rowkeeper.sources.file.store import LocalStore

SAMPLE_ROWS = 10_000
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "None", "\\N", "-")
DELIMITERS = (",", ";", "\t", "|")
HEADER_BYTES = 64 << 10
ANY_COLUMN = Columns(known=frozenset(), required=(), extra="evolve")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Some rows, and how to read the file they are from.

    Attributes:
        format: "csv", "ndjson" or "parquet".
        null_values: the words for null that were found in the rows of a CSV.
        delimiter: the one that most of a CSV's header is cut by.
    """

    table: pa.Table
    mode: InputMode
    format: str
    null_values: tuple[str, ...] = ("",)
    delimiter: str = ","

    def declaration(self, path: str) -> str:
        """The source as it is written in a pipeline file."""
        arguments = [_quoted(path)]
        if self.null_values != ("",):
            arguments.append(f"null_values=[{', '.join(map(_quoted, self.null_values))}]")
        if self.delimiter != ",":
            arguments.append(f"delimiter={_quoted(self.delimiter)}")
        return f"rk.sources.files({', '.join(arguments)})"


def sample(path: Path, rows: int = SAMPLE_ROWS) -> Sample:
    """The first rows of a file (of the first member of a zip), at most so many.

    Raises SourceError if it cannot be read, or has no row.
    """
    location = str(path.absolute())
    store = LocalStore(Path())
    found = find([location], store, "auto")[0]
    partition = partition_of(found, store.stamp(found.location), "", 0)  # a sample needs no hash of it all
    delimiter = _delimiter(partition) if partition.detail["format"] == "csv" else ","
    table = _first(files(location, null_values=(), delimiter=delimiter), partition, rows)
    if table is None:
        raise SourceError(f"{path} has no row to learn from", hint="give a sample with some rows")
    kind = str(partition.detail["format"])
    if kind != "csv":
        return Sample(table, MODES[kind], kind)
    nulls = tuple(word for word in NULL_WORDS if word in _words(table)) or ("",)
    again = _first(files(location, null_values=nulls, delimiter=delimiter), partition, rows)
    assert again is not None, "the rows were there a moment ago"
    return Sample(again, MODES[kind], kind, nulls, delimiter)


def _delimiter(partition: Partition) -> str:
    """The sign that cuts the header into most names; a comma where none does."""
    detail = partition.detail
    store = LocalStore(Path())
    try:
        with (
            store.open(str(detail["path"])) as file,
            opened(file, partition.key, detail["member"], str(detail["compression"])) as stream,
        ):
            header = stream.read(HEADER_BYTES).lstrip().split(b"\n")[0]
    except DAMAGES as error:
        raise damaged(partition.key, error) from error
    return max(DELIMITERS, key=lambda each: header.count(each.encode()))


def _first(source: Source, partition: Partition, rows: int) -> pa.Table | None:
    for batch in source.read(partition, start_row=0, batch_rows=rows, columns=ANY_COLUMN):
        if batch.table.num_rows:
            return batch.table.slice(0, rows)
    return None


def _words(table: pa.Table) -> set[str]:
    return {str(value) for name in table.column_names for value in table[name].unique().to_pylist()}


def _quoted(text: str) -> str:
    """As Python writes it, in the double quotes of the house."""
    return json.dumps(text, ensure_ascii=False)
