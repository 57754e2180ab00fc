"""CSV cells and row numbers are those of Python's csv module, whatever the block borders."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowkeeper.errors import SourceError
from rowkeeper.protocols import Columns
from rowkeeper.sources import files
from rowkeeper.sources.file import delimited
from tests.extent import examples

ANY = Columns(known=frozenset(), required=(), extra="evolve")
cells = st.text(st.sampled_from('ab,"\n\r é0'), max_size=6)
tables = st.lists(st.lists(cells, min_size=1, max_size=4), max_size=12)


def read(path: Path, start_row: int = 0, batch_rows: int = 3, **options: object) -> dict[int, object]:
    """Row number to cells, or to the error type of a row that was set apart."""
    source = files(str(path), **options)  # type: ignore[arg-type]
    found: dict[int, object] = {}
    expected_first = start_row
    partition = source.plan({}, whole=False).load[0]
    for batch in source.read(partition, start_row=start_row, batch_rows=batch_rows, columns=ANY):
        assert batch.first_row == expected_first
        expected_first = batch.next_row
        for number, row in zip(batch.row_numbers.to_pylist(), batch.table.to_pylist(), strict=True):
            found[number] = list(row.values())
        found.update({bad.row: bad.type for bad in batch.malformed})
    return found


def written(rows: list[list[str]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["x", "y"], *rows])
    return sink.getvalue()


def expected_of(rows: list[list[str]]) -> dict[int, object]:
    kinds = {True: "csv_too_many_fields", False: "csv_too_few_fields"}
    return {number: row if len(row) == 2 else kinds[len(row) > 2] for number, row in enumerate(rows)}


@settings(max_examples=examples(50, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, st.integers(1, 5), st.integers(0, 13))
def test_cells_and_numbers_are_those_of_the_csv_module(
    tmp_path: Path, rows: list[list[str]], batch_rows: int, start: int
):
    """Quotes, newlines, rows of another width, from any row on, in batches of any size."""
    path = tmp_path / "a.csv"
    path.write_text(written(rows), newline="")
    expected = expected_of(rows)
    assert read(path, batch_rows=batch_rows) == expected
    assert read(path, start, batch_rows) == {number: row for number, row in expected.items() if number >= start}


def test_block_borders_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Blocks smaller than some rows: those are read again in larger ones, and every row is there once."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 256)
    rows = [[str(number), "é\n" * (number % 50)] if number % 9 else [str(number)] for number in range(400)]
    path = tmp_path / "a.csv"
    path.write_text(written(rows), newline="")
    assert read(path, batch_rows=7) == expected_of(rows)


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"x,y\r\n1,2\r\n\r\n3,4", {}, {0: ["1", "2"], 1: ["3", "4"]}),
        (b"\xef\xbb\xbfx,y\n1,2\n", {}, {0: ["1", "2"]}),
        ("x,y\nä,2\n".encode("latin-1"), {"encoding": "latin-1"}, {0: ["ä", "2"]}),
        ("x,y\nä,2\n".encode("utf-16"), {"encoding": "utf-16"}, {0: ["ä", "2"]}),
        (b"x;y\n1;2\n", {"delimiter": ";"}, {0: ["1", "2"]}),
        (b'x,y\nNA,"NA"\n,""\n', {"null_values": ["NA", ""]}, {0: [None, "NA"], 1: [None, ""]}),
        (b'x,y\n5" disk,2\n', {}, {0: ['5" disk', "2"]}),
        (b"x,y\n1,\x00\n", {}, {0: ["1", "\x00"]}),
    ],
)
def test_dialects(tmp_path: Path, content: bytes, options: dict[str, object], expected: dict[int, object]):
    """Line ends, byte order marks, encodings, delimiters, nulls quoted or not, lone quotes."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert read(path, **options) == expected


@pytest.mark.parametrize("content", [b'x,y\n1,"open\n2,3\n', b'x,y\n"a""\n1,2\n'])
def test_a_quote_that_is_never_closed_is_an_error(tmp_path: Path, content: bytes):
    """It would take the rest of the file for one cell, silently."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="ends inside quotes"):
        read(path)
