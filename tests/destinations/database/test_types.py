"""Each type of a contract arrives in the database as what it is, to the last digit; what cannot is told beforehand."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rowkeeper.errors import ContractError, RowsUnfit
from tests.destinations.database.servers import Postgres
from tests.destinations.database.working import Runs

UTC = datetime.UTC
NUMBER = uuid.UUID(int=2**128 - 7)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("flag", pa.bool_()),
        pa.field("small", pa.int16()),
        pa.field("large", pa.uint64()),
        pa.field("ratio", pa.float64()),
        pa.field("single", pa.float32()),
        pa.field("price", pa.decimal128(38, 9)),
        pa.field("text", pa.string()),
        pa.field("raw", pa.binary()),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("wall", pa.timestamp("us")),
        pa.field("hour", pa.time64("us")),
        pa.field("lasts", pa.duration("us")),
        pa.field("code", pa.binary(16), metadata={b"rk:type": b"uuid"}),
        pa.field("document", pa.string(), metadata={b"rk:type": b"json"}),
        pa.field("tags", pa.list_(pa.field("item", pa.string())), nullable=False),
        pa.field("amounts", pa.list_(pa.field("item", pa.decimal128(10, 2))), nullable=False),
        pa.field("place", pa.struct([pa.field("x", pa.float64()), pa.field("n", pa.decimal128(5, 2))]), nullable=False),
        pa.field("counts", pa.map_(pa.string(), pa.int64()), nullable=False),
        pa.field("colour", pa.string(), metadata={b"rk:enum": b'["red", "blue"]'}),
    ]
)
ROWS: list[dict[str, Any]] = [
    {
        "id": -(2**63),
        "flag": True,
        "small": -32_768,
        "large": 2**64 - 1,
        "ratio": 0.1 + 0.2,
        "single": 1.5,
        "price": decimal.Decimal("12345678901234567890123456789.123456789"),
        "text": "Ærø \U0001f6a2 \"so\", 'that'; \\N\n,\r\n",
        "raw": b"\x00\xff\\x00",
        "day": datetime.date(1, 1, 1),
        "at": datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        "wall": datetime.datetime(1899, 12, 31, 23, 59, 59, 1),
        "hour": datetime.time(23, 59, 59, 999_999),
        "lasts": -datetime.timedelta(days=400, microseconds=1),
        "code": NUMBER.bytes,
        "document": '{"b": [1.10, null, "x"], "a": {"n": 12345678901234567890.5}}',
        "tags": ['a"b', "c\\d", "", "NULL", None, "{e,f}"],
        "amounts": [decimal.Decimal("1.10"), None],
        "place": {"x": 1e-300, "n": decimal.Decimal("1.50")},
        "counts": [("one", 1), ("two", 2)],
        "colour": "red",
    },
    {
        **{field.name: None for field in SCHEMA},
        "id": 1,
        "text": "",
        "ratio": -math.inf,
        "tags": [],
        "amounts": [],
        "place": {"x": None, "n": None},
        "counts": [],
    },
]
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def test_every_type_arrives_in_postgresql_as_it_is(server: Postgres, tmp_path: Path) -> None:
    """numeric, timestamptz, uuid, jsonb, arrays, bytea, interval and the rest hold the values that were sent."""
    Runs(tmp_path, server.url, "types").load(TABLE)
    first, second = server.ask("SELECT * FROM types ORDER BY id")
    same = ("flag", "small", "ratio", "single", "price", "text", "raw", "day", "at", "wall", "hour", "lasts", "colour")
    assert {name: first[name] for name in same} == {name: ROWS[0][name] for name in same}
    assert (first["id"], first["large"], first["code"]) == (-(2**63), decimal.Decimal(2**64 - 1), NUMBER)
    assert first["tags"] == ROWS[0]["tags"]
    assert first["amounts"] == ROWS[0]["amounts"]
    (text,) = server.ask("SELECT document::text AS document, place::text AS place, counts FROM types WHERE id < 0")
    assert text["document"] == '{"a": {"n": 12345678901234567890.5}, "b": [1.10, null, "x"]}'
    assert '"n": 1.50' in text["place"]
    assert text["counts"] == {"one": 1, "two": 2}
    assert (second["text"], second["ratio"], second["tags"]) == ("", -math.inf, [])
    assert [name for name in same if second[name] is None] == [each for each in same if each not in ("text", "ratio")]


def test_the_types_of_postgresql_are_those_that_are_meant(server: Postgres, tmp_path: Path) -> None:
    """The table is made of PostgreSQL's own types, with NOT NULL where the contract has no null."""
    runs = Runs(tmp_path, server.url, "kinds")
    runs.load(TABLE)
    assert dict(runs.session(None).prepare()) == {
        "id": "bigint NOT NULL",
        "flag": "boolean",
        "small": "smallint",
        "large": "numeric(20,0)",
        "ratio": "double precision",
        "single": "real",
        "price": "numeric(38,9)",
        "text": "text",
        "raw": "bytea",
        "day": "date",
        "at": "timestamp with time zone",
        "wall": "timestamp without time zone",
        "hour": "time without time zone",
        "lasts": "interval",
        "code": "uuid",
        "document": "jsonb",
        "tags": "text[] NOT NULL",
        "amounts": "numeric(10,2)[] NOT NULL",
        "place": "jsonb NOT NULL",
        "counts": "jsonb NOT NULL",
        "colour": "text",
    }


