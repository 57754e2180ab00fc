"""What became of an insert that the engine did not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import ROW_BITS, ROW_ID
from rowkeeper.resilience.outcomes import Happened

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession


def addresses(rows: pa.Table) -> str:
    """A condition that these rows meet, and no others of the run: their addresses lie together, in each partition."""
    ids = rows.column(ROW_ID)
    ordinals = pc.shift_right(ids, pa.scalar(ROW_BITS, pa.uint64()))
    bounds = pa.table({"ordinal": ordinals, "id": ids}).group_by("ordinal").aggregate([("id", "min"), ("id", "max")])
    pairs = zip(bounds["id_min"].to_pylist(), bounds["id_max"].to_pylist(), strict=True)
    return " OR ".join(f"{ROW_ID} BETWEEN {low} AND {high}" for low, high in sorted(pairs))


def arrived(table: TableSession, rows: pa.Table) -> Happened[None] | None:
    """Whether all of these rows are staged; None if none of them is, or is any longer, nor can come to be.

    1. An insert that is still under way is stopped.
    2. Rows of it that are there without the others are taken out.

    Raises DatabaseError if the engine gives no answer to this either.
    """
    table.statements.stop(table.run)
    own = addresses(rows)
    name = table.names.staging(table.run, table.token)
    there = table.statements.number(f"SELECT count() FROM {name} WHERE {own}")
    if there == rows.num_rows:
        return Happened(None)
    if there:
        table.take_out(own)
    return None
