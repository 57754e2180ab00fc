"""Commands while they start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys

class Striking:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Striking())
import rowkeeper.cli
"""


@pytest.mark.parametrize("module", ["rowkeeper.cli.commands", "asyncio", "rowkeeper.cli.render"])
def test_ctrl_c_while_a_command_starts_prints_no_traceback(tmp_path: Path, module: str):
    """Its imports take a second, in which Python's own answer would be a traceback."""
    argv = [sys.executable, "-c", PROGRAM, module]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
