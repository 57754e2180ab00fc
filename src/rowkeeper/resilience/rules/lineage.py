"""Knowing a driver's exception without importing the driver."""

from __future__ import annotations


def lineage(error: BaseException) -> set[str]:
    """The full names of an exception's class and of all that it is derived from: `urllib3.exceptions.ProtocolError`."""
    return {f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__}


def number(error: BaseException, *names: str) -> int | None:
    """The first of these attributes that is a number."""
    for name in names:
        value = getattr(error, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
