"""The first rows of a file, for `rowkeeper init`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from rowkeeper.batch import InputMode
from rowkeeper.errors import SourceError
from rowkeeper.protocols import Columns
from rowkeeper.sources.file.source import FilesSource, files

SAMPLE_ROWS = 10_000
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "None", "\\N", "-")
ANY_COLUMN = Columns(known=frozenset(), required=(), extra="evolve")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Some rows, and how to read the file they are from.

    Attributes:
        null_values: the words for null that were found in the rows.
    """

    table: pa.Table
    mode: InputMode
    null_values: tuple[str, ...]

    def declaration(self, path: str) -> str:
        """The source as it is written in a pipeline file."""
        more = f", null_values={list(self.null_values)!r}" if self.null_values != ("",) else ""
        return f"rk.sources.files({path!r}{more})".replace("'", '"')


def sample(path: Path, rows: int = SAMPLE_ROWS) -> Sample:
    """The first rows of a file (of the first member of a zip).

    Raises SourceError if it cannot be read, or has no row.
    """
    plain = _first(files(str(path.absolute()), null_values=()), rows)
    if plain is None:
        raise SourceError(f"{path} has no row to learn from", hint="give a sample with some rows")
    if plain.mode is not InputMode.STRINGS:
        return plain
    nulls = tuple(word for word in NULL_WORDS if word in _words(plain.table)) or ("",)
    again = _first(files(str(path.absolute()), null_values=nulls), rows)
    assert again is not None, "the rows were there a moment ago"
    return dataclasses.replace(again, null_values=nulls)


def _first(source: FilesSource, rows: int) -> Sample | None:
    partition = source.plan({}, whole=False).load[0]
    for batch in source.read(partition, start_row=0, batch_rows=rows, columns=ANY_COLUMN):
        if batch.table.num_rows:
            return Sample(batch.table, batch.mode, ("",))
    return None


def _words(table: pa.Table) -> set[str]:
    return {str(value) for name in table.column_names for value in table[name].unique().to_pylist()}