def test_every_type_arrives_in_sqlite_as_it_is(tmp_path: Path) -> None:
    """What SQLite has no type for is text with all digits, in a column whose type says what it is."""
    Runs(tmp_path, f"sqlite:///{tmp_path}/types.db", "types").load(TABLE)
    with contextlib.closing(sqlite3.connect(tmp_path / "types.db")) as connection:
        connection.row_factory = sqlite3.Row
        first, second = connection.execute("SELECT * FROM types ORDER BY id").fetchall()
    same = ("id", "flag", "small", "ratio", "single", "text", "raw", "colour")
    assert {name: first[name] for name in same} == {name: ROWS[0][name] for name in same}
    assert first["large"] == str(2**64 - 1)
    assert first["price"] == str(ROWS[0]["price"])
    assert first["at"] == "9999-12-31 23:59:59.999999+00:00"
    assert (first["day"], first["wall"], first["hour"]) == (
        "0001-01-01",
        "1899-12-31 23:59:59.000001",
        "23:59:59.999999",
    )
    assert first["lasts"] == -(400 * 86_400 * 10**6) - 1
    assert (first["code"], first["document"]) == (str(NUMBER), ROWS[0]["document"])
    assert first["amounts"] == "[1.10,null]"
    assert first["place"] == '{"x":1e-300,"n":1.50}'
    assert (second["ratio"], second["text"], second["price"]) == (-math.inf, "", None)


@pytest.mark.parametrize("url", ["sqlite:///{folder}/back.db", "{server}"])
def test_what_the_gates_read_is_what_was_staged(url: str, server: Postgres, tmp_path: Path) -> None:
    """Staged rows come back in Arrow with the values that were staged."""
    runs = Runs(tmp_path, url.format(folder=tmp_path, server=server.url), "back")
    names = ["id", "flag", "ratio", "price", "text", "raw", "day", "at", "wall", "hour", "lasts"]
    session, _ = runs.sealed(TABLE.select(names))
    (block,) = session.staged(_nothing()).blocks(names, 100)
    assert block.select(names).to_pylist() == [{name: row[name] for name in names} for row in ROWS]


def _nothing():
    from rowkeeper.protocols import Change

    return Change()


NUL = pa.table({"id": pa.array([1, 2], pa.int64()), "text": ["good", "a\x00b"]})
DOCUMENT = pa.schema([pa.field("id", pa.int64()), pa.field("text", pa.string(), metadata={b"rk:type": b"json"})])
NUL_IN_JSON = pa.Table.from_pylist([{"id": 1, "text": '"\\\\u0000"'}, {"id": 2, "text": '{"a": "\\u0000"}'}], DOCUMENT)
IN_LIST = pa.table({"id": [1, 2], "text": [["a"], ["b", "\x00"]]})


@pytest.mark.parametrize("rows", [NUL, NUL_IN_JSON, IN_LIST], ids=["text", "jsonb", "array"])
def test_a_nul_is_told_before_anything_is_sent(rows: pa.Table, server: Postgres, tmp_path: Path) -> None:
    """PostgreSQL holds no NUL: the rows that have one are named by their place, without their value."""
    made = Runs(tmp_path, server.url, tmp_path.name)
    session = made.session(rows.schema)
    assert {name: list(found[0]) for name, found in session.destination.unfit(rows).items()} == {"text": [1]}
    with pytest.raises(RowsUnfit) as caught:
        made.sealed(rows)
    assert caught.value.context == {"column": "text"}


def test_nan_is_no_null_in_sqlite(tmp_path: Path) -> None:
    """SQLite takes NaN for null, so a row with one is named beforehand; PostgreSQL keeps it."""
    rows = pa.table({"id": [1, 2], "ratio": [math.nan, None]})
    session = Runs(tmp_path, f"sqlite:///{tmp_path}/nan.db", "nan").session(rows.schema)
    assert {name: list(found[0]) for name, found in session.destination.unfit(rows).items()} == {"ratio": [0]}


def test_a_type_that_no_column_holds_is_refused(tmp_path: Path) -> None:
    """Nanoseconds are not cut to microseconds in silence."""
    rows = pa.table({"at": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(ContractError):
        Runs(tmp_path, f"sqlite:///{tmp_path}/ns.db", "ns").load(rows)
