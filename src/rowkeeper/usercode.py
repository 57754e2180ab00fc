"""The user's own code, and what it calls into: whatever it raises becomes one error of ours, without its words."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rowkeeper.errors import FrameworkError, TransformError, is_fault
from rowkeeper.logs.native import withheld


@contextmanager
def users_own(what: str, *, hint: str, placed: bool = False) -> Iterator[None]:
    """Runs code that a pipeline file brought along: a transform, a rule's or a gate's expression.

    Args:
        what: names it, as in "the transform tidy".
        placed: whether the error says in which line it was raised.

    Raises:
        TransformError: it raised, a panic of a library in Rust and `sys.exit()` included. Its words may quote values,
            and are withheld.
    """
    try:
        with withheld():
            yield
    except FrameworkError:
        raise
    except BaseException as error:
        if not is_fault(error) and not isinstance(error, SystemExit):
            raise  # somebody wants the work to end
        place = _place_of(error) if placed else ""
        raise TransformError(f"{what} raised {type(error).__name__}{place}", hint=hint) from error


def _place_of(error: BaseException) -> str:
    """Where it was raised; empty if nobody knows. The first two places are this file and whoever called."""
    frames = traceback.extract_tb(error.__traceback__)[2:]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
