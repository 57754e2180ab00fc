"""The log of a workspace: opened with it, from its settings, and told if what was done in it failed."""

from __future__ import annotations

import secrets as chance
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowkeeper import metering
from rowkeeper.errors import FrameworkError, is_fault
from rowkeeper.logs import Journal, RotatingFile, failure, file_outlet, keep, logger, stderr_outlet
from rowkeeper.logs.secrets import learn_environment, learn_url
from rowkeeper.resilience.breaker import State, Transition
from rowkeeper.resilience.course import Attempt
from rowkeeper.resilience.outcomes import Outcome
from rowkeeper.security.statefolder import StateFolder
from rowkeeper.settings import Settings

log = logger("command")
calls = logger("call")


def log_path(folder: Path) -> Path:
    """Where the log of a state folder is."""
    return folder / "logs" / "rowkeeper.log"


@contextmanager
def journal_kept(settings: Settings, folder: StateFolder) -> Iterator[None]:
    """Lines of the block go where the settings say. What fails in it is the last line."""
    learn_environment()
    if settings.ledger_url:
        learn_url(settings.ledger_url)
    file = RotatingFile(log_path(folder.path), settings.log_bytes_max) if settings.log_bytes_max else None
    outlets = [] if file is None else [file_outlet(file)]
    if settings.log_stderr != "off":
        outlets.append(stderr_outlet(settings.log_stderr))
    try:
        with keep(Journal(settings.log_level, outlets, session=chance.token_hex(4))):
            try:
                yield
            except FrameworkError as error:
                log.error("command failed", **failure(error))
                raise
            except BaseException as error:
                if is_fault(error):
                    log.error("command failed for a reason that nobody foresaw", **failure(error))
                raise
    finally:
        if file is not None:
            file.close()


def log_try(attempt: Attempt) -> None:
    """A try of a call to another machine."""
    if attempt.number > 1:
        metering.retried()
    facts = {
        "host": attempt.name.host,
        "operation": attempt.name.operation,
        "attempt": attempt.number,
        "seconds": attempt.seconds,
    }
    if attempt.outcome is None:
        calls.debug("call answered", **facts)
    elif attempt.outcome is Outcome.PERMANENT:  # nothing is done about it here: who asked decides what it means
        calls.info("call refused", outcome=attempt.outcome.value, error=attempt.error, **facts)
    else:
        calls.warning("call failed", outcome=attempt.outcome.value, error=attempt.error, **facts)


def log_breaker(told: Transition) -> None:
    """A host that is left alone from now on, tried again, or well."""
    say = calls.warning if told.after is State.OPEN else calls.info
    say(
        "breaker turned",
        host=told.name.host,
        operation=told.name.operation,
        before=told.before.value,
        after=told.after.value,
        seconds=told.seconds,
        failed=told.counts.failed,
    )
