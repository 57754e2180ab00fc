"""A destination held: its lease lasts while the work does, also where the ledger is hard to reach."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger, database
from rowkeeper.logs import Journal, keep
from rowkeeper.runs.hold import leased
from tests.auditing import AUDITING

LEASE_SECONDS = 6.0
SECONDS_MAX = 60.0


def expires_at(ledger: Ledger) -> datetime:
    (held,) = ledger.leases()
    return held.expires_at


@pytest.mark.of_sqlite("looks into its file")
def test_a_renewal_that_fails_twice_keeps_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another process keeps the ledger locked until two renewals have failed: the next one renews."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    told: queue.Queue[Mapping[str, object]] = queue.Queue()
    with (
        keep(Journal("warning", [told.put])),
        Ledger.open(None, tmp_path, lambda: datetime.now(UTC), auditing=AUDITING) as ledger,
        leased(ledger, "t", LEASE_SECONDS) as lease,
    ):
        before = expires_at(ledger)
        with sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            lines = [told.get(timeout=SECONDS_MAX) for _ in range(2)]
            other.execute("ROLLBACK")
        other.close()
        assert [(line["event"], line["code"]) for line in lines] == [("lease not renewed", "RK-3301")] * 2
        while (after := expires_at(ledger)) == before:
            assert datetime.now(UTC) < before, "the lease ran out"
        assert after > before
        ledger.renew_lease(lease, LEASE_SECONDS)  # still ours


@pytest.mark.of_sqlite("looks into its file")
def test_a_lease_that_was_taken_over_is_not_renewed(tmp_path: Path):
    """The thread gives up when somebody else has it, and the one who holds it now keeps it."""
    told: queue.Queue[Mapping[str, object]] = queue.Queue()
    with Ledger.open(None, tmp_path, lambda: datetime.now(UTC), auditing=AUDITING) as ledger:
        with keep(Journal("warning", [told.put])), leased(ledger, "t", 0.3):
            with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
                other.execute("UPDATE leases SET token = token + 1, expires_at = '2199-01-01 00:00:00.000000'")
            other.close()
            assert told.get(timeout=SECONDS_MAX)["event"] == "lease lost"
        assert ledger.lease_alive("t")
