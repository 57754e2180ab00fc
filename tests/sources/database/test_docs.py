"""docs/sources-database.md: its examples run, and its tests are there."""

from __future__ import annotations

import contextlib
import re
import shlex
import sqlite3
from pathlib import Path

from tests.arena import Arena

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sources-database.md").read_text()
BLOCKS = re.findall(r"```(\w+)(?: file=(\S+))?\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(own_arena: Arena):
    """In order, files and commands, with a SQLite file for those that need one."""
    with contextlib.closing(sqlite3.connect(own_arena.folder / "shop.db")) as database, database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, since DATE)")
        database.executemany(
            "INSERT INTO customers (name, since) VALUES (?, ?)", [("Ada", "2026-01-05"), ("Grace", None)]
        )
    for kind, name, text in BLOCKS:
        if name:
            own_arena.write(name, text)
        for line in text.splitlines() if kind == "console" else ():
            outcome = own_arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
            assert outcome.status == 0, (line, outcome)
    assert own_arena.rows("customers") == [[1, "Ada", "2026-01-05"], [2, "Grace", None]]
