"""Avro, value by value."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from rowkeeper.errors import ColumnsDiffer, SourceDamaged
from tests.sources.reading import batches, rows

UTC = datetime.UTC


def write(path: Path, schema: Any, records: list[Any], **options: Any) -> Path:
    with path.open("wb") as file:
        fastavro.writer(file, schema, records, **options)
    return path


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Row", "fields": [{"name": name, "type": type} for name, type in fields]}


def logical(type: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": type, "logicalType": name, **more}


PLAIN: list[tuple[Any, list[Any], pa.DataType]] = [
    ("boolean", [True, False], pa.bool_()),
    ("int", [-(2**31), 2**31 - 1], pa.int32()),
    ("long", [-(2**63), 2**63 - 1], pa.int64()),
    ("float", [0.5, float("inf")], pa.float32()),
    ("double", [0.1, -0.0], pa.float64()),
    ("string", ["", "Ærø 東京"], pa.string()),
    ("bytes", [b"", b"\x00\xff"], pa.binary()),
    ({"type": "fixed", "name": "F", "size": 3}, [b"abc"], pa.binary(3)),
    ({"type": "enum", "name": "E", "symbols": ["RED", "BLUE"]}, ["BLUE"], pa.string()),
    (["null", "long"], [None, 5], pa.int64()),
    ({"type": "array", "items": ["null", "string"]}, [[], ["a", None]], pa.list_(pa.string())),
    (["int", "long", "null"], [1, 2**40, None], pa.int64()),
    (logical("string", "uuid"), ["3f2504e0-4f89-11d3-9a0c-0305e82c3301"], pa.string()),
    (logical("int", "no-such-type"), [7], pa.int32()),
]


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_plain_values_are_as_they_were_written(tmp_path: Path, number: int) -> None:
    """Each type has its Arrow type, and its values."""
    type, values, expected = PLAIN[number]
    path = write(tmp_path / "a.avro", record(("v", type)), [{"v": each} for each in values])
    (batch,) = batches(path)
    assert batch.table.schema.field("v").type == expected
    assert batch.table["v"].to_pylist() == values


RAW: list[tuple[dict[str, Any], Any, pa.DataType, Any]] = [
    (logical("int", "date"), -719162, pa.date32(), datetime.date(1, 1, 1)),
    (logical("int", "time-millis"), 86_399_999, pa.time32("ms"), datetime.time(23, 59, 59, 999000)),
    (logical("long", "time-micros"), 86_399_999_999, pa.time64("us"), datetime.time(23, 59, 59, 999999)),
    (
        logical("long", "timestamp-millis"),
        -1,
        pa.timestamp("ms", "UTC"),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),
    ),
    (logical("long", "timestamp-micros"), 1, pa.timestamp("us", "UTC"), datetime.datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
    (logical("long", "local-timestamp-millis"), 1, pa.timestamp("ms"), datetime.datetime(1970, 1, 1, 0, 0, 0, 1000)),
    (logical("long", "local-timestamp-micros"), 1, pa.timestamp("us"), datetime.datetime(1970, 1, 1, 0, 0, 0, 1)),
]


@pytest.mark.parametrize("number", range(len(RAW)))
def test_times_are_exact(tmp_path: Path, number: int) -> None:
    """What a logical type says of a whole number, to the last digit."""
    type, raw, expected, value = RAW[number]
    path = write(tmp_path / "a.avro", record(("v", type)), [{"v": raw}])
    (batch,) = batches(path)
    assert batch.table.schema.field("v").type == expected
    assert batch.table["v"].to_pylist() == [value]


@pytest.mark.parametrize("name", ["timestamp-nanos", "local-timestamp-nanos"])
def test_nanoseconds_stay(tmp_path: Path, name: str) -> None:
    """Python's datetimes have none; the column has them all."""
    nanos = 1_700_000_000_123_456_789
    path = write(tmp_path / "a.avro", record(("v", logical("long", name))), [{"v": nanos}])
    (batch,) = batches(path)
    zone = None if name.startswith("local") else "UTC"
    assert batch.table.schema.field("v").type == pa.timestamp("ns", zone)
    assert batch.table["v"].cast(pa.int64()).to_pylist() == [nanos]


