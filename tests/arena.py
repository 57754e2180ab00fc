"""Where commands are run to be killed: real processes, forked from a server that has imported everything once.

A command takes 0.1 s instead of the 1 s of a fresh interpreter, so that every failpoint, and pairs of them, can be
tried. The engine's host is a process of its own either way, and is shared by all the commands of one arena.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

import rowkeeper.cli.commands
from tests import ledgers

FORKSERVER = multiprocessing.get_context("forkserver")
TOPICS = [f"rowkeeper.cli.commands.{each.name}" for each in pkgutil.iter_modules(rowkeeper.cli.commands.__path__)]
# What commands import late: half of the processor's time of a small run, most of it for pandas, which Arrow imports.
LATER = [
    "rowkeeper.security.tinkformat",
    "rowkeeper.cli.showing",
    "rowkeeper.runs.parked",
    "rowkeeper.ledger.migrating",
    "rowkeeper.destinations.mergetree.destination",
    "rowkeeper.destinations.mergetree.session",
    "rowkeeper.destinations.embedded.written",
    "pyarrow.pandas_compat",
    "pandas",
]
FORKSERVER.set_forkserver_preload(["rowkeeper.cli", *TOPICS, *LATER, "tests.arena"])
KILLED = -signal.SIGKILL
SECONDS_MAX = 120.0
SEPARATOR = "\x1e"
INSERT_ROWS = 30  # most files have more, and are staged one by one


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclasses.dataclass
class Arena:
    """A folder with a state folder, pipeline files and their data."""

    folder: Path
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = {
            "ROWKEEPER_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "20",
            "ROWKEEPER_INSERT_ROWS": str(INSERT_ROWS),
            **self.env,
        }
        self.env = {**ledgers.surroundings(self.home), **self.env}

    @property
    def home(self) -> Path:
        return Path(self.env["ROWKEEPER_HOME"])

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def start(self, *argv: str, failpoints: str = "", env: dict[str, str] | None = None) -> Running:
        return self._start(_one, list(argv), failpoints, {**self.env, **(env or {})})

    def _start(self, work: Callable[[Any], None], words: Any, failpoints: str, env: dict[str, str]) -> Running:
        self._count += 1
        base = self.folder / ".output" / str(self._count)
        base.parent.mkdir(exist_ok=True)
        surroundings = (env, str(self.folder), failpoints, str(base))
        process = FORKSERVER.Process(target=_child, args=(work, words, *surroundings))
        process.start()
        return Running(process, base)

    def run(self, *argv: str, failpoints: str = "", env: dict[str, str] | None = None) -> Outcome:
        return self.start(*argv, failpoints=failpoints, env=env).wait()

    def ok(self, *argv: str, failpoints: str = "") -> Any:
        """Runs a command with --json that must succeed, and returns its document."""
        outcome = self.run(*argv, "--json", failpoints=failpoints)
        assert outcome.status == 0, outcome
        return outcome.json

    def together(self, *commands: tuple[str, ...]) -> list[Outcome]:
        """Runs commands one after the other in one process: what makes each of them dear is to start.

        For what leads to a state or looks at it, not for the command under test.
        """
        if not commands:
            return []
        words = [list(each) for each in commands]
        whole = self._start(_several, words, "", self.env).wait(SECONDS_MAX + len(commands))
        assert whole.status == 0, whole
        said = whole.stdout.split(SEPARATOR)[:-1]
        return [
            Outcome(int(status), printed, errors)
            for printed, status, errors in zip(said[::2], said[1::2], whole.stderr.split(SEPARATOR)[:-1], strict=True)
        ]

    def answers(self, *commands: tuple[str, ...]) -> list[Any]:
        """The documents of several commands that must succeed, given one after the other in one process."""
        outcomes = self.together(*((*words, "--json") for words in commands))
        assert not [each for each in outcomes if each.status], outcomes
        return [each.json for each in outcomes]

    def zombie(self, *argv: str, at: str, lease_seconds: int = 3) -> Running:
        """A command that stands still at a failpoint until its lease is over, and keeps nobody from the ledger.

        A process with a short lease renews it all the time. One that is stopped while a thread of it does so keeps the
        ledger locked: that is another matter, and such a one is killed, and goes on as a new one.
        """
        while True:
            running = self.start(*argv, failpoints=f"{at}=stop", env={"ROWKEEPER_LEASE_SECONDS": str(lease_seconds)})
            running.wait_stopped()
            if ledgers.can_be_written(self.home, self.ledger_url):
                return running
            running.signal(signal.SIGKILL)
            running.wait()

    def rows(self, table: str) -> list[list[Any]]:
        """What the table holds, in a fixed order."""
        return self.ok("query", f"SELECT * FROM {table} ORDER BY ALL")["rows"]

    @property
    def ledger_url(self) -> str | None:
        """None where the ledger is SQLite in the state folder."""
        return self.env.get("ROWKEEPER_LEDGER_URL")

    def by_hand(self) -> contextlib.AbstractContextManager[Any]:
        """The ledger's database, past the ledger: `with arena.by_hand() as hand: hand.execute(...)`."""
        return ledgers.by_hand(self.home, self.ledger_url)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Another process is in the midst of writing the ledger."""
        return ledgers.locked(self.home, self.ledger_url)

    def host_pid(self) -> int | None:
        """The process id of the engine's host, if one is up."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes().split(b"\0")
                    if any(b"rowkeeper" in each and b"host" in each for each in argv) and any(
                        each.startswith(f"{self.home}/".encode())
                        for each in argv  # and not of a folder beside it
                    ):
                        return int(entry.name)
        return None

    def kill_host(self) -> None:
        if pid := self.host_pid():
            os.kill(pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Running:
    """A command under way."""

    process: ForkServerProcess
    base: Path

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait_stopped(self) -> None:
        """Returns when the process has been stopped by a failpoint."""
        assert self.process.pid is not None
        deadline = time.monotonic() + SECONDS_MAX
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, self._read("err")
            assert self.process.exitcode is None, self._read("err")
            self.process.join(0.01)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, seconds_max: float = SECONDS_MAX) -> Outcome:
        self.process.join(seconds_max)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"the command did not end in {seconds_max} s: {self._read('err')}")
        return Outcome(self.process.exitcode, self._read("out"), self._read("err"))

    def _read(self, suffix: str) -> str:
        path = self.base.with_suffix("." + suffix)
        return path.read_text() if path.exists() else ""


def _become(env: dict[str, str], folder: str, failpoints: str, base: str) -> None:
    """Becomes a command: environment, folder, output and failpoints as a shell would have set them."""
    from rowkeeper.resilience.failpoints import arm

    os.environ.update(env)
    os.chdir(folder)
    for suffix, descriptor in (("out", 1), ("err", 2)):
        file = os.open(f"{base}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arm(failpoints)


def _one(argv: list[str]) -> None:
    from rowkeeper.cli import main

    sys.argv = ["rowkeeper", *argv]
    main()


def _several(commands: list[list[str]]) -> None:
    """What each printed is followed by its status."""
    for argv in commands:
        status: object = 0
        try:
            _one(argv)
        except SystemExit as leave:
            status = leave.code
        sys.stdout.write(f"{SEPARATOR}{status or 0}{SEPARATOR}")
        sys.stderr.write(SEPARATOR)


def _child(work: Callable[[Any], None], words: Any, *surroundings: str | dict[str, str]) -> None:
    _become(*surroundings)
    work(words)
