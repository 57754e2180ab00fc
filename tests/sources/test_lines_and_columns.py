"""NDJSON lines pass as they stand; Parquet columns as they are; samples tell how to read a file."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowkeeper.batch import RAW_LINE, InputMode
from rowkeeper.errors import SourceError
from rowkeeper.sources import sample
from rowkeeper.sources.file import columnar, lines
from tests.extent import examples
from tests.sources.reading import batches, places_of, rows


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------------------------------------- NDJSON


@settings(max_examples=examples(50, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([b'{"a": 1}', b"", b"  ", b"\xff\xfe", b"broken", b"[]", b"\t"]), max_size=30),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_lines_are_rows_with_their_line_numbers(
    tmp_path: Path, texts: list[bytes], end: bytes, closed: bool, chunk_bytes: int, start: int
):
    """Whatever the chunks and line ends: blank lines are no rows, a last line without an end is one."""
    path = written(tmp_path / "a.ndjson", b"{}" + end + end.join(texts) + (end if closed else b""))
    expected = [(n, t) for n, t in enumerate([b"{}", *texts], 1) if t.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
        found = batches(path, batch_rows=3, start_row=start)
    places = [place for batch in found for place in places_of(batch)]
    texts_read = [row[RAW_LINE] for batch in found for row in batch.table.to_pylist()]
    assert [(int(p.removeprefix("line ")), t.rstrip(b"\r")) for p, t in zip(places, texts_read, strict=True)] == [
        (n, t.rstrip(b"\r")) for n, t in expected[start:]
    ]
    numbers = [number for batch in found for number in batch.row_numbers.to_pylist()]
    assert numbers == list(range(start, len(expected)))


def test_other_encodings_of_ndjson(tmp_path: Path):
    """A byte order mark is dropped; UTF-16 is read where it is said, and found where it is not."""
    assert rows(written(tmp_path / "a.ndjson", b"\xef\xbb\xbf{}\n")) == [{RAW_LINE: b"{}"}]
    wide = written(tmp_path / "b.ndjson", '{"a": "é"}\n'.encode("utf-16"))
    assert rows(wide, encoding="utf-16") == [{RAW_LINE: '{"a": "é"}'.encode()}]
    with pytest.raises(SourceError, match="utf-16"):
        batches(wide)


def test_a_line_beyond_the_limit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In one chunk or over several; the error says after which line."""
    monkeypatch.setattr(lines, "ROW_BYTES_MAX", 1000)
    path = written(tmp_path / "a.ndjson", b"{}\n" + b" " * 600 + b"{}\n" + b"x" * 1001 + b"\n{}\n")
    for chunk_bytes in (100, 10_000):
        monkeypatch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
        with pytest.raises(SourceError, match="has a line of more than"):
            batches(path)


def test_an_empty_ndjson_is_a_file_of_no_rows(tmp_path: Path):
    """So is one of blank lines."""
    assert batches(written(tmp_path / "a.ndjson", b"")) == batches(written(tmp_path / "a.ndjson", b"\n \r\n")) == []


# ------------------------------------------------------------------------------------------------ Parquet

TABLE = pa.table(
    {
        "a": list(range(1000)),
        "b": pa.array(["x", None] * 500).dictionary_encode(),
        "c": [[{"d": 1}], None] * 500,
    }
)


def parquet(table: pa.Table = TABLE, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"row_group_size": 300, **options})
    return sink.getvalue()


@pytest.mark.parametrize("start", [0, 1, 299, 300, 301, 999, 1000])
@pytest.mark.parametrize("batch_rows", [7, 300, 5000])
def test_parquet_from_any_row_on(tmp_path: Path, start: int, batch_rows: int):
    """Nested values as they are, dictionaries decoded, row numbers right."""
    found = batches(written(tmp_path / "a.parquet", parquet()), start_row=start, batch_rows=batch_rows)
    assert [row for batch in found for row in batch.table.to_pylist()] == TABLE.to_pylist()[start:]
    assert [n for batch in found for n in batch.row_numbers.to_pylist()] == list(range(start, 1000))
    assert all(batch.table.schema.field("b").type == pa.string() for batch in found)
    assert [p for batch in found for p in places_of(batch)][:1] == [f"row {start + 1}"][: 1000 - start]