@pytest.mark.parametrize("precision", [9, 38, 76])
@pytest.mark.parametrize("kind", ["bytes", "fixed"])
def test_decimals_have_all_their_digits(tmp_path: Path, precision: int, kind: str) -> None:
    """Up to 76 of them, negative ones and zero."""
    base = {"type": "bytes"} if kind == "bytes" else {"type": "fixed", "name": "D", "size": 33}
    type = {**base, "logicalType": "decimal", "precision": precision, "scale": 4}
    digits = tuple(int(each) for each in ("123456789" * 9)[:precision])
    values = [Decimal((sign, digits, -4)) for sign in (0, 1)] + [Decimal("0.0000"), Decimal("-0.0001")]
    path = write(tmp_path / "a.avro", record(("v", ["null", type])), [{"v": each} for each in [*values, None]])
    assert [row["v"] for row in rows(path)] == [*values, None]


def test_ids_and_durations(tmp_path: Path) -> None:
    """A UUID of sixteen bytes is its text; a duration is ISO 8601, as months and days do not add up."""
    one = uuid.uuid4()
    schema = record(
        ("id", {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}),
        ("took", {"type": "fixed", "name": "T", "size": 12, "logicalType": "duration"}),
    )
    took = b"".join(each.to_bytes(4, "little") for each in (14, 3, 5_040))
    path = write(tmp_path / "a.avro", schema, [{"id": one.bytes, "took": took}])
    assert rows(path) == [{"id": str(one), "took": "P14M3DT5.04S"}]


def test_nested_values(tmp_path: Path) -> None:
    """Records in records, in lists and in maps, with logical types inside, and named types used again."""
    money = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
    item = {
        "type": "record",
        "name": "Item",
        "fields": [{"name": "price", "type": money}, {"name": "n", "type": "int"}],
    }
    schema = record(("items", {"type": "array", "items": item}), ("by", {"type": "map", "values": ["null", "Item"]}))
    value = {"price": Decimal("1.20"), "n": 2}
    path = write(tmp_path / "a.avro", schema, [{"items": [value], "by": {"x": value, "y": None}}])
    assert rows(path) == [{"items": [value], "by": [("x", value), ("y", None)]}]


def test_what_no_column_can_hold_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Unions of unlike types, and records within themselves."""
    union = write(tmp_path / "u.avro", record(("odd", ["string", "long"])), [{"odd": 1}])
    tree = {"type": "record", "name": "Row", "fields": [{"name": "next", "type": ["null", {
        "type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}]}]}  # fmt: skip
    circle = write(tmp_path / "c.avro", tree, [{"next": None}])
    for path, column in ((union, "odd"), (circle, "next")):
        with pytest.raises(ColumnsDiffer) as caught:
            rows(path)
        assert column in str(caught.value)


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "zstandard"])
def test_codecs_and_going_on(tmp_path: Path, codec: str) -> None:
    """Whatever it is packed with; and from any row on, blocks before it being passed over."""
    records = [{"v": number} for number in range(5000)]
    path = write(tmp_path / "a.avro", record(("v", "int")), records, codec=codec, sync_interval=500)
    assert rows(path) == records
    found = [row for batch in batches(path, start_row=3210, batch_rows=700) for row in batch.table.to_pylist()]
    assert found == records[3210:]


def test_what_is_no_whole_file_is_an_error(tmp_path: Path) -> None:
    """Cut off within a block, changed in a mark, or something else altogether."""
    path = write(tmp_path / "a.avro", record(("v", "string")), [{"v": "x" * 50}] * 1000, sync_interval=2000)
    raw = path.read_bytes()
    for content in (raw[:-30], raw[:-8] + b"\0" * 8, b"id,name\n1,x\n", b""):
        path.write_bytes(content)
        with pytest.raises(SourceDamaged) as caught:
            rows(path)
        assert "a.avro" in str(caught.value)
