"""Commands while they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rowkeeper.cli.commands import PLACES, main

PROGRAM = """
import os, signal, sys

class Striking:
    def find_spec(self, name, *_):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

MODULE = sys.argv.pop(1)
sys.meta_path.insert(0, Striking())
import rowkeeper.cli
rowkeeper.cli.main()
"""
IMPORTED = """
import sys
from rowkeeper.cli import main
try:
    main()
finally:
    sys.stderr.write(" ".join(["IMPORTED", *sys.modules]))
"""


@pytest.mark.parametrize("module", ["rowkeeper.cli.commands", "asyncio", "rowkeeper.cli.render", "sqlalchemy"])
def test_ctrl_c_while_a_command_starts_prints_no_traceback(tmp_path: Path, module: str):
    """Its imports take a second, in which Python's own answer would be a traceback."""
    argv = [sys.executable, "-c", PROGRAM, module, "runs"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def imported_by(folder: Path, *words: str) -> set[str]:
    """The modules that a command has imported when it ends, having done its work."""
    env = {**os.environ, "ROWKEEPER_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    argv = [sys.executable, "-c", IMPORTED, *words]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder, env=env)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stderr.partition("IMPORTED ")[2].split())


def test_a_command_imports_what_it_needs_alone(tmp_path: Path):
    """Help is there without any of the large libraries, and a list of runs without what reads, checks and loads."""
    loading = {"polars", "clickhouse_connect", "rowkeeper.contracts.contract", "rowkeeper.runs.loading"}
    known = loading | {"pyarrow", "numpy", "pydantic", "sqlalchemy", "rowkeeper.runs.workspace"}
    assert not imported_by(tmp_path, "--help") & known
    assert not imported_by(tmp_path, "runs") & loading
    assert imported_by(tmp_path, "resume", "--help") >= known  # these are names of modules that there are


def test_the_list_of_commands_says_what_their_docstrings_say():
    """For each command the module is the right one, and the sentence is its own first one."""
    for name, (_, sentence) in PLACES.items():
        assert main.commands[name].name == name
        assert main.commands[name].get_short_help_str(limit=1000) == sentence
    assert main.list_commands(None) == sorted(PLACES)


def test_declaring_sources_brings_no_driver_along():
    """A pipeline file names sources; what reads databases and brokers is imported when they are read."""
    argv = [sys.executable, "-c", "import sys, rowkeeper.sources; print(*sys.modules)"]
    found = set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())
    assert not found & {"sqlalchemy", "psycopg", "pymysql", "confluent_kafka", "nats", "valkey", "obstore", "httpx"}
