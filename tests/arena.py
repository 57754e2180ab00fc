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
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["rowkeeper.cli", "tests.arena"])
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

    @property
    def home(self) -> Path:
        return Path(self.env["ROWKEEPER_HOME"])

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def start(self, *argv: str, failpoints: str = "", env: dict[str, str] | None = None) -> Running:
        return self._start([list(argv)], failpoints, {**self.env, **(env or {})})

    def _start(self, commands: list[list[str]], failpoints: str, env: dict[str, str]) -> Running:
        self._count += 1
        base = self.folder / ".output" / str(self._count)
        base.parent.mkdir(exist_ok=True)
        process = FORKSERVER.Process(target=_child, args=(commands, env, str(self.folder), failpoints, str(base)))
        process.start()
        return Running(process, base)

    def run(self, *argv: str, failpoints: str = "", env: dict[str, str] | None = None) -> Outcome:
        return self.start(*argv, failpoints=failpoints, env=env).wait()

    def ok(self, *argv: str, failpoints: str = "") -> Any:
        """Runs a command with --json that must succeed, and returns its document."""
        outcome = self.run(*argv, "--json", failpoints=failpoints)
        assert outcome.status == 0, outcome
        return outcome.json

    def answers(self, *commands: tuple[str, ...]) -> list[Any]:
        """The documents of several commands that only look, given one after the other in one process."""
        if not commands:
            return []
        outcome = self._start([[*words, "--json"] for words in commands], "", self.env).wait()
        assert outcome.status == 0, outcome
        return [json.loads(document) for document in outcome.stdout.split(SEPARATOR)[:-1]]

    def rows(self, table: str) -> list[list[Any]]:
        """What the table holds, in a fixed order."""
        return self.ok("query", f"SELECT * FROM {table} ORDER BY ALL")["rows"]

    def host_pid(self) -> int | None:
        """The process id of the engine's host, if one is up."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes().split(b"\0")
                    if any(b"rowkeeper" in each and b"host" in each for each in argv) and any(
                        str(self.home).encode() in each for each in argv
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

    def wait(self) -> Outcome:
        self.process.join(SECONDS_MAX)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"the command did not end in {SECONDS_MAX} s: {self._read('err')}")
        return Outcome(self.process.exitcode, self._read("out"), self._read("err"))

    def _read(self, suffix: str) -> str:
        path = self.base.with_suffix("." + suffix)
        return path.read_text() if path.exists() else ""


def _child(commands: list[list[str]], env: dict[str, str], folder: str, failpoints: str, base: str) -> None:
    """Becomes the command: environment, folder, output and failpoints as a shell would have set them.

    Of several commands each but the last must succeed, and a separator follows each answer.
    """
    from rowkeeper.cli import main
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
    for argv in commands:
        sys.argv = ["rowkeeper", *argv]
        try:
            main()
        except SystemExit as leave:
            if leave.code or len(commands) == 1:
                raise
        sys.stdout.write(SEPARATOR)
