"""Queries: SQL that somebody types, rewritten to what they may see, or refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.runs.querying import ROWS_MAX, QueryAnswer, run_query
from rowkeeper.web.governed import Routes, Streamed, asks_of_each
from rowkeeper.web.house import Space

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/x-ndjson"
ROWS_AT_A_TIME = 1_000
routes = Routes("queries")


class Query(BaseModel):
    """One statement that reads."""

    model_config = ConfigDict(extra="forbid")
    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
    purpose: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="What for, in one word.")
    ] = None
    rows_max: Annotated[int, Field(ge=1, le=ROWS_MAX, description="How many rows at most.")] = 1_000


class StreamedQuery(Query):
    """The same, with the form of the answer."""

    form: Literal["jsonl", "arrow"] = "jsonl"


class ColumnDocument(TypedDict):
    """A column of an answer, with its ClickHouse type."""

    name: str
    type: str


class QueryDocument(TypedDict):
    """What a query returns. `cut`: there were more rows. `masked`: columns of its tables that are shown masked."""

    columns: list[ColumnDocument]
    rows: list[list[Any]]
    cut: bool
    masked: list[str]


@routes.post("/query", asks_of_each("data.query"))
def query(space: Space, query: Query) -> QueryDocument:
    """Runs one statement that reads, as far as the caller may see what it names."""
    answer = run_query(space, query.sql, purpose=query.purpose, rows_max=query.rows_max)
    return {
        "columns": [{"name": name, "type": kind} for name, kind in answer.columns],
        "rows": [list(row) for row in answer.rows],
        "cut": answer.cut,
        "masked": list(answer.masked),
    }


@routes.post(
    "/query/stream",
    asks_of_each("data.query"),
    responses={
        200: {"description": "Rows, as JSON lines or as an Arrow stream.", "content": {JSON_LINES: {}, ARROW: {}}}
    },
)
def stream_query(space: Space, query: StreamedQuery) -> Streamed:
    """The same, as JSON lines (a document for each row) or as an Arrow stream (values as JSON has them, as text)."""
    answer = run_query(space, query.sql, purpose=query.purpose, rows_max=query.rows_max)
    if query.form == "arrow":
        return Streamed(_as_arrow(answer), ARROW)
    return Streamed(_as_lines(answer), JSON_LINES)


def _as_lines(answer: QueryAnswer) -> Iterator[bytes]:
    names = [name for name, _ in answer.columns]
    for first in range(0, len(answer.rows), ROWS_AT_A_TIME):
        rows = answer.rows[first : first + ROWS_AT_A_TIME]
        yield "".join(
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str) + "\n" for row in rows
        ).encode()


def _as_arrow(answer: QueryAnswer) -> Iterator[bytes]:
    """Record batches. Columns of numbers, booleans and text are such; of others, which JSON has as lists and
    documents, the JSON text is.
    """
    table = pa.table(
        [_column([row[place] for row in answer.rows]) for place in range(len(answer.columns))],
        names=[name for name, _ in answer.columns],
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=ROWS_AT_A_TIME):
            writer.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def _column(values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and kinds <= {int, float, bool, str}:
        return pa.array(values)
    return pa.array([None if value is None else json.dumps(value, default=str) for value in values], pa.string())


def _taken(sink: io.BytesIO) -> bytes:
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