@pytest.mark.parametrize("cut", [0, 3, 100, 2000, -1, -5, -60])
def test_a_truncated_parquet_is_an_error(tmp_path: Path, cut: int):
    """Cut anywhere."""
    with pytest.raises(SourceError, match=r"a\.parquet is no whole Parquet file"):
        batches(written(tmp_path / "a.parquet", parquet()[:cut]))


def test_a_flipped_byte_in_a_page_is_an_error(tmp_path: Path):
    """Page checksums are verified where the file has them: pyarrow does not by itself."""
    plain = pa.table({"a": list(range(100_000))})
    content = bytearray(parquet(plain, compression="none", use_dictionary=False, write_page_checksum=True))
    content[40_000] ^= 0xFF
    with pytest.raises(SourceError, match="damaged"):
        batches(written(tmp_path / "a.parquet", bytes(content)))


def test_a_column_twice_is_an_error(tmp_path: Path):
    """pyarrow would silently give one of them."""
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SourceError, match="columns 1 and 2"):
        batches(written(tmp_path / "a.parquet", parquet(twice)))


def test_packed_parquet_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is unpacked into memory; beyond the limit the error says to unpack it."""
    path = written(tmp_path / "a.parquet.gz", gzip.compress(parquet()))
    assert rows(path) == TABLE.to_pylist()
    monkeypatch.setattr(columnar, "UNPACKED_BYTES_MAX", 1000)
    with pytest.raises(SourceError, match="when unpacked") as caught:
        batches(path)
    assert "unpack it" in caught.value.hint


def test_batches_are_bounded_in_bytes(tmp_path: Path):
    """Rows of 1 MB come some dozens at a time, however many rows a batch may have."""
    wide = pa.table({"a": [bytes([n]) * (1 << 20) for n in range(150)]})
    path = written(tmp_path / "a.parquet", parquet(wide, use_dictionary=False))
    found = batches(path, batch_rows=100_000)
    assert sum(batch.rows_read for batch in found) == 150
    assert max(batch.table.nbytes for batch in found) <= 128 << 20


# ------------------------------------------------------------------------------------------------ samples


@pytest.mark.parametrize(
    ("name", "content", "declaration"),
    [
        ("a.csv", b"x,y\n1,NA\n2,\n", 'rk.sources.files("a.csv", null_values=["", "NA"])'),
        ("a.csv", b"x;y\n1;2\n", 'rk.sources.files("a.csv", delimiter=";")'),
        ("it's.tsv", b"x\ty\n1\t\\N\n", 'rk.sources.files("it\'s.tsv", null_values=["\\\\N"], delimiter="\\t")'),
        ("a.ndjson", b"{}\n", 'rk.sources.files("a.ndjson")'),
    ],
)
def test_a_sample_tells_how_to_read_its_file(tmp_path: Path, name: str, content: bytes, declaration: str):
    """Words for null and the delimiter are found in the data; the declaration is Python."""
    seen = sample(written(tmp_path / name, content))
    assert seen.declaration(name) == declaration
    compile(declaration, "declaration", "eval")
    assert seen.mode is (InputMode.JSON if name.endswith("ndjson") else InputMode.STRINGS)


def test_a_sample_is_no_larger_than_asked(tmp_path: Path):
    """Ten rows of a thousand; none at all is an error."""
    assert sample(written(tmp_path / "a.csv", b"x,y\n" + b"1,2\n" * 1000), rows=10).table.num_rows == 10
    with pytest.raises(SourceError, match="no row to learn from"):
        sample(written(tmp_path / "b.csv", b"x,y\n"))
