"""Named points at which a test may kill, stop or fail the process.

A failpoint stands at every change of state: `failpoint("publish.after_exchange")`. In production each costs
one look-up in an empty dictionary. Tests set `ROWKEEPER_FAILPOINTS`:

    publish.after_exchange=kill          SIGKILL at the first pass
    stage.after_insert=kill@3            at the third pass
    ledger.before_commit=raise           raises `FailpointError`
    stage.before_insert=stop             SIGSTOP: a zombie in the making
    *=log:/path/to/file                  appends the name of every point passed, to enumerate them
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

VARIABLE = "ROWKEEPER_FAILPOINTS"


class FailpointError(OSError):
    """What a failpoint set to `raise` raises: an error of the environment, like any other OSError."""


def _parse(text: str) -> dict[str, tuple[str, int]]:
    """`a=kill@3,b=raise` to {a: (kill, 3), b: (raise, 1)}."""
    armed = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = item.partition("=")
        action, _, nth = action.partition("@")
        armed[name] = (action, int(nth or 1))
    return armed


_armed = _parse(os.environ.get(VARIABLE, ""))
_passes: Counter[str] = Counter()


def arm(text: str) -> None:
    """Arms failpoints in a process that has imported this module already, forgetting former passes."""
    _armed.clear()
    _armed.update(_parse(text))
    _passes.clear()


def failpoint(name: str) -> None:
    """Marks a change of state. Does nothing unless a test has armed this name."""
    if _armed:
        _strike(name)


def _strike(name: str) -> None:
    if "*" in _armed:
        path = Path(_armed["*"][0].removeprefix("log:"))
        with path.open("a") as log:
            log.write(name + "\n")
    if name not in _armed:
        return
    action, nth = _armed[name]
    _passes[name] += 1
    if _passes[name] != nth:
        return
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            # To this thread: sent to the process, another thread may take it while this one goes on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        case "raise":
            raise FailpointError(f"failpoint {name}")
        case _:
            raise ValueError(f"{VARIABLE}: unknown action {action!r} for {name!r}")
