"""The audit trail: entries a second in batches and one by one, and how long a million entries take to verify.

`python -m bench.auditing [ENTRIES]` prints a JSON document. The ledger is SQLite as it is by default: each commit is on
the disk before it counts.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.verifying import verify

BATCH = 1_000
ONE_BY_ONE = 2_000


def _opened(folder: Path) -> AbstractContextManager[Ledger]:
    return Ledger.open(None, folder, auditing=Auditing(lambda: (bytes(range(32)),), (), (folder / "checkpoint",)))


def main() -> None:
    """Measures and prints."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    event = Event("data.query", {"table": "flights", "run": 12}, detail={"rows": 336_776}, purpose="billing")
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(
            None, Path(folder), auditing=Auditing(lambda: (bytes(range(32)),), (), (Path(folder) / "checkpoint",))
        ) as ledger,
    ):
        trail = ledger.audit
        started = time.perf_counter()
        for _ in range(ONE_BY_ONE):
            trail.record(event)
        one_by_one = ONE_BY_ONE / (time.perf_counter() - started)
        batches = [event] * BATCH
        started = time.perf_counter()
        for _ in range(entries // BATCH):
            trail.record(*batches)
        in_batches = entries / (time.perf_counter() - started)
        started = time.perf_counter()
        verdict = verify(trail, {})
        seconds = time.perf_counter() - started
        assert verdict.sound, verdict.findings
    print(
        json.dumps(
            {
                "entries": verdict.size,
                "one_by_one_per_second": round(one_by_one),
                "in_batches_per_second": round(in_batches),
                "verify_seconds": round(seconds, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
