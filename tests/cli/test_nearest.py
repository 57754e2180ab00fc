"""Wrong usage suggests the nearest right word."""

from __future__ import annotations

import pytest

from rowkeeper.nearest import did_you_mean, nearest, one_of
from tests.arena import Arena

HEAD = """
from pydantic import BaseModel
import rowkeeper as rk

class Row(BaseModel):
    id: int

"""
RIGHT = (
    'orders = rk.Pipeline("orders", source=rk.sources.files("a.csv"), contract=Row, drift="reject", '
    'destination=rk.destinations.clickhouse("orders", order_by=["id"]))'
)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rnu", "a.py"), "'run'"),
        (("quarantine", "shwo"), "'show'"),
        (("runs", "--limt", "3"), "'--limit'"),
        (("run", "shpo.py"), "did you mean shop.py?"),
        (("run", "shop.py:order"), "did you mean orders?"),
        (("errors", "SourcMissing"), "SourceMissing"),
    ],
)
def test_words_of_commands(arena: Arena, words: tuple[str, ...], meant: str):
    """Commands, options, files, pipelines, errors."""
    arena.write("shop.py", HEAD + RIGHT)
    outcome = arena.run(*words)
    assert outcome.status == 2, outcome
    assert meant in outcome.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "meant"),
    [
        ("contract=", "contrct=", "contract="),
        ('order_by=["id"]', 'oder_by=["id"]', "order_by="),
        ("rk.sources", "rk.source", "sources"),
        ("sources.files", "sources.fils", "files"),
        ('drift="reject"', 'drift="rejct"', "reject"),
        ('order_by=["id"]', 'order_by=["id"], write="mrege"', "merge"),
        ("a.csv", 'a.csv", on_change="relaod', "reload"),
        ('order_by=["id"]', 'order_by=["Id"]', "id"),
    ],
)
def test_words_of_declarations(arena: Arena, right: str, wrong: str, meant: str):
    """Arguments, modules, functions, choices, columns."""
    assert right in RIGHT
    arena.write("shop.py", HEAD + RIGHT.replace(right, wrong))
    arena.write("a.csv", "id\n1\n")
    outcome = arena.run("run", "shop.py")
    assert outcome.status == 2, outcome
    assert f"did you mean {meant}?" in outcome.stderr


def test_words_of_settings(arena: Arena):
    """In the environment and in the file; the value is not told. A variable that is near none is let be."""
    outcome = arena.run("runs", env={"ROWKEEPER_BATCH_ROW": "canary"})
    assert outcome.status == 2
    assert "did you mean ROWKEEPER_BATCH_ROWS?" in outcome.stderr
    assert "canary" not in outcome.stderr
    assert arena.run("runs", env={"ROWKEEPER_PHRASE": "x", "ROWKEEPER_OF_MY_OWN": "x"}).status == 0
    for text, told in (('bach_rows = "canary"', "did you mean batch_rows?"), ("a = canary", "is no TOML")):
        arena.write("rowkeeper.toml", text)
        outcome = arena.run("runs")
        assert outcome.status == 2
        assert told in outcome.stderr
        assert "canary" not in outcome.stderr
    (arena.folder / "rowkeeper.toml").unlink()


def test_a_pipeline_that_never_ran(arena: Arena):
    """An empty list is an answer; the nearest name is told beside it."""
    arena.write("shop.py", HEAD + RIGHT)
    arena.write("a.csv", "id\n1\n")
    arena.ok("run", "shop.py")
    outcome = arena.run("runs", "--pipeline", "order", "--json")
    assert outcome.json == {"runs": []}
    assert "did you mean orders?" in outcome.stderr


def test_nearest():
    """Case and dashes are no difference; what is near nothing gets no suggestion."""
    assert nearest("Batch-Rows", ["batch_rows", "home"]) == "batch_rows"
    assert nearest("zebra", ["batch_rows", "home"]) == ""
    assert did_you_mean(7, ["home"], "else") == "else"
    assert one_of("x", ["a1", "b2"]) == "one of a1, b2"
