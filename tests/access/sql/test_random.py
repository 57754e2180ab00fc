"""Queries that nobody thought of: made at random, hidden columns and forbidden parts included."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import extent
from tests.access.sql.test_bypasses import _plain, outcome, twin_of
from tests.access.sql.world import CANARY, NUMBERS, World

TABLES = {
    "clients": ("id", "name", "region", "city", "age", "mail", "ssn", "pin", "phone", "notes"),
    "paid": ("id", "pay"),
    "vault": ("id", "word"),
}
CONSTANTS = ("0", "1", "'EU'", "'x'", "NULL", "[1, 2]", "toDate('2026-01-01')", "70719", "'CANARY_1@example.org'")
BINARY = ("=", "!=", "<", ">", "+", "-", "*", "/", "%", "AND", "OR", "LIKE", "||")
UNARY = (
    *(
        "toString",
        "length",
        "upper",
        "toInt64OrNull",
        "toUInt32",
        "isNull",
        "hex",
        "cityHash64",
        "reverse",
        "max",
        "min",
    ),
    *("count", "uniqExact", "any", "groupArray", "sum", "avg", "assumeNotNull", "toTypeName", "arrayJoin", "empty"),
    *("throwIf", "file", "sleepEachRow", "hostName", "dumpColumnStructure", "lowCardinalityKeys", "sumState", "NOT "),
)
BINARY_CALLS = (
    "if(1, {}, {})",
    "coalesce({}, {})",
    "concat({}, {})",
    "intDiv({}, {})",
    "has([{}], {})",
    "argMax({}, {})",
)
SHAPES = (
    "CAST({} AS Nullable(String))",
    "({})::Nullable(Int64)",
    "CASE WHEN {} THEN 1 ELSE 2 END",
    "arrayMap(x -> ({}), [1, 2])",
    "{} IN (1, 2)",
    "{} IN (SELECT id FROM clients)",
    "(SELECT max({}) FROM clients)",
    "sumIf(1, {})",
    "row_number() OVER (ORDER BY {})",
    "EXISTS (SELECT 1 FROM clients WHERE {})",
)
SOURCES = (
    "{0}",
    "{0} AS t",
    "(SELECT * FROM {0}) AS t",
    "{0} AS a CROSS JOIN {1} AS b",
    "{0} AS a LEFT JOIN {1} AS b ON a.id = b.id",
    "{0} AS a FULL JOIN {1} AS b USING (id)",
    "{0} ARRAY JOIN [1, 2] AS x",
    "merge('.*')",
    "loop({0})",
    "{0} FINAL",
)
ENDINGS = ("", "", "", " LIMIT 3", " LIMIT 1 BY {}", " SETTINGS max_threads = 1", " FORMAT JSON", " WITH TOTALS")
STARTS = ("", "", "", "WITH 'EU' AS region ", "WITH c AS (SELECT * FROM clients) ", "WITH (SELECT {}) AS v ")
COLUMNS = st.sampled_from([name for names in TABLES.values() for name in names])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(BINARY), inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(st.sampled_from(UNARY), inner).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(st.sampled_from(BINARY_CALLS), inner, inner).map(lambda parts: parts[0].format(*parts[1:])),
        st.tuples(st.sampled_from(SHAPES), inner).map(lambda parts: parts[0].format(parts[1])),
    )


EXPRESSIONS = st.recursive(st.one_of(COLUMNS, st.sampled_from(CONSTANTS)), _grown, max_leaves=4)


@st.composite
def queries(draw: Callable[..., str]) -> str:
    """A query, of which about half can be carried out."""
    tables = draw(st.lists(st.sampled_from(["clients", "clients", "clients", "paid", "vault"]), min_size=2, max_size=2))
    selected = draw(st.one_of(st.just(["*"]), st.lists(EXPRESSIONS, min_size=1, max_size=3)))
    start, ending = draw(st.sampled_from(STARTS)), draw(st.sampled_from(ENDINGS))
    sql = f"{start.format('1')}SELECT {', '.join(selected)} FROM {draw(st.sampled_from(SOURCES)).format(*tables)}"
    for clause in ("WHERE", "GROUP BY", "HAVING", "ORDER BY"):
        if draw(st.booleans()) and draw(st.booleans()):
            sql += f" {clause} {draw(EXPRESSIONS)}"
    sql += ending.format(draw(COLUMNS))
    return f"{sql} UNION ALL {sql}" if draw(st.integers(0, 9)) == 0 else sql


@settings(
    max_examples=extent.examples(25, 2_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sql=queries())
def test_no_random_query_shows_or_tells_anything(world: World, sql: str):
    """None returns a value that is hidden, and none ends otherwise where something else is hidden."""
    becomes, told = outcome(world, sql)
    assert becomes in ("answered", "refused", "failed"), (becomes, told)
    if CANARY not in sql:
        assert CANARY not in str(told), sql
    if not [number for number in NUMBERS if str(number) in sql]:
        assert not [number for number in NUMBERS if str(number) in str(told)], sql
    if becomes != "refused":
        other, of_other = outcome(world, twin_of(sql))
        assert becomes == other, (sql, told, of_other)
        assert _rows(told) == _rows(of_other), sql


def _rows(told: object) -> object:
    """What is told, the rows without their order: a query without ORDER BY has none."""
    if isinstance(told, tuple):
        columns, rows, masked = told
        return _plain(columns), sorted(map(_plain, rows)), _plain(masked)
    return _plain(told)
