"""Subprocesses within the deadline, their children included."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from rowkeeper.errors import DeadlineExceeded
from rowkeeper.resilience.deadline import exceeded, seconds_left


def run_within(
    args: Sequence[str], *, input: bytes | None = None, seconds_max: float | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program, captures what it says, and kills it with all its children when the time is over.

    `subprocess.run(timeout=...)` kills the child alone and then waits for whoever still holds its pipes: a grandchild
    makes it wait for ever. Here the child leads a group of its own.

    Args:
        seconds_max: a limit of its own, besides the deadline.
        options: for `subprocess.Popen`.

    Raises:
        DeadlineExceeded: the time was over. What it did until then is not known.
        OSError: it could not be started.
    """
    limit = seconds_left(seconds_max)
    program = subprocess.Popen(
        args,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    with program:
        try:
            said, complained = program.communicate(input, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise _stopped(args) from error
        finally:
            _end(program)
    return subprocess.CompletedProcess(list(args), program.returncode, said, complained)


def _end(program: subprocess.Popen[bytes]) -> None:
    """Kills the group while its leader is not yet waited for: only until then is the number surely still its own."""
    if program.returncode is None:
        os.killpg(program.pid, signal.SIGKILL)


def _stopped(args: Sequence[str]) -> DeadlineExceeded:
    error = exceeded()
    return DeadlineExceeded(f"{args[0]} was stopped: {error.what}", hint=error.hint, context={"program": args[0]})
