"""Values of PostgreSQL arrive as they are, each by itself, or as text that says what no column could."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import rowkeeper as rk
from tests.sources.database.conftest import Loader
from tests.sources.database.servers import Postgres

UTC = dt.UTC
VALUES: list[tuple[str, str, Any, pa.DataType | None]] = [
    ("smallint", "-32768", -32768, pa.int64()),
    ("integer", "2147483647", 2147483647, None),
    ("bigint", "-9223372036854775808", -(2**63), pa.int64()),
    ("oid", "4294967295", 4294967295, None),
    ("real", "0.1", 0.10000000149011612, pa.float32()),
    ("double precision", "0.1", 0.1, pa.float64()),
    ("double precision", "'1.7976931348623157e308'", 1.7976931348623157e308, None),
    ("double precision", "'-Infinity'", float("-inf"), None),
    ("double precision", "5e-324", 5e-324, None),
    ("boolean", "true", True, pa.bool_()),
    ("boolean", "false", False, None),
    ("numeric(30,6)", "123456789012345678901234.123456", Decimal("123456789012345678901234.123456"), None),
    ("numeric(76,38)", "1e37", "1" + "0" * 37 + "." + "0" * 38, pa.string()),
    ("numeric(12,2)", "'NaN'", "NaN", pa.string()),
    ("numeric", "'Infinity'", "Infinity", pa.string()),
    ("numeric", "1.10", "1.10", pa.string()),
    ("numeric", "1e-40", "0." + "0" * 39 + "1", None),
    ("numeric(3,-2)", "12345", "12300", pa.string()),
    ("numeric", "9" * 200, "9" * 200, None),
    ("money", "1234.56", "1234.56", pa.string()),
    ("text", "E'two\\nlines, \"quoted\" \\\\N'", 'two\nlines, "quoted" \\N', pa.string()),
    ("text", "''", "", None),
    ("text", "'\\.'", "\\.", None),
    ("varchar(5)", "'Ærø東'", "Ærø東", None),
    ("char(4)", "'ab'", "ab  ", None),
    ("date", "'2026-11-26'", dt.date(2026, 11, 26), pa.date32()),
    ("date", "'infinity'", "infinity", pa.string()),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC", pa.string()),
    ("timestamp", "'2026-11-26 12:34:56.123456'", dt.datetime(2026, 11, 26, 12, 34, 56, 123456), None),
    ("timestamp", "'-infinity'", "-infinity", pa.string()),
    ("timestamptz", "'2026-11-26 12:34:56.1+05:30'", dt.datetime(2026, 11, 26, 7, 4, 56, 100000, UTC), None),
    ("timestamptz", "'infinity'", "infinity", pa.string()),
    ("time", "'23:59:59.999999'", dt.time(23, 59, 59, 999999), pa.time64("us")),
    ("time", "'24:00'", "24:00:00", pa.string()),
    ("timetz", "'12:00+02'", "12:00:00+02", pa.string()),
    ("interval", "'1 day 02:03:04.5'", "PT93784.500000S", pa.string()),
    ("interval", "'-00:00:00.000001'", "-PT0.000001S", None),
    ("interval", "'1 mon 2 days'", "1 mon 2 days", None),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", pa.string()),
    ("json", "'{\"a\": 1.10, \"a\": null}'", '{"a": 1.10, "a": null}', pa.string()),
    ("jsonb", "'{\"b\": [1e40]}'", '{"b": [1' + "0" * 40 + "]}", pa.string()),
    ("bytea", "'\\x00ff41'", b"\x00\xffA", pa.binary()),
    ("bytea", "''", b"", None),
    ("bit(3)", "B'101'", "101", None),
    ("inet", "'10.0.0.0/8'", "10.0.0.0/8", None),
    ("int4range", "'[1,5)'", "[1,5)", pa.string()),
    ("tstzrange", "'[2026-01-01Z,)'", '["2026-01-01 00:00:00+00",)', None),
    ("int4multirange", "'{[1,2),[5,6)}'", "{[1,2),[5,6)}", None),
    ("point", "'(1,2)'", "(1,2)", None),
    ("mood", "'so, so'", "so, so", pa.string()),
    ("positive", "7", 7, pa.int64()),
    ("pair", "ROW(1, 'x\"')", '{"a":1,"b":"x\\""}', pa.string()),
    ("integer[]", "'{1,NULL,3}'", [1, None, 3], pa.list_(pa.int64())),
    ("integer[]", "'{}'", [], None),
    ("integer[]", "'{{1,2},{3,4}}'", [[1, 2], [3, 4]], pa.list_(pa.list_(pa.int64()))),
    ("integer[]", "'[2:3]={1,2}'", [1, 2], None),
    ("bigint[]", "'{9223372036854775807}'", [2**63 - 1], None),
    ("float8[]", "'{0.1,NaN,-Infinity}'", None, pa.list_(pa.float64())),
    ("numeric[]", "'{1.10,NaN,12345678901234567890.5}'", ["1.10", "NaN", "12345678901234567890.5"], None),
    ("text[]", "ARRAY['a,b', 'NULL', NULL, '']", ["a,b", "NULL", None, ""], pa.list_(pa.string())),
    ("boolean[]", "'{t,f,NULL}'", [True, False, None], None),
    ("bytea[]", "ARRAY['\\x00'::bytea]", [b"\x00"], pa.list_(pa.binary())),
    ("date[]", "'{2026-11-26,infinity}'", ["2026-11-26", "infinity"], None),
    ("timestamptz[]", "'{2026-11-26 00:00Z}'", ["2026-11-26 00:00:00+00"], None),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], None),
    ("jsonb[]", "ARRAY['{\"a\": 1}'::jsonb]", ['{"a": 1}'], None),
    ("mood[]", "ARRAY['so, so'::mood]", ["so, so"], None),
]  # fmt: skip


@pytest.fixture(scope="session")
def typed(postgres: Postgres) -> Postgres:
    """A table for each value, with a null beside it: what one of them does to a batch is its own affair."""
    do = postgres.owner.execute
    do("CREATE TYPE mood AS ENUM ('glad', 'so, so')")
    do("CREATE DOMAIN positive AS bigint CHECK (VALUE > 0)")
    do("CREATE TYPE pair AS (a int, b text)")
    for number, (kind, value, _, _) in enumerate(VALUES):
        do(f"CREATE TABLE typed_{number} (id int PRIMARY KEY, x {kind}, y {kind})")
        do(f"INSERT INTO typed_{number} VALUES (1, {value}, NULL), (2, NULL, NULL)")
    return postgres


@pytest.mark.parametrize("number", range(len(VALUES)), ids=[f"{kind} {value[:24]}" for kind, value, _, _ in VALUES])
def test_a_value_arrives_as_it_is(typed: Postgres, loader: Loader, number: int):
    """Read by a run's own way, it is what was stored; null beside it stays null."""
    kind, _, expected, arrow = VALUES[number]
    table = loader.load(rk.sources.database(typed.socket_url, table=f"typed_{number}")).table
    found, nothing = table["x"].to_pylist()
    assert nothing is None
    assert table["y"].null_count == 2
    if expected is not None:
        assert found == expected
        assert type(found) is type(expected)
    if arrow is not None:
        assert table.schema.field("x").type == arrow
    if kind == "float8[]":
        assert found[0] == 0.1
        assert found[1] != found[1]
        assert found[2] == float("-inf")


