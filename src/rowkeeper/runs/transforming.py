"""The pipeline's own transform, applied to the accepted rows of a batch and held to its word."""

from __future__ import annotations

import difflib

import polars as pl
import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.errors import TransformError
from rowkeeper.frames import frame_of
from rowkeeper.pipeline import Transform, transform_takes_polars
from rowkeeper.usercode import users_own


def apply_transform(transform: Transform, rows: pa.Table) -> pa.Table:
    """Calls the transform and checks what it made against the columns it was given.

    Args:
        rows: accepted rows with `ROW_ID` as the last column.

    Returns:
        A table of the same schema; it has as many rows or fewer.

    Raises:
        TransformError: it raised, made rows, lost or invented a column, or made values of another type.
    """
    name = getattr(transform, "__name__", type(transform).__name__)
    polars = transform_takes_polars(transform)
    given = frame_of(rows) if polars else rows
    with users_own(f"the transform {name}", hint="correct it and run again; nothing was published", placed=True):
        made = transform(given)  # type: ignore[arg-type]
    if isinstance(made, pl.DataFrame):
        made = made.to_arrow()
    if not isinstance(made, pa.Table):
        raise TransformError(
            f"the transform {name} returned {type(made).__name__}",
            hint="return an Arrow table or a Polars frame",
        )
    if made.num_rows > rows.num_rows:
        raise TransformError(
            f"the transform {name} made {made.num_rows} rows of {rows.num_rows}: the account could not balance",
            hint="a transform may change and drop rows; rows are made in the source or in SQL after the load",
        )
    return _fitted(name, _with_row_ids(name, made, rows), rows.schema)


def _with_row_ids(name: str, made: pa.Table, rows: pa.Table) -> pa.Table:
    """Without the address column the first addresses of the batch are given out: unique, though not each row's own."""
    if ROW_ID not in made.column_names:
        return made.append_column(rows.schema.field(ROW_ID), rows[ROW_ID].slice(0, made.num_rows))
    addresses = made[ROW_ID].combine_chunks()
    if addresses.null_count or len(addresses.unique()) != len(addresses):
        raise TransformError(
            f"the transform {name} left two rows with one address in {ROW_ID}",
            hint=f"each row keeps its own {ROW_ID}, or drop the column altogether",
        )
    return made


def _fitted(name: str, made: pa.Table, schema: pa.Schema) -> pa.Table:
    """Puts columns in the contract's order and types; a value that would change in the cast is an error."""
    missing = [column for column in schema.names if column not in made.column_names]
    unknown = [column for column in made.column_names if column not in schema.names]
    if missing or unknown:
        near = difflib.get_close_matches(unknown[0], schema.names, n=1) if unknown else []
        raise TransformError(
            f"the transform {name} returned other columns than the contract's: "
            + "; ".join(
                f"{word} {', '.join(columns)}"
                for word, columns in (("missing", missing), ("unknown", unknown))
                if columns
            ),
            hint=f"did you mean {near[0]}?" if near else "return every column of the contract, and no other",
        )
    columns = []
    for field in schema:
        try:
            column = made[field.name].cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TransformError(
                f"the transform {name} made values of {field.name} that do not fit {field.type}",
                hint="cast the column in the transform, or change the contract's type",
            ) from error
        if column.null_count and not field.nullable:
            raise TransformError(
                f"the transform {name} made {column.null_count} nulls in {field.name}, which is not optional",
                hint="fill or drop them, or make the field optional in the contract",
            )
        columns.append(column)
    return pa.table(columns, schema=schema)
