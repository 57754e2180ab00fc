"""What a server's errors mean: in our words, and for whether a statement may be said again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError

from rowkeeper.destinations.embedded.client import CODE_TIMEOUT_EXCEEDED, is_answer
from rowkeeper.errors import (
    AmbiguousError,
    CircuitOpenError,
    DatabaseError,
    DeadlineExceeded,
    DiskFull,
    FrameworkError,
    RetryError,
    ServerAway,
    ServerDown,
    ServerMemory,
    ServerUnauthorised,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.deadline import exceeded, remaining
from rowkeeper.resilience.outcomes import Judgement, Outcome

REFUSALS = (OSError, urllib3.exceptions.HTTPError, ClickHouseError)
AUTHENTICATION = frozenset({192, 193, 194, 516})  # UNKNOWN_USER and its like, which older servers tell apart
ACCESS_DENIED = 497
NOT_ENOUGH_SPACE = 243
MEMORY_LIMIT_EXCEEDED = 241


class NoReplica(urllib3.exceptions.NewConnectionError):
    """No connection was made: nothing was said to anybody."""

    def __init__(self, message: str) -> None:
        urllib3.exceptions.HTTPError.__init__(self, message)


def judge(error: BaseException) -> Judgement | None:
    """Beside what is known of ClickHouse's codes: a deadline, and answers that are not ClickHouse's own.

    A proxy in front of it answers 502, 503 or 504, and nobody knows what became of the statement.
    """
    if isinstance(error, DeadlineExceeded):
        return Judgement(Outcome.AMBIGUOUS)
    if isinstance(error, ClickHouseError) and not is_answer(error) and error.__cause__ is None:
        return Judgement(Outcome.AMBIGUOUS)
    return None


CLASSIFIER = DEFAULT.with_rules(judge)


def is_unreachable(error: BaseException) -> bool:
    """Whether nobody heard a statement, so that another replica can be asked."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, urllib3.exceptions.NewConnectionError):
            return True
        at = at.__cause__ or at.__context__
    return False


@contextmanager
def told_in_our_words(name: str) -> Iterator[None]:
    """Raises what the driver said in our words, also where it was said at the last of several tries.

    Args:
        name: of the server.
    """
    try:
        yield
    except RetryError as error:
        cause = _behind(error)
        told = explain(cause, name) if isinstance(cause, REFUSALS) else cause
        if isinstance(error, AmbiguousError) and isinstance(told, ServerDown):  # it had heard the statement before
            told = _gone(name)
        raise told from (told.__cause__ if told is cause else cause)
    except REFUSALS as error:
        raise explain(error, name) from error


def _behind(error: BaseException) -> BaseException:
    at = error
    while isinstance(at, RetryError) and not isinstance(at, (CircuitOpenError, DeadlineExceeded)) and at.__cause__:
        at = at.__cause__
    return at


def explain(error: Exception, name: str) -> FrameworkError:
    """What the driver raised, in our words; without values, which ClickHouse likes to quote."""
    code = getattr(error, "code", None)
    left = remaining()
    if left is not None and (code == CODE_TIMEOUT_EXCEEDED or left <= 0):
        return exceeded()
    if code == CODE_TIMEOUT_EXCEEDED:
        return ServerAway(
            f"a statement did not come to its end in time on the ClickHouse server {name}, or not on all of its hosts",
            hint="with a cluster every host must be up: see system.distributed_ddl_queue; then run again",
            context={"clickhouse": "TIMEOUT_EXCEEDED"},
        )
    if is_unreachable(error):
        return ServerDown(
            f"the ClickHouse server {name} cannot be reached",
            hint="see whether it is up and listens there; rowkeeper doctor tries it",
        )
    if not is_answer(error):
        return _gone(name)
    said = getattr(error, "name", None) or f"code {code}"
    return _refusal(code, said, name)


def _gone(name: str) -> ServerAway:
    return ServerAway(
        f"the ClickHouse server {name} went away in mid-work, or what stands before it did not answer for it",
        hint="run again: what was staged is kept, and the next command finds out what took effect",
    )


def _refusal(code: int | None, said: str, name: str) -> FrameworkError:
    context = {"clickhouse": said}
    if code == NOT_ENOUGH_SPACE:
        return DiskFull(f"the ClickHouse server {name} has no room left on its disk", hint="free some, and run again")
    if code == MEMORY_LIMIT_EXCEEDED:
        return ServerMemory(
            f"the ClickHouse server {name} would have needed more memory than it may take",
            hint="let its user have more (max_memory_usage), or load less at a time (ROWKEEPER_INSERT_ROWS)",
            context=context,
        )
    if code in AUTHENTICATION:
        return ServerUnauthorised(
            f"the ClickHouse server {name} does not take our credentials",
            hint="see to the user in the URL, and to what its password refers to",
            context=context,
        )
    if code == ACCESS_DENIED:
        return ServerUnauthorised(
            f"our user may not do this on the ClickHouse server {name}",
            hint="docs/clickhouse-server.md lists what it needs to be granted",
            context=context,
        )
    return DatabaseError(
        f"the ClickHouse server {name} refused: {said}",
        hint="its own log says more; --debug shows what was called",
        context=context,
    )
