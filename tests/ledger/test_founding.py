"""The short cut by which the tests found their ledgers leads to where the migrations lead."""

from __future__ import annotations

import contextlib
import inspect
import sqlite3
from pathlib import Path

import pytest

import rowkeeper.ledger.ledger
from rowkeeper.ledger.database import connect
from tests import ledgers


@pytest.mark.of_sqlite("it is founded by the short cut")
def test_a_ledger_that_is_founded_by_the_short_cut_is_that_of_the_migrations(tmp_path: Path):
    """Tables, indexes, triggers, and what is in them."""
    shortened = rowkeeper.ledger.ledger.migrate
    migrate = inspect.unwrap(shortened)
    assert migrate is not shortened
    found = []
    for name, found_it in (("migrated", migrate), ("shortened", ledgers.founded_alike(migrate)), ("used", shortened)):
        (tmp_path / name).mkdir()
        engine = connect(None, tmp_path / name)
        found_it(engine)
        engine.dispose()
        with contextlib.closing(sqlite3.connect(tmp_path / name / "ledger.sqlite")) as file:
            modes = [file.execute(f"PRAGMA {each}").fetchall() for each in ("journal_mode", "user_version", "encoding")]
            found.append((list(file.iterdump()), modes))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) > 60
