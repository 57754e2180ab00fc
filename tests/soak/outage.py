"""Everything is stopped, the live state is restored to an earlier run, and everything is started again.

The restore itself is killed some times before it may end. What it took away is loaded again by the workers, but for the
slots that had been answered: of those the runs are given by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from datetime import UTC

from tests.soak.field import Field
from tests.soak.judging import Verdict
from tests.soak.operating import Operator, runs_in
from tests.soak.slotting import SlotSeen, taken_back
from tests.soak.tripping import Tripwire

KILLS_MAX = 2
RESTORE_SECONDS = 4.0
STOP_SECONDS_MAX = 15.0
ASIDE = ".before-restore-"


@dataclasses.dataclass
class Outage:
    """Restores the live state.

    Attributes:
        restored: how often it was.
        killed: how often a restore was killed before; `killed_now`: the last one.
        again: slots that were run again by hand.
    """

    field: Field
    source: random.Random
    operator: Operator
    tripwire: Tripwire
    verdict: Verdict
    restored: int = 0
    killed: int = 0
    killed_now: int = 0
    again: int = 0

    def take_place(self) -> bool:
        """All of it, the start of the steady worker included. Returns whether there was a run to go back to."""
        field, began = self.field, time.monotonic()
        field.go_on()
        self.operator.stop()
        runs = runs_in(field)
        if not runs:
            return False
        self._stop_everything()
        run = self.source.choice(runs)
        if self._restore(run):
            self.restored += 1
            self.operator.judge_restored(field.home)
        for aside in field.disk.glob(f"{field.home.name}{ASIDE}*"):
            self.verdict.restores_wrong += not (aside / "ledger.sqlite").exists()
            shutil.rmtree(aside)  # as a person does
        self._answer_slots()
        field.start_steady()
        field.ear.miss(began, time.monotonic())
        self.tripwire.again()
        return True

    def _stop_everything(self) -> None:
        """Workers are told to; whatever is still there then is killed."""
        field = self.field
        for worker in (field.steady, field.doomed):
            if worker is not None and worker.status is None:
                os.kill(worker.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = field.steady.client.wait(timeout=STOP_SECONDS_MAX * self.field.crowding)
            if status != 0:
                self.verdict.surprises += 1
                self.verdict.notes.append(f"the steady worker ended with {status} before a restore")
        field.herd.kill()
        field.doomed = field.hand = None

    def _restore(self, run: int) -> bool:
        self.killed_now = 0
        words = ("restore", "--to", str(run), "--force", "--json")
        for _ in range(self.source.randint(0, KILLS_MAX)):
            started = self.field.start(*words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.client.wait(timeout=self.source.uniform(0.2, RESTORE_SECONDS))
            if started.status is None:
                os.kill(started.pid, signal.SIGKILL)
                started.client.wait()
                self.killed, self.killed_now = self.killed + 1, self.killed_now + 1
        ended = self.field.ask(*words[:-1])
        if ended.acknowledged:
            return True
        self.verdict.operations_failed += 1
        self.verdict.notes.append(f"restore --to {run} --force: {(ended.errors or ended.output)[-500:]}")
        return False

    def _answer_slots(self) -> None:
        """Of each slot whose rows are gone the run is given again."""
        with contextlib.closing(sqlite3.connect(self.field.home / "ledger.sqlite")) as ledger:
            gone = taken_back(ledger, self.field.by_slot.name)
        for each in gone:
            ended = self.field.ask("run", f"{self.field.by_slot.name}.py", "--slot", _told(each))
            self.again += ended.acknowledged
            if not ended.acknowledged:
                self.verdict.operations_failed += 1
                self.verdict.notes.append(f"run --slot {_told(each)}: {(ended.errors or ended.output)[-500:]}")


def _told(slot: SlotSeen) -> str:
    return "/".join(at.replace(tzinfo=UTC).isoformat() for at in (slot.since, slot.until))
