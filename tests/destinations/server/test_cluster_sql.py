"""The SQL that is said to clusters, which no test here can run on one: the engine's own parser reads each statement.

What it writes of a statement it has read must be what was meant: the same again when it is read once more, with the
cluster in it wherever a statement is to be run on all hosts.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from rowkeeper.destinations.mergetree import layout, replicas
from rowkeeper.destinations.mergetree.ddl import Ddl
from rowkeeper.destinations.mergetree.engine import Layout
from rowkeeper.destinations.server.connection import DURABLE

ON_CLUSTER = Ddl(Layout(DURABLE, cluster="main-1", replicated=True, every_replica="main-1"))
IN_REPLICATED = Ddl(Layout(DURABLE, replicated=True, every_replica="shop"))
ONE = "`shop`.`orders`"
OTHER = "`shop`.`orders__rk_next_12_3`"
COLUMNS = (("id", "Int64"), ("a `name`", "LowCardinality(Nullable(String))"), ("at", "DateTime64(6, 'UTC')"))
BY_REPLICATION = {"attach_all", "add_column", "delete", "catch_up"}  # replicas tell each other


def statements(ddl: Ddl) -> dict[str, tuple[str, ...]]:
    """Every statement that `Ddl` has, by its name."""
    definition = layout.definition(COLUMNS, ["id"], "toYYYYMM(at)", {"at": "Delta, ZSTD"}, ddl.layout)
    engine = f"{ddl.layout.engine} ORDER BY id SETTINGS allow_nullable_key = 1, parts_to_throw_insert = 9"
    made = {
        "create_database": (ddl.create_database("shop"),),
        "create": (ddl.create(ONE, definition),),
        "create_as": (
            ddl.create_as(OTHER, ONE, engine=engine),
            ddl.create_as(OTHER, ONE, comment="{'it'}", lenient=True),
        ),
        "clone": ddl.clone(OTHER, ONE, "a comment"),
        "attach_all": (ddl.attach_all(OTHER, ONE),),
        "add_column": (ddl.add_column(ONE, "new", "Nullable(Int64)"),),
        "delete": (ddl.delete(OTHER, "`_rk_run` = 4 AND (`id`) IN (SELECT (`id`) FROM `shop`.`x`)"),),
        "drop": (ddl.drop(OTHER),),
        "rename": (ddl.rename(OTHER, ONE),),
        "exchange": (ddl.exchange(ONE, OTHER),),
        "hold_still": (ddl.hold_still(ONE),),
        "let_merge": (ddl.let_merge(ONE),),
        "stop_merges": (ddl.stop_merges(ONE),),
        "start_merges": (ddl.start_merges(ONE),),
        "kill": (ddl.kill("Settings['log_comment'] = 'rowkeeper x run=1'"),),
        "catch_up": (ddl.catch_up(ONE),),
    }
    named = {name for name, value in vars(Ddl).items() if callable(value) and not name.startswith("_")}
    assert made.keys() == named
    return made


def written(texts: list[str]) -> list[str]:
    """Each as the engine's parser writes it. In a process of its own: chDB and Arrow do not share one well."""
    program = (
        "import chdb, json, sys\n"
        "c = chdb.connect()\n"
        "print(json.dumps([bytes(c.query('SELECT formatQuerySingleLine({s:String})', 'TSVRaw', params={'s': each})"
        ".bytes()).decode().strip() for each in json.load(sys.stdin)]))"
    )
    import json

    escaped = [each.replace("\\", "\\\\") for each in texts]
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(escaped), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-600:]
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("ddl", [ON_CLUSTER, IN_REPLICATED], ids=["on_cluster", "replicated_database"])
def test_every_statement_is_read_as_it_is_meant(ddl: Ddl):
    """Read and written by the engine's parser, each is the same again, and is run where it should be."""
    named = [(name, each) for name, texts in statements(ddl).items() for each in texts]
    questions = [replicas.rows_by_replica("main-1", "shop", "o"), replicas.comments_by_replica("main-1", "shop", "o")]
    first = written([*(text for _, text in named), *questions])
    assert written(first) == first
    for (name, text), read in zip(named, first[: len(named)], strict=True):
        everywhere = ddl.layout.cluster is not None and name not in BY_REPLICATION and "ATTACH" not in text
        assert ("ON CLUSTER `main-1`" in read) is everywhere, (text, read)
        assert read.count("(") == read.count(")")
        assert read.split()[0] == text.split()[0]


def test_no_statement_for_replicas_is_one_that_databases_refuse():
    """CLONE AS is refused by databases of the engine Replicated, so that it is never said where there are replicas."""
    for ddl in (ON_CLUSTER, IN_REPLICATED):
        assert not any("CLONE" in each for texts in statements(ddl).values() for each in texts)
    assert dataclasses.replace(IN_REPLICATED.layout).engine == "ReplicatedMergeTree"
