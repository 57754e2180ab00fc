"""What the tests of the files source share: reading a file whole, through the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

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


def places_of(batch: Batch) -> list[str]:
    """Where a person finds each row."""
    return batch.places_of(pa.array(range(batch.table.num_rows), pa.uint64()))


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    """All good rows."""
    return [row for batch in batches(path, **options) for row in batch.table.to_pylist()]
