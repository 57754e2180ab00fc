"""Starts the faulty filesystem, arms it, and always unmounts it."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.torture.faults import Fault, Mode, Tally

REPOSITORY = Path(__file__).resolve().parents[2]
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def why_no_fuse() -> str | None:
    """Why the faulty filesystem cannot be mounted here, None where it can."""
    if os.geteuid() != 0:
        return "needs root to mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs /dev/fuse"
    if not (ctypes.util.find_library("fuse3") or ctypes.util.find_library("fuse")):
        return "needs libfuse: apt-get install libfuse3-3"
    return None


def detach(mountpoint: Path) -> None:
    """Unmounts at once, whoever still uses it; does nothing where nothing is mounted."""
    _libc.umount2(os.fsencode(mountpoint), _MNT_DETACH)


class FaultyFolder:
    """`mountpoint` shows what is in `backing`, through the faulty filesystem, while the context lasts.

    The process that arms it must not touch the mount point while a killing fault is armed: it would be among
    those that came by.
    """

    def __init__(self, backing: Path, mountpoint: Path) -> None:
        self._backing = backing
        self.mountpoint = mountpoint
        self._control = mountpoint.with_name(mountpoint.name + ".control")
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        detach(self.mountpoint)
        for folder in (self._backing, self.mountpoint):
            folder.mkdir(parents=True, exist_ok=True)
        self._control.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.torture.faultfs"]
        places = [str(place) for place in (self._backing, self.mountpoint, self._control)]
        self._server = subprocess.Popen(
            command + places,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C, and a kill of our group, are not for it: it is to unmount
        )
        assert self._server.stdout is not None
        if self._server.stdout.readline() != "ready\n":
            self.__exit__(None, None, None)
            raise OSError(f"the faulty filesystem did not come up at {self.mountpoint}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server = self._server
        if server is not None:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.close()
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()
        detach(self.mountpoint)
        self._control.unlink(missing_ok=True)

    def _tell(self, command: dict[str, Any]) -> Tally:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as line:
            line.settimeout(30)
            line.connect(str(self._control))
            with line.makefile("rw") as lines:
                lines.write(json.dumps(command) + "\n")
                lines.flush()
                return Tally.from_json(json.loads(lines.readline()))

    def arm(self, fault: Fault) -> None:
        """Starts to count from 0, with this fault ahead."""
        self._tell({"do": "arm", "fault": fault.as_json()})

    def calm(self) -> Tally:
        """No fault any more; says what was counted since it was armed."""
        return self._tell({"do": "calm"})

    def count(self) -> None:
        """Starts to count from 0, with no fault ahead."""
        self.arm(Fault(Mode.COUNT))
