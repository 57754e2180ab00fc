"""JSON documents: records as they stand, in bounded memory, wherever a chunk ends."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.batch import RAW_LINE
from rowkeeper.errors import DeclarationError, SourceDamaged
from rowkeeper.sources import files
from rowkeeper.sources.file import documents
from tests.extent import examples
from tests.sources.reading import ANY, batches, places_of


def records(path: Path, **options: Any) -> list[bytes]:
    return [text for batch in batches(path, **options) for text in batch.table[RAW_LINE].to_pylist()]


def write(tmp_path: Path, text: str | bytes, name: str = "a.json") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_records_stand_as_they_were_written(tmp_path: Path) -> None:
    """Digits, null and absent, and unusual letters are those of the file; line breaks between tokens are blanks."""
    path = write(tmp_path, '[{"a": 1.10, "b": null},\n {"a": 1e400,\n  "ü": "\\u00e9\\"]"}]')
    assert records(path) == [b'{"a": 1.10, "b": null}', b'{"a": 1e400,   "\xc3\xbc": "\\u00e9\\"]"}']


def test_a_json_file_may_hold_lines_or_an_array(tmp_path: Path) -> None:
    """By its beginning it is told which; places are counted in lines of the one and records of the other."""
    lines = write(tmp_path, '{"a":1}\n{"a":2}\n', "lines.json")
    array = write(tmp_path, ' [{"a":1},{"a":2}]', "array.json")
    assert records(lines) == records(array) == [b'{"a":1}', b'{"a":2}']
    assert [places_of(each) for each in batches(lines)] == [["line 1", "line 2"]]
    assert [places_of(each) for each in batches(array)] == [["record 1", "record 2"]]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (
            '{"meta":{"data":[9]},"k":"\\\\\\"data","data":[{"a":1},{"b":"\\""}],"z":[1]}',
            "$.data[*]",
            [{"a": 1}, {"b": '"'}],
        ),
        ('{"x":{"items":[1]},"r":{"q":{"items":[5]},"items":[7,[8]]},"t":0}', "$.r.items", [7, [8]]),
        ('{"a b":[{}]}', "$['a b']", [{}]),
        ("[]", "$", []),
        ('\ufeff [ "x,]" , 2 ] \n', "$[*]", ["x,]", 2]),
    ],
)
def test_records_are_found_where_they_are_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, path: str, expected: list[Any], chunk_bytes: int
) -> None:
    """The same records, wherever a chunk happens to end."""
    # A byte order mark is looked for in the first chunk, which is never smaller than it.
    monkeypatch.setattr(documents, "CHUNK_BYTES", max(chunk_bytes, 3) if text.startswith("\ufeff") else chunk_bytes)
    file = write(tmp_path, text)
    assert [json.loads(each) for each in records(file, records=path)] == expected


BROKEN = {
    "cut off": '[{"a":1},{"a"',
    "cut off in a string": '[{"a":"x',
    "cut off in an escape": '[{"a":"x\\',
    "something behind": "[1] 2",
    "two documents": "[1][2]",
    "no record between commas": "[1,,2]",
    "no record behind a comma": "[1,]",
    "closed like an object": "[1}",
    "closed without being opened": "[1]]",
    "no array": '{"a": 1}',
    "a number": "5",
    "empty": "",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_a_broken_document_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk_bytes: int
) -> None:
    """A document that breaks off, or is none, is an error that names the file and none of its values."""
    monkeypatch.setattr(documents, "CHUNK_BYTES", chunk_bytes)
    path = write(tmp_path, BROKEN[name], "broken.json")
    with pytest.raises(SourceDamaged) as caught:
        records(path, format="json")
    assert "broken.json" in str(caught.value)


@pytest.mark.parametrize(
    "text", ['{"data": 5}', '{"data": {"a": 1}}', '{"data": [1], "data": [2]}', '{"other": []}', "[1]"]
)
def test_records_that_are_not_there_are_an_error(tmp_path: Path, text: str) -> None:
    """Something else at the path, or the path twice, is never taken for no records."""
    with pytest.raises(SourceDamaged):
        records(write(tmp_path, text), records="$.data[*]")


def test_a_line_break_inside_a_string_spoils_its_record_alone(tmp_path: Path) -> None:
    """It is no JSON, and stays none."""
    found = records(write(tmp_path, '["a\nb", "c"]'))
    assert found[1] == b'"c"'
    with pytest.raises(ValueError, match="control character"):
        json.loads(found[0])


def test_a_path_that_is_none_is_refused() -> None:
    """Filters and descents are not for streams."""
    for path in ("data", "$..data", "$.data[?@.a]", "$[0]"):
        with pytest.raises(DeclarationError):
            files("x.json", records=path)
    with pytest.raises(DeclarationError):
        files("x.csv", format="csv", records="$.data")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(30, 300), deadline=None)
@given(st.lists(VALUES, max_size=6), VALUES, st.integers(4, 50), st.sampled_from([None, 1]), st.booleans())
def test_any_document_gives_its_records(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Any],
    other: Any,
    chunk: int,
    indent: int | None,
    ascii_only: bool,
) -> None:
    """As Python's own reader, whatever stands around them."""
    text = json.dumps({"other": other, "data": rows, "behind": [other]}, indent=indent, ensure_ascii=ascii_only)
    path = write(tmp_path_factory.mktemp("any"), text.encode("utf-8", "surrogatepass"))
    found = []
    walk = documents._Walk("a", ("data",))
    raw = path.read_bytes()
    for at in range(0, len(raw), chunk):
        found += walk.records(raw[at : at + chunk])
    walk.end()
    assert [json.loads(each) for each in found] == rows


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A document of 30 MB is read in a fraction of that."""
    record = json.dumps({"text": "x" * 300})
    path = write(tmp_path, "[" + ",".join([record] * 90_000) + "]")
    source = files(str(path))
    partition = source.plan({}, whole=False).load[0]
    tracemalloc.start()
    read = sum(
        batch.rows_read
        for batch in source.read(partition, start_row=0, batch_rows=2000, columns=ANY, batch_bytes=4 << 20)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == 90_000
    assert peak < 15 << 20, peak
