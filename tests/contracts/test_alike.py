"""Documents that are alike are read a block at a time, and only those."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from rowkeeper.contracts.alike import LEARNT_MAX, AlikeReader
from tests.extent import examples

WANTED = pa.schema([("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()), ("s", pa.string())])
ROW: dict[str, Any] = {"i": 1, "f": 2.5, "b": True, "s": "x"}


def read(lines: list[bytes], *, unknown: bool = False) -> dict[int, dict[str, Any]]:
    """The rows that were read, by place; a key that was absent is not in its row."""
    part = AlikeReader(WANTED, unknown=unknown).read([(0, pa.array(lines, pa.large_binary()))])
    assert len(part.places) == part.table.num_rows
    rows = part.table.to_pylist()
    for name, absent in part.absent.items():
        for row, is_absent in zip(rows, absent.to_pylist(), strict=True):
            assert not is_absent or row.pop(name) is None
    return dict(zip(part.places.tolist(), rows, strict=True))


def test_documents_of_one_shape_are_all_read_whatever_their_values():
    """Signs, exponents, nulls, text that looks like JSON, text beyond ASCII, empty text: one shape or a few."""
    rows = [
        ROW,
        {**ROW, "i": -(2**63), "f": -1e-7, "b": False, "s": ""},
        {**ROW, "i": 0, "f": 0.5, "s": "{'i': 1, : }"},
        {**ROW, "i": None, "f": None, "b": None, "s": "é😀"},
        {**ROW, "s": None},
        {**ROW, "f": 7},
    ]
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows] * 50
    assert read(lines) == dict(enumerate(rows * 50))


def test_white_space_and_order_are_part_of_a_shape():
    layouts = [b'{"i":1,"s":"x"}', b'{"s": "x", "i": 1}', b' { "s" : "x" , "i" : 1 } ']
    assert read(layouts * 30) == dict(enumerate([{"i": 1, "s": "x"}] * 90))


def test_each_block_teaches_a_few_shapes_and_later_blocks_know_them():
    shapes = [b'{%s"i":1}' % (b" " * spaces) for spaces in range(2 * LEARNT_MAX)]
    reader = AlikeReader(WANTED, unknown=False)
    first = reader.read([(0, pa.array(shapes, pa.large_binary()))])
    assert len(first.places) == LEARNT_MAX
    assert len(reader.read([(0, pa.array(shapes, pa.large_binary()))]).places) == 2 * LEARNT_MAX


def test_places_count_from_the_first_document_of_their_block():
    block = pa.array([b'{"i":1}', b'{"i":2}'], pa.large_binary())
    assert AlikeReader(WANTED, unknown=False).read([(10, block), (20, block)]).places.tolist() == [10, 11, 20, 21]


def test_skipped_values_are_looked_at_as_well():
    """What stands under a key that nobody wants must be JSON all the same, or the document is none."""
    good = [b'{"i":1,"x":%s}' % value for value in (b"12", b"null", b"true", b'"y"', b"0", b"-5")]
    bad = [b'{"i":1,"x":%s}' % value for value in (b"01", b"1a2", b"nul", b"--1", b"1.", b"+1", b"-", b"'y'", b"NaN")]
    assert set(read([*good, *bad] * 3, unknown=True)) == {number for number in range(3 * 15) if number % 15 < len(good)}


VALUES = st.sampled_from(
    [
        *(
            "1",
            "-1",
            "0",
            "-0",
            "01",
            "1.5",
            "1.",
            ".5",
            "1.e5",
            "1e5",
            "1E+5",
            "1e",
            "-",
            "+1",
            "0x10",
            "1_0",
            "1 ",
            " 1",
        ),
        *("null", "true", "false", "nul", "nulL", "NaN", "Infinity", "inf", '"x"', '""', '"', '"a"b"', "'x'", '"\\n"'),
        *("9223372036854775808", "1" * 1001, "{}", "[]", '{"i":1}', "", ",", ":", '"i":1', '","i":1,"s":"'),
    ]
)
BYTES = st.binary(min_size=1, max_size=2) | st.sampled_from([b'"', b":", b",", b"{", b"}", b"\\", b"\n", b" ", b"\xff"])


@st.composite
def nearly_alike(draw: st.DrawFn) -> bytes:
    """A document of the usual shape with any values, and perhaps a few bytes of damage."""
    values = [draw(VALUES | st.just(usual)) for usual in ("1", "2.5", "true", '"x"')]
    line = b'{"i":%s,"f":%s,"b":%s,"s":%s}' % tuple(value.encode() for value in values)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(BYTES) + line[at + draw(st.integers(0, 2)) :]
    return line


@given(st.lists(nearly_alike(), min_size=1, max_size=12), st.booleans())
@settings(max_examples=examples(100, 1_000), deadline=None)
def test_whatever_is_read_is_json_with_these_values(lines: list[bytes], unknown: bool):
    good = b'{"i":1,"f":2.5,"b":true,"s":"x"}'
    found = read([good, *lines, good], unknown=unknown)
    assert {0, len(lines) + 1} <= set(found)
    for place, row in found.items():
        content = from_json([good, *lines, good][place])  # raises for what is no JSON
        for name, value in row.items():
            assert value == content[name]
            assert isinstance(value, bool) == isinstance(content[name], bool)
            assert not isinstance(value, float) or np.float64(value) == np.float64(content[name])


def test_what_is_not_alike_is_left():
    """Escapes, control characters, other bytes than UTF-8, nested values, null documents: another reader's."""
    good = b'{"s":"x"}'
    others = [b'{"s":"\\n"}', b'{"s":"\n"}', b'{"s":"\xff"}', b'{"s":{"s":"x"}}', b'{"s":["x"]}', b'{"s":"x"}}', b""]
    assert set(read([good, *others, good])) == {0, len(others) + 1}
    with_null = pa.array([good, None], pa.large_binary())
    assert not len(AlikeReader(WANTED, unknown=False).read([(0, with_null)]).places)
