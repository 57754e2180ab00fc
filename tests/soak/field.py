"""Where the soak takes place: a folder, two workers, runs by hand, and the engine that they share; the place of its
backups, and who hears its alerts.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.soak.feeding import Feed
from tests.soak.hearing import Ear
from tests.soak.slotting import SlotFeed
from tests.torture.processes import Client, Command, Ended, Herd

DISK_BYTES, VAULT_BYTES = 1 << 30, 1 << 28
SLOT_SECONDS = 60
READY_SECONDS_MAX = 300.0  # on a machine that others use as well
SLOTS_LAST = timedelta(minutes=40)  # beyond the end of the faults
KEPT = 4  # backups, the newest; and all that they need
OPERATIONS = ("backup create", "backup prune", "backup drill", "restore", "maintain", "alerts check")
ENTRY = "rowkeeper.cli:main"
MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Unanswered(Exception):  # noqa: N818 - what it says
    """A command that had to succeed did not."""


class Started:
    """A command under way, and where its words go."""

    def __init__(self, client: Client, command: Command) -> None:
        self.client = client
        self.command = command

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.client.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it is under way."""
        try:
            return self.client.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None


class Field:
    """All that can be struck.

    Attributes:
        small_disk: the state folder is on a disk of its own, which can be filled; so is the place of backups.
        by_slot: the pipeline of which each run is for one slot, which both workers are given.
        ear: who hears of alerts.
        alerts_seconds: how often workers look at alerts.
        crowding: how many times as long things may take, as others use the machine too.
        operating: the operation that somebody has given by hand, and which.
        awaited: operations for which somebody lies in wait.
        steady: the worker that lives as long as the soak, and is watched.
        doomed: the worker that is killed and started again.
        hand: the `rowkeeper run` that is under way by hand.
    """

    def __init__(self, folder: Path, source: random.Random, every: str, *, alerts_seconds: int = 10) -> None:
        self.folder = folder
        self.alerts_seconds = alerts_seconds
        self.disk, self.vault = folder / "disk", folder / "vault"
        self.home = self.disk / "home"  # not the volume itself, which a restore could not exchange
        self.place = self.vault / "backups"
        self.temporary = folder / "tmp"
        self.herd = Herd()
        self.small_disk = False
        self._count = 0
        merge = 'write="merge", key=["id"]'
        when = f"schedule={every!r},"
        skipping, fresh_only = f'{when} overlap="skip",', f'{when} catch_up="none", catch_up_within="30s",'
        self.of_steady = [Feed("by_csv", folder, ("csv", "csv.gz", "csv.zst", "csv.zip"), source, when=when)]
        self.of_doomed = [
            Feed("by_ndjson", folder, ("ndjson", "ndjson.zst", "ndjson.gz"), source, when=skipping),
            Feed("by_parquet", folder, ("parquet",), source, merge, fresh_only, again=0.3),
        ]
        by_month = 'partition_by="id % 3"'
        self.by_hand = [Feed("by_hand", folder, ("csv.gz", "csv.zip"), source, by_month)]
        self.crowding = 1.0
        self.by_slot = SlotFeed(folder, SLOT_SECONDS)
        self.ear = Ear(folder)
        self.steady: Started
        self.doomed: Started | None = None
        self.hand: Started | None = None
        self.operating: tuple[str, Started] | None = None
        self.awaited: set[str] = set()

    @property
    def feeds(self) -> list[Feed]:
        """All of them."""
        return [*self.of_steady, *self.of_doomed, *self.by_hand]

    @property
    def ballast(self) -> Path:
        """The file that fills the small disk."""
        return self.disk / "ballast"

    @property
    def vault_ballast(self) -> Path:
        """The file that fills the disk of backups."""
        return self.vault / "ballast"

    @contextlib.contextmanager
    def laid_out(self, lasts: timedelta = timedelta()) -> Iterator[None]:
        """Folders and pipeline files; all processes and the small disks are gone afterwards.

        Args:
            lasts: how long the faults do.
        """
        for each in (self.disk, self.vault, self.temporary):
            each.mkdir()
        self.small_disk = _mount(self.disk, DISK_BYTES) and _mount(self.vault, VAULT_BYTES)
        self.home.mkdir(mode=0o700)
        try:
            for feed in self.feeds:
                feed.declare()
            self.by_slot.declare(lasts + SLOTS_LAST)
            with self.ear.listening():
                yield
        finally:
            self.herd.kill()
            for each in (self.disk, self.vault):
                _libc.umount2(os.fsencode(each), MNT_DETACH)

    # ------------------------------------------------------------------ what is started

    def _command(self, *words: str, forked: bool, home: Path | None = None) -> Command:
        self._count += 1
        environment = {
            "ROWKEEPER_HOME": str(home or self.home),
            **({} if home else self._operations),
            "ROWKEEPER_BATCH_ROWS": "200",
            "ROWKEEPER_INSERT_ROWS": "1000",
            "ROWKEEPER_LEASE_SECONDS": "6",
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "20",
            "ROWKEEPER_WORKER_RECONCILE_SECONDS": "2",
            "ROWKEEPER_WORKER_RUN_SECONDS_MAX": "120",
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.temporary),
            "COLUMNS": "250",
        }
        argv = (sys.executable, "-m", "rowkeeper.cli", *words)
        outputs = (f"{self._count:05}.out", f"{self._count:05}.err")
        if forked:
            return Command(argv[2:], self.folder, environment, ENTRY, *outputs)
        return Command(argv, self.folder, environment, None, *outputs)

    @property
    def _operations(self) -> dict[str, str]:
        """When the workers do what."""
        return {
            "ROWKEEPER_BACKUP_TO": str(self.place),
            "ROWKEEPER_BACKUP_AFTER_RUNS": "12",
            "ROWKEEPER_BACKUP_SCHEDULE": "every 1m",
            "ROWKEEPER_BACKUP_FULL_EVERY": "3m",
            "ROWKEEPER_BACKUP_KEEP": f"{KEPT} last",
            "ROWKEEPER_BACKUP_PRUNE_SCHEDULE": "every 50s",
            "ROWKEEPER_DRILL_SCHEDULE": "every 2m",
            "ROWKEEPER_MAINTAIN_SCHEDULE": "every 80s",
            "ROWKEEPER_MAINTAIN_PARTS_MAX": "3",
            "ROWKEEPER_ALERTS_SECONDS": str(self.alerts_seconds),
            "ROWKEEPER_HEALTH_SECONDS": "90",
        }

    def start(self, *words: str, forked: bool = True) -> Started:
        """Starts a command of Rowkeeper."""
        command = self._command(*words, forked=forked)
        return Started(self.herd.start(command), command)

    def start_worker(self, feeds: list[Feed]) -> Started:
        """A worker as a service manager starts it; one of two serves the slots, the other stands by."""
        return self.start(
            "worker", *(f"{each.name}.py" for each in feeds), f"{self.by_slot.name}.py", "--json", forked=False
        )

    def is_ready(self, worker: Started) -> bool:
        """It has read its pipelines and is at work. Raises Unanswered if it ended instead."""
        if worker.status is not None:
            raise Unanswered(f"a worker ended with {worker.status}: {self._said(worker.command.errors)}")
        return '"ready"' in self._said(worker.command.output)

    def start_steady(self) -> None:
        """The steady worker, at work. Raises Unanswered if it is not in time.

        One that finds no room for its ledger as it starts ends with an error; once at work it lives through that.
        """
        self.steady, ends = self.start_worker(self.of_steady), time.monotonic() + READY_SECONDS_MAX
        while not self.is_ready(self.steady):
            if time.monotonic() > ends:
                raise Unanswered("the steady worker did not get ready")
            time.sleep(0.1)

    def _said(self, name: str) -> str:
        return (self.folder / name).read_text(errors="replace")

    def said(self, started: Started) -> Any:
        """The document of a command that has ended; None if it left none."""
        with contextlib.suppress(ValueError):
            return json.loads(self._said(started.command.output))
        return None

    def ask(self, *words: str, home: Path | None = None) -> Ended:
        """Runs a command to its end.

        Args:
            home: another state folder than that of the soak.
        """
        return self.herd.run(self._command(*words, "--json", forked=True, home=home), seconds_max=300)

    def answer(self, *words: str, home: Path | None = None) -> Any:
        """The document of a command that must succeed."""
        ended = self.ask(*words, home=home)
        if not ended.acknowledged:
            raise Unanswered(f"rowkeeper {' '.join(words)} ended with {ended.status}: {ended.errors[-1500:]}")
        return json.loads(ended.output)

    # ------------------------------------------------------------------ what can be struck

    def workers_runs(self) -> list[psutil.Process]:
        """Runs that the workers have under way."""
        return [each for each in self.herd.members() if "run" in _words(each)]

    def runs(self) -> list[psutil.Process]:
        """Those, and the one by hand."""
        found = self.workers_runs()
        if self.hand is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(self.hand.pid))
        return found

    def engine(self) -> psutil.Process | None:
        """The engine's host."""
        return next((each for each in self._hosts() if str(self.home / "engine") in _words(each)), None)

    def other_engines(self) -> list[psutil.Process]:
        """Those of folders that are being restored, or were."""
        return [each for each in self._hosts() if str(self.home / "engine") not in _words(each)]

    def _hosts(self) -> list[psutil.Process]:
        return [each for each in self.herd.members() if "rowkeeper.destinations.embedded.host" in _words(each)]

    def operations(self) -> list[tuple[str, psutil.Process]]:
        """Backups, prunes, drills and the like that are under way, by workers and by hand."""
        found = [(kind, each) for each in self.herd.members() if (kind := operation_of(_words(each)))]
        if self.operating is not None:
            kind, started = self.operating
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append((kind, psutil.Process(started.pid)))
        return found

    def end_engine_of(self, home: Path) -> None:
        """Ends the engine of another state folder, and waits until it is gone."""
        for each in self._hosts():
            if str(home / "engine") in _words(each):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
                    each.wait()

    def go_on(self) -> None:
        """Nothing stands still any more, the disks have room, and the receiver of notices is up."""
        self.ballast.unlink(missing_ok=True)
        self.vault_ballast.unlink(missing_ok=True)
        self.ear.recover()
        for each in [*self.herd.members(), *self.runs()]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.kill(each.pid, signal.SIGCONT)


def _words(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return process.cmdline()
    return []


def operation_of(words: list[str]) -> str | None:
    """Which of the operations a command line is for."""
    if "rowkeeper.cli" not in words:
        return None
    given = words[words.index("rowkeeper.cli") + 1 :]
    return next((each for each in OPERATIONS if given[: len(each.split())] == each.split()), None)


def _mount(folder: Path, size: int) -> bool:
    """A small disk at this folder, where the system lets us."""
    options = f"size={size},mode=0700".encode()
    return bool(_libc.mount(b"soak", os.fsencode(folder), b"tmpfs", 0, options) == 0)
