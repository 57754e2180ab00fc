"""Starting the product without a second's wait: forked from a process that has imported it once.

The forked process is what `rowkeeper ...` is after its imports; engines that it starts are real new processes.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# Starting a process also reaps those that have ended, in whatever thread: of two threads that read one status, one gets
# none and says 255.
_REAPING = threading.Lock()


def preload(modules: list[str]) -> None:
    """Says what the server imports; to be called before the first start."""
    _CONTEXT.set_forkserver_preload([*modules, __name__])


class Forked:
    """A command under way, with what of `subprocess.Popen` the herd uses."""

    def __init__(
        self, entry: str, argv: tuple[str, ...], folder: Path, environment: dict[str, str], files: tuple[str, str]
    ) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_become, args=(entry, list(argv), str(folder), environment, files)
        )
        with _REAPING:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired when it has not ended in `timeout` seconds."""
        wait([self._process.sentinel], timeout)
        with _REAPING:
            status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return status

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def _become(entry: str, argv: list[str], folder: str, environment: dict[str, str], files: tuple[str, str]) -> None:
    """Session, folder, environment, output and failpoints as a new process would have them; then the function."""
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for name, number in zip(files, (1, 2), strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    sys.argv = argv
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from rowkeeper.resilience.failpoints import VARIABLE, arm

    arm(environment.get(VARIABLE, ""))
    module, _, function = entry.partition(":")
    result = getattr(importlib.import_module(module), function)()
    sys.stdout.flush()
    if isinstance(result, int) and result:
        sys.exit(result)
