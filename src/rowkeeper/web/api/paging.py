"""Lists in pages: as many items as are asked for, and a cursor that leads to those after them.

A cursor is the number or name of the last item that was shown, so that what is added meanwhile neither shifts a page
nor is shown twice.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

LIMIT, LIMIT_MAX = 50, 500
RUN_MAX = 2**53 - 1

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")]
Before = Annotated[
    int | None,
    Query(ge=1, le=RUN_MAX, description="The cursor: those before this number, as `next` of the former page has it."),
]
