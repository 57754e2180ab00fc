"""Finding, freezing and killing the processes that a workload started, wherever they have gone.

An engine that detaches into a session of its own is found by a mark in its environment, which children inherit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.torture.forking import Forked

MARK = "ROWKEEPER_TORTURE_MARK"
KILLED = -signal.SIGKILL
HUNG = 124
HANG_SECONDS = 30.0  # a run takes 1 to 3 s, and this often when all cores are busy
POLL_SECONDS = 0.01
SETTLED_SECONDS = 5.0  # a process has an environment by then: while it is being started, it seems to have none


@dataclass(frozen=True)
class Command:
    """What to start: arguments, what the environment has besides ours, and where.

    `entry`: the function, as `module:name`, that the command ends up in; where it is given, the process is forked
    with it imported. `output`, `errors`: names of the files in the folder that take what it says.
    """

    argv: tuple[str, ...]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    entry: str | None = None
    output: str = "stdout"
    errors: str = "stderr"


Client = subprocess.Popen[str] | Forked


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status (negative: the signal; HUNG: killed after its time) and what it said."""

    status: int
    seconds: float
    output: str
    errors: str

    @property
    def acknowledged(self) -> bool:
        """It said that all is done."""
        return self.status == 0


class Herd:
    """All processes started through one mark."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self._clients: list[Client] = []
        self._strangers: set[psutil.Process] = set()  # of other people, and so they stay: looked at once

    def start(self, command: Command) -> Client:
        """Starts a command in a session of its own; its output goes to files that `finish` reads."""
        # PYTHONFAULTHANDLER prints where an engine crashed, which a status alone does not tell.
        environment = command.environment | {MARK: self._mark, "PYTHONFAULTHANDLER": "1"}
        client: Client
        if command.entry is not None:
            client = Forked(command.entry, command.argv, command.folder, environment, (command.output, command.errors))
        else:
            client = _open(command, os.environ | environment)
        self._clients.append(client)
        return client

    def finish(self, client: Client, command: Command, started: float, seconds_max: float) -> Ended:
        """Waits for a started command; after `seconds_max` all of the herd is killed and it counts as hung."""
        try:
            status = client.wait(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            self._ask_where(client)
            self.kill(keep=client)
            client.wait()
            status = HUNG
        self._clients.remove(client)
        texts = [(command.folder / name).read_text(errors="replace") for name in (command.output, command.errors)]
        return Ended(status, time.monotonic() - started, *texts)

    def run(self, command: Command, seconds_max: float = HANG_SECONDS) -> Ended:
        """Starts a command and waits for its end."""
        started = time.monotonic()
        return self.finish(self.start(command), command, started, seconds_max)

    def _ask_where(self, client: Client) -> None:
        """Lets all of a hanging command print where they stand, which SIGABRT does for Python's fault handler."""
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(timeout=5)

    def members(self) -> list[psutil.Process]:
        """Those alive now: what was started here, and whatever bears the mark."""
        started = {client.pid for client in self._clients}
        found, strangers = [], set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
                if process in self._strangers:
                    strangers.add(process)
                elif process.pid in started or self._bears_the_mark(process):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
                elif time.time() - process.create_time() > SETTLED_SECONDS:
                    strangers.add(process)
        self._strangers = strangers
        return found

    def _bears_the_mark(self, process: psutil.Process) -> bool:
        return process.environ().get(MARK) == self._mark

    def kill(self, keep: Client | None = None) -> None:
        """SIGKILL until nobody is left: one that was just being forked is met in the next round.

        All are waited for, but `keep`, whose end somebody else waits for.
        """
        while members := self.members():
            for process in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            while not all(_is_over(process) for process in members):
                time.sleep(POLL_SECONDS)
        for client in self._clients:
            if client is not keep:
                client.wait()
        self._clients = [keep] if keep is not None else []

    def freeze(self) -> None:
        """SIGSTOP until all stand still."""
        while moving := [process for process in self.members() if not _stands_still(process)]:
            for process in moving:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
            time.sleep(POLL_SECONDS)

    def someone_stopped(self) -> bool:
        """True when a member was stopped by a signal, as a failpoint set to `stop` does."""
        return any(_stands_still(process) for process in self.members())


def _open(command: Command, environment: dict[str, str]) -> subprocess.Popen[str]:
    output_file, errors_file = command.folder / command.output, command.folder / command.errors
    with output_file.open("w") as output, errors_file.open("w") as errors:
        return subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def _is_over(process: psutil.Process) -> bool:
    """Gone, or a zombie without other threads: its files are closed, though init may be slow to reap it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and len(os.listdir(f"/proc/{process.pid}/task")) == 1
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True


def _stands_still(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return False
