"""Lists in pages: as many items as are asked for, and a cursor that leads to those after them.

A cursor is the number or name of the last item that was looked at, so that what is added meanwhile neither shifts a
page nor is shown twice.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

LIMIT, LIMIT_MAX = 50, 500
NUMBER_MAX = 2**31 - 1  # what every database takes

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")]
Before = Annotated[
    int | None,
    Query(
        ge=1, le=NUMBER_MAX, description="The cursor: those before this number, as `next` of the former page has it."
    ),
]
After = Annotated[
    str | None,
    Query(max_length=200, description="The cursor: those after this name, as `next` of the former page has it."),
]
RunNumber = Annotated[int, Path(ge=1, le=NUMBER_MAX, description="The number of a run.")]
PipelineName = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$", description="The name of a pipeline.")]