def test_arrays_of_several_shapes_are_one_clear_error(postgres: Postgres, loader: Loader):
    """Arrow has one nesting for a column: such a column is refused by name, with a way out."""
    postgres.owner.execute("CREATE TABLE mixed (id int PRIMARY KEY, x int[])")
    postgres.owner.execute("INSERT INTO mixed VALUES (1, '{1}'), (2, '{{1,2}}')")
    with pytest.raises(rk.errors.ColumnUnreadable) as caught:
        loader.load(rk.sources.database(postgres.socket_url, table="mixed"))
    assert "x (integer[]) of mixed" in caught.value.what
    text = rk.sources.database(postgres.socket_url, query="SELECT id, x::text AS x FROM mixed ORDER BY id")
    assert loader.values(text)["x"] == ["{1}", "{{1,2}}"]


def test_one_infinite_time_makes_text_of_its_batch_only(postgres: Postgres, loader: Loader):
    """The others of that batch are read as ISO 8601; those of other batches as times."""
    postgres.owner.execute("CREATE TABLE endless (id int PRIMARY KEY, at timestamptz)")
    postgres.owner.execute(
        "INSERT INTO endless SELECT n, CASE n WHEN 3 THEN 'infinity' ELSE '2026-01-01Z'::timestamptz END "
        "FROM generate_series(1, 4) n"
    )
    loader.rows = 2
    source = rk.sources.database(postgres.socket_url, table="endless", parallel=1)
    (partition,) = loader.plan(source).load
    columns = [each.table["at"] for each in loader.batches(source, partition) if each.rows_read]
    assert [each.type for each in columns] == [pa.timestamp("us", "UTC"), pa.string()]
    assert columns[1].to_pylist() == ["infinity", "2026-01-01 00:00:00Z"]


def test_a_server_that_thinks_otherwise_of_dates_changes_nothing(postgres: Postgres, loader: Loader):
    """DateStyle, TimeZone, IntervalStyle and the like are the session's own."""
    for name, value in (("DateStyle", "SQL, DMY"), ("TimeZone", "Asia/Kolkata"), ("bytea_output", "escape")):
        postgres.owner.execute(f"ALTER ROLE reader SET {name} = '{value}'")
        postgres.owner.execute(f"ALTER DATABASE postgres SET {name} = '{value}'")
    try:
        source = rk.sources.database(
            postgres.socket_url,
            query="SELECT '2026-02-03 04:05Z'::timestamptz AS at, '\\x00'::bytea AS b, date '2026-02-03' AS d",
        )
        (row,) = loader.load(source).table.to_pylist()
    finally:
        for name in ("DateStyle", "TimeZone", "bytea_output"):
            postgres.owner.execute(f"ALTER DATABASE postgres RESET {name}")
    assert row == {"at": dt.datetime(2026, 2, 3, 4, 5, tzinfo=UTC), "b": b"\0", "d": dt.date(2026, 2, 3)}
