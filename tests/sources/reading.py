"""What the tests of the files source share: reading a file whole, through the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rowkeeper.batch import Batch
from rowkeeper.protocols import Columns
from rowkeeper.sources import files

ANY = Columns(known=frozenset(), required=(), extra="evolve")


def batches(
    path: Path, *, start_row: int = 0, batch_rows: int = 1000, columns: Columns = ANY, **options: Any
) -> list[Batch]:
    """All batches of all partitions."""
    source = files(str(path), **options)
    plan = source.plan({}, whole=False)
    return [
        batch
        for partition in plan.load
        for batch in source.read(partition, start_row=start_row, batch_rows=batch_rows, columns=columns)
    ]


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    """All good rows."""
    return [row for batch in batches(path, **options) for row in batch.table.to_pylist()]
