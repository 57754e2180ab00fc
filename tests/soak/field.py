"""Where the soak takes place: a folder, two workers, runs by hand, and the engine that they share."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.soak.feeding import Feed
from tests.torture.processes import Client, Command, Ended, Herd

DISK_BYTES = 1 << 30
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
        small_disk: the state folder has a disk of its own, which can be filled.
        steady: the worker that lives as long as the soak, and is watched.
        doomed: the worker that is killed and started again.
        hand: the `rowkeeper run` that is under way by hand.
    """

    def __init__(self, folder: Path, source: random.Random, every: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.temporary = folder / "tmp"
        self.herd = Herd()
        self.small_disk = False
        self._count = 0
        merge = 'write="merge", key=["id"]'
        self.of_steady = [Feed("by_csv", folder, ("csv", "csv.gz", "csv.zst", "csv.zip"), source, schedule=every)]
        self.of_doomed = [
            Feed("by_ndjson", folder, ("ndjson", "ndjson.zst", "ndjson.gz"), source, schedule=every),
            Feed("by_parquet", folder, ("parquet",), source, merge, every, again=0.3),
        ]
        by_month = 'partition_by="id % 3"'
        self.by_hand = [Feed("by_hand", folder, ("csv.gz", "csv.zip"), source, by_month)]
        self.steady: Started
        self.doomed: Started | None = None
        self.hand: Started | None = None

    @property
    def feeds(self) -> list[Feed]:
        """All of them."""
        return [*self.of_steady, *self.of_doomed, *self.by_hand]

    @property
    def ballast(self) -> Path:
        """The file that fills the small disk."""
        return self.home / "ballast"

    @contextlib.contextmanager
    def laid_out(self) -> Iterator[None]:
        """Folders and pipeline files; all processes and the small disk are gone afterwards."""
        self.home.mkdir(mode=0o700)
        self.temporary.mkdir()
        self.small_disk = _mount(self.home)
        try:
            for feed in self.feeds:
                feed.declare()
            yield
        finally:
            self.herd.kill()
            if self.small_disk:
                _libc.umount2(os.fsencode(self.home), MNT_DETACH)

    # ------------------------------------------------------------------ what is started

    def _command(self, *words: str, forked: bool) -> Command:
        self._count += 1
        environment = {
            "ROWKEEPER_HOME": str(self.home),
            "ROWKEEPER_BATCH_ROWS": "200",
            "ROWKEEPER_INSERT_ROWS": "1000",
            "ROWKEEPER_LEASE_SECONDS": "6",
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "20",
            "ROWKEEPER_WORKER_RECONCILE_SECONDS": "2",
            "ROWKEEPER_WORKER_RUN_SECONDS_MAX": "40",
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.temporary),
            "COLUMNS": "250",
        }
        argv = (sys.executable, "-m", "rowkeeper.cli", *words)
        outputs = (f"{self._count:05}.out", f"{self._count:05}.err")
        if forked:
            return Command(argv[2:], self.folder, environment, ENTRY, *outputs)
        return Command(argv, self.folder, environment, None, *outputs)

    def start(self, *words: str, forked: bool = True) -> Started:
        """Starts a command of Rowkeeper."""
        command = self._command(*words, forked=forked)
        return Started(self.herd.start(command), command)

    def start_worker(self, feeds: list[Feed]) -> Started:
        """A worker as a service manager starts it."""
        return self.start("worker", *(f"{feed.name}.py" for feed in feeds), "--json", forked=False)

    def is_ready(self, worker: Started) -> bool:
        """It has read its pipelines and is at work. Raises Unanswered if it ended instead."""
        if worker.status is not None:
            raise Unanswered(f"a worker ended with {worker.status}: {self._said(worker.command.errors)}")
        return '"ready"' in self._said(worker.command.output)

    def _said(self, name: str) -> str:
        return (self.folder / name).read_text(errors="replace")

    def ask(self, *words: str) -> Ended:
        """Runs a command to its end."""
        return self.herd.run(self._command(*words, "--json", forked=True), seconds_max=120)

    def answer(self, *words: str) -> Any:
        """The document of a command that must succeed."""
        ended = self.ask(*words)
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
        hosts = [each for each in self.herd.members() if "rowkeeper.destinations.embedded.host" in _words(each)]
        return hosts[0] if hosts else None

    def go_on(self) -> None:
        """Nothing stands still any more, and the disk has room."""
        self.ballast.unlink(missing_ok=True)
        for each in [*self.herd.members(), *self.runs()]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.kill(each.pid, signal.SIGCONT)


def _words(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return process.cmdline()
    return []


def _mount(folder: Path) -> bool:
    """A small disk at this folder, where the system lets us."""
    options = f"size={DISK_BYTES},mode=0700".encode()
    return bool(_libc.mount(b"soak", os.fsencode(folder), b"tmpfs", 0, options) == 0)
