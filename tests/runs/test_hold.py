"""A lease is kept as long as the work lasts, also through a time in which the ledger cannot be written."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger, database
from rowkeeper.runs.hold import _leased

TTL_SECONDS = 0.9


def test_a_lease_outlives_a_busy_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Renewals fail while another process has the ledger locked; those after it keep the lease for this process."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with Ledger.open(None, tmp_path) as ledger:
        with _leased(ledger, "target", TTL_SECONDS):
            with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                until = time.monotonic() + TTL_SECONDS
                while ledger.lease_alive("target"):
                    assert time.monotonic() < until + 5, "it was renewed although nobody could"
                    time.sleep(0.02)
            until = time.monotonic() + 5
            while not ledger.lease_alive("target"):
                assert time.monotonic() < until, "it was given up"
                time.sleep(0.02)
        assert not ledger.lease_alive("target")
