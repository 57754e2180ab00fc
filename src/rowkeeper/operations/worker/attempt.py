"""A piece of work in a process of its own: started, watched, asked to stop, killed; its answer is a JSON document."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Protocol

from rowkeeper.ledger import Started

STOP_SECONDS = 10.0  # what a command needs to finish its batch, and a little more


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How it ended.

    Attributes:
        status: of the process; negative: the signal that killed it; None: it was another's child, nobody knows.
        document: its answer, if it gave one.
        hung: it was over its time, and was stopped.
    """

    status: int | None
    document: dict[str, Any] | None
    hung: bool


class Attempt(Protocol):
    """What the worker needs of a piece of work under way."""

    pid: int

    def ended(self) -> Ended | None:
        """How it ended; None while it has not. One that is over its time is told to stop, then killed."""

    def stop(self) -> None:
        """Tells it to stop: it finishes its batch."""

    def kill(self) -> None:
        """Ends it at once, with its children."""


class _Limits:
    """Time for the work, then time to stop, then none."""

    def __init__(self, seconds_max: float) -> None:
        self.ends_at = time.monotonic() + seconds_max
        self.hung = False

    def enforce(self, attempt: Attempt) -> None:
        if time.monotonic() < self.ends_at:
            return
        if self.hung:
            attempt.kill()
            return
        self.hung = True
        self.ends_at = time.monotonic() + STOP_SECONDS
        attempt.stop()


class Child:
    """A command of ours. It leads a group of its own, so that Ctrl-C is the worker's to pass on.

    Args:
        answers: it ends with one document, which is kept; what one that goes on for ever says is not.
        quiet: what it says on standard error is not passed on.
    """

    def __init__(self, words: Sequence[str], seconds_max: float, *, answers: bool = True, quiet: bool = False) -> None:
        self._limits = _Limits(seconds_max)
        self._ended: Ended | None = None
        self._answer = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this call; nameless, so nothing is left of it
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rowkeeper.cli", *words, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=self._answer if answers else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if quiet else None,
                start_new_session=True,
            )
        except OSError:
            self._answer.close()
            raise
        self.pid = self._process.pid

    def ended(self) -> Ended | None:
        """Implements Attempt."""
        if self._ended is not None:
            return self._ended
        if self._process.poll() is None:
            self._limits.enforce(self)
            return None
        with self._answer:
            self._answer.seek(0)
            document = _document(self._answer.read())
        self._ended = Ended(self._process.returncode, document, self._limits.hung)
        return self._ended

    def wait(self, seconds: float) -> None:
        """Returns when it has ended, or after so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self) -> None:
        """Implements Attempt."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Implements Attempt. Until it is waited for, the group's number is surely its own."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


class Orphan:
    """The child of a worker that is dead, found by what that one noted: watched like one's own until it ends."""

    def __init__(self, started: Started, seconds_max: float) -> None:
        self._started = started
        self._limits = _Limits(seconds_max)
        self.pid = started.pid

    def ended(self) -> Ended | None:
        """Implements Attempt."""
        if self._started.process() is None:
            return Ended(None, None, self._limits.hung)
        self._limits.enforce(self)
        return None

    def stop(self) -> None:
        """Implements Attempt."""
        process = self._started.process()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Implements Attempt."""
        process = self._started.process()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _document(answer: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(answer)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
