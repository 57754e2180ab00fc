"""What the process's guard lets pass unasked: look-ups and connections of the gateway, which has checked them."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

_checked: contextvars.ContextVar[bool] = contextvars.ContextVar("rowkeeper_egress_checked", default=False)


@contextmanager
def checked() -> Iterator[None]:
    """The body looks up and connects to what was checked already. It calls nobody else's code."""
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def is_checked() -> bool:
    """Whether this thread is in such a body."""
    return _checked.get()
