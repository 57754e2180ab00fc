"""The process of a job: `python -m rowkeeper.web.jobs.child`, started by the server, told on its standard input.

It is a command like others: it opens the workspace itself, it may be stopped, killed, started again. On its standard
output it tells how it goes on, a JSON document on a line each; what the user's own code prints goes to standard error.
On whose behalf it works stands in what it is told: whoever could tell it something else runs as the owner of the state
folder, and needs no such way.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from rowkeeper.caller import Caller, acting
from rowkeeper.errors import FrameworkError, RunInterrupted, UnknownError, is_fault
from rowkeeper.ledger import JobOrder
from rowkeeper.logs import about
from rowkeeper.logs.failure import document
from rowkeeper.logs.foreign import hear_libraries
from rowkeeper.logs.secrets import learn_environment
from rowkeeper.operations.configuring import read_settings
from rowkeeper.operations.metrics.textfile import write_after_runs
from rowkeeper.runs.interrupt import SIGNALS, Strike
from rowkeeper.runs.last_resort import LastResort
from rowkeeper.runs.reaching import guard_process
from rowkeeper.runs.report import Progress
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.jobs.works import WORKS

TOLD_EVERY_SECONDS = 0.25
STOPPED = "the job was stopped"

CALLER: TypeAdapter[Caller] = TypeAdapter(Caller)
ORDER: TypeAdapter[JobOrder] = TypeAdapter(JobOrder)


def told_to(id: str, order: JobOrder, caller: Caller) -> bytes:
    """What the process reads."""
    words = {
        "id": id,
        "order": ORDER.dump_python(order, mode="json"),
        "caller": CALLER.dump_python(caller, mode="json"),
    }
    return json.dumps(words).encode()


class _Voice:
    """Standard output as it was, for us alone."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._told_at = 0.0
        self._step = ""

    def __call__(self, progress: Progress) -> None:
        """Observes a run: a line for each step, and some between them."""
        now = time.monotonic()
        if progress.step == self._step and now - self._told_at < TOLD_EVERY_SECONDS:
            return
        self._step, self._told_at = progress.step, now
        told = {**dataclasses.asdict(progress), "account": progress.account.as_dict()}
        del told["partition"]  # a path, which may name a person
        self.say("progress", told)

    def say(self, name: str, data: Mapping[str, Any]) -> None:
        """One line, whole."""
        line = json.dumps({"event": name, "data": data}, ensure_ascii=False, default=str) + "\n"
        os.write(self._descriptor, line.encode())  # in one piece up to the pipe's size; its reader never stops reading


def main() -> int:
    """Does the work, and tells."""
    voice = _Voice()

    def leave(words: str) -> None:
        voice.say("failed", {"stopped": True, **document(RunInterrupted(words.partition(";")[0]))})
        os._exit(1)

    strike = Strike()
    for number in SIGNALS:
        signal.signal(number, strike)
    LastResort(leave).stand_by()
    try:
        hear_libraries()
        learn_environment()
        words = json.load(sys.stdin.buffer)
        voice.say("done", _worked(words, voice))
    except KeyboardInterrupt:
        stopped = RunInterrupted(STOPPED, hint="ask for it again: it goes on where it stopped")
        voice.say("failed", {"stopped": True, **document(stopped)})
    except FrameworkError as error:
        kept = {key: error.context[key] for key in ("run", "status") if key in error.context}  # of a held run
        voice.say("failed", {"stopped": isinstance(error, RunInterrupted), **document(error), **kept})
    except BaseException as error:
        if not is_fault(error):
            raise
        voice.say("failed", {"stopped": False, **document(UnknownError.of(error))})
    else:
        return 0
    return 1


def _worked(words: Mapping[str, Any], voice: _Voice) -> dict[str, Any]:
    order, caller = ORDER.validate_python(words["order"]), CALLER.validate_python(words["caller"])
    settings = read_settings()
    guard_process(settings)
    with about(operation=words["id"]), acting(caller), Workspace.open(settings) as space:
        try:
            return WORKS[order.work](order, space, voice)
        finally:
            write_after_runs(space)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads of native code may be anywhere; what was to be written is
