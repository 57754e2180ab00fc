"""Files that answer with an error now and are there in a moment: a network mount that is away, a disk that is busy.

What is asked of the files goes the one way that calls go. A partition that breaks off is read on from the row after the
last batch, by opening it anew; that it is still the file that the plan saw is looked at each time.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from rowkeeper.batch import Batch
from rowkeeper.errors import CircuitOpenError, DeadlineExceeded, RetryError, SourceError
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.classifying import Classifier
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.policy import Resilience, Retry

T = TypeVar("T")

# A batch takes as long as it takes, and a disk that is slow is not left alone for it.
FILES = Resilience(
    retry=Retry(attempts=3, wait_seconds_initial=0.2, wait_seconds_max=2.0, attempt_seconds_max=None),
    breaker=None,
    deadline_seconds=None,
)
PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOTCONN,
        errno.EREMOTEIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def judge_files(error: BaseException) -> Judgement | None:
    """An error of the system that may pass; what is missing, damaged or changed stays so."""
    if isinstance(error, OSError):
        return Judgement(Outcome.TRANSIENT if error.errno in PASSING else Outcome.PERMANENT)
    return None


FILE_ERRORS = Classifier((judge_files,))


def asked(line: Line, function: Callable[[], T]) -> T:
    """The answer of one call. Raises SourceError as the last try raised it; DeadlineExceeded if the time is over."""
    try:
        return line.call(function, effect=Effect.READ)
    except DeadlineExceeded:
        raise
    except CircuitOpenError as error:
        raise SourceError(error.what, hint=error.hint) from error
    except RetryError as error:
        if isinstance(error.__cause__, SourceError):
            raise error.__cause__ from error.__cause__.__cause__
        raise


def read_on(line: Line, read: Callable[[int], Iterator[Batch]], start_row: int) -> Generator[Batch]:
    """The batches of a partition, opened anew after an error that may pass.

    Args:
        read: the batches from a row on.
    """
    row = start_row
    batches: Iterator[Batch] | None = None

    def following() -> Batch | None:
        nonlocal batches
        if batches is None:
            batches = read(row)
        try:
            return next(batches, None)
        except Exception:
            batches = None
            raise

    try:
        while (batch := asked(line, following)) is not None:
            row = batch.next_row
            yield batch
    finally:
        if isinstance(batches, Generator):
            batches.close()
