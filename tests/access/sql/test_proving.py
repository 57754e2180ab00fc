"""The engine's own view of a query is compared with what was permitted, and a difference ends it.

The queries here are what the steps before should never let through: they are put in their place by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

import chdb
import pytest

from rowkeeper.access import Sight, TableView
from rowkeeper.access.sql import ColumnType, Rewritten, SeenTable, prove_reads, prove_text
from rowkeeper.errors import QueryDiffers

TABLE = SeenTable(
    "default",
    "clients",
    (ColumnType("id", "Int64"), ColumnType("region", "String"), ColumnType("ssn", "String")),
    TableView("default.clients", {"id": Sight.CLEAR}, "SELECT region = 'EU'"),
)
GOOD = "SELECT id FROM (SELECT t.id AS id FROM default.clients AS t WHERE t.region = 'EU') AS clients"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chdb.state.sqlitelike.Connection]:
    opened = chdb.connect(str(tmp_path_factory.mktemp("proving")))
    opened.query("CREATE TABLE clients (id Int64, region String, ssn String) ENGINE MergeTree ORDER BY id")
    opened.query("CREATE TABLE vault (word String) ENGINE MergeTree ORDER BY word")
    opened.query("CREATE VIEW peep AS SELECT * FROM vault")
    yield opened
    opened.close()


def explained(engine: chdb.state.sqlitelike.Connection, how: str, text: str) -> str:
    return bytes(engine.query(f"EXPLAIN {how} {text}", "TabSeparated").bytes()).decode()


def query(text: str) -> Rewritten:
    return Rewritten(text, {"t": TABLE}, frozenset({"c"}), {"default.clients": frozenset({"region"})})


def test_what_was_permitted_passes(engine: chdb.state.sqlitelike.Connection):
    """The query as it should be passes both."""
    prove_text(explained(engine, "AST", GOOD), query(GOOD))
    prove_reads(explained(engine, "QUERY TREE passes = 1", GOOD), query(GOOD))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("AS t", "AS u").replace("t.", "u."),
        GOOD.replace("default.clients AS t", "default.vault AS t"),
        GOOD.replace("default.clients AS t", "clients AS t"),
        f"{GOOD} UNION ALL SELECT 1 FROM default.vault",
        f"{GOOD} UNION ALL SELECT 1 FROM vault",
        f"{GOOD} UNION ALL {GOOD}",
        f"{GOOD} WHERE 1 IN vault",
        f"{GOOD} WHERE 1 NOT IN default.vault",
        f"{GOOD} CROSS JOIN numbers(3)",
        f"{GOOD} CROSS JOIN merge('.*') AS m",
        f"{GOOD} SETTINGS max_threads = 1",
        f"{GOOD} FORMAT JSON",
        f"{GOOD} WHERE hostName() != ''",
        f"{GOOD} WHERE throwIf(id = 1)",
        f"{GOOD} WHERE arrayExists(x -> sleep(x) = 0, [1])",
        GOOD.replace("SELECT id", "SELECT COLUMNS('.*')"),
        GOOD.replace("SELECT id", "SELECT * APPLY (hex)"),
        GOOD.replace("AS t", "AS t SAMPLE 0.5"),
        "SELECT 1",
        "SELECT id FROM c",
        "DROP TABLE clients",
        "EXPLAIN SELECT 1",
    ],
)
def test_another_text_is_refused(engine: chdb.state.sqlitelike.Connection, text: str):
    """A text in whose tree the engine's parser finds another table, function or clause is not run."""
    with pytest.raises(QueryDiffers):
        prove_text(explained(engine, "AST", text), query(text))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ssn FROM default.clients AS t",
        "SELECT id FROM default.clients AS t ORDER BY ssn",
        "SELECT count() FROM default.clients AS t WHERE t.ssn = 'x'",
        "SELECT * FROM default.clients AS t",
        "SELECT ssn.size FROM default.clients AS t",
        "SELECT _part FROM default.clients AS t",
        "SELECT word FROM vault",
        "SELECT word FROM peep",
        "SELECT id FROM default.clients AS t WHERE 1 IN (SELECT length(word) FROM vault)",
        "SELECT number FROM numbers(3)",
        "SELECT hostName()",
        "SELECT arrayMap(x -> hostName(), [1])",
        "SELECT arrayJoin([throwIf(0)])",
    ],
)
def test_other_reads_are_refused(engine: chdb.state.sqlitelike.Connection, text: str):
    """A query of which the engine's analyser says that it reads another table or column, or calls more, is not run."""
    with pytest.raises(QueryDiffers):
        prove_reads(explained(engine, "QUERY TREE passes = 1", text), query(text))


@pytest.mark.parametrize("told", ["", "\n", "Something (children 1)\n  Deep", "SelectWithUnionQuery (children 1)\n???"])
def test_an_unknown_description_is_refused(told: str):
    """A tree in a form that a later ClickHouse may have is no proof."""
    with pytest.raises(QueryDiffers):
        prove_text(told, query(GOOD))
