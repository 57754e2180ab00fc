"""What rides along: names that stand on every line from here on, in this thread and those that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bound_contextvars

from rowkeeper.errors import FrameworkError


@contextmanager
def about(**names: object) -> Iterator[None]:
    """Puts these names on the lines of the block. An error that leaves it carries them in its context.

    They lie in structlog's context variables, so a program that logs with structlog has them on its own lines as well.
    A thread has them if it runs in a copy of the context of whoever starts it (`contextvars.copy_context`).
    """
    with bound_contextvars(**names):
        try:
            yield
        except FrameworkError as error:
            error.raised_about(names)
            raise
