"""docs/destinations-files.md and docs/connectors.md: their examples run, and the tests that they name are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import polars as pl
import pytest

import rowkeeper as rk
from tests.arena import Arena
from tests.docs.examples import blocks

FILES, CONNECTORS = "docs/destinations-files.md", "docs/connectors.md"


def test_a_table_of_files_is_loaded_and_read_as_the_page_says(own_arena: Arena, monkeypatch: pytest.MonkeyPatch):
    """The pipeline runs; what the page shows for readers finds its rows."""
    pipeline, reader = [text for kind, _, text in blocks(FILES) if kind == "python"]
    own_arena.write("flights.py", pipeline)
    own_arena.write("flights/a.csv", "id,carrier,distance\n1,AA,100\n2,UA,\n")
    own_arena.ok("run", "flights.py")
    assert len(own_arena.ok("files", "flights.py")["files"]) == 2
    assert own_arena.ok("verify", "flights.py")["sound"]
    monkeypatch.chdir(own_arena.folder)
    names: dict[str, object] = {}
    exec(reader, names)
    frame = names["frame"]
    assert isinstance(frame, pl.DataFrame)
    assert sorted(frame["carrier"]) == ["AA", "UA"]


def test_the_names_in_the_lake_are_those_of_the_page(own_arena: Arena):
    """Folders, data files and manifests are called as the page draws them."""
    pipeline = next(text for kind, _, text in blocks(FILES) if kind == "python")
    own_arena.write("flights.py", pipeline)
    own_arena.write("flights/a.csv", "id,carrier,distance\n1,AA,100\n")
    own_arena.ok("run", "flights.py")
    found = {
        path.relative_to(own_arena.folder / "lake/flights").as_posix()
        for path in (own_arena.folder / "lake").rglob("*.*")
    }
    data = next(each for each in found if each.startswith("carrier=AA/run-"))
    assert re.fullmatch(r"carrier=AA/run-\d+-\d+-\d{5}\.parquet", data)
    assert found - {data} == {"_rowkeeper/manifest-0000000001.json", "_rowkeeper/current.json"}


def test_the_rig_of_the_page_keeps_its_promises(tmp_path: Path):
    """The suite that the page shows runs against its rig, in processes of its own; one of its tests stands for all."""
    text = next(text for _, name, text in blocks(CONNECTORS) if name == "test_shelf.py")
    names: dict[str, object] = {"__name__": "test_shelf"}
    exec(text.replace("    @pytest.fixture\n", ""), names)
    suite = names["TestShelf"]()  # type: ignore[operator]
    suite.test_what_a_later_run_brings_is_added(suite.rig(tmp_path))


def test_the_session_of_the_page_is_one():
    """Its code is Python, and what it is built from is there."""
    text = next(text for kind, name, text in blocks(CONNECTORS) if kind == "python" and not name)
    names: dict[str, object] = {}
    exec(text, names)
    session = names["ShelfSession"]
    for method in ("prepare", "publish", "settle", "commit_record", "stage_resume", "seal", "verify", "check_change"):
        assert callable(getattr(session, method))
    assert ast.parse(text)


def test_the_reader_is_exported():
    """`rk.read_manifest` is public."""
    assert "read_manifest" in rk.__all__
