"""What starts runs from outside: the line of the crontab, and the commands of DAG and asset, given as they stand."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.arena import Arena

EXAMPLES = Path(__file__).parents[2] / "examples" / "integrations"
BIN = Path(sys.executable).parent
DAY = datetime(2025, 11, 1, tzinfo=UTC)


def prepare(arena: Arena, day: str) -> None:
    shutil.copy(EXAMPLES / "orders.py", arena.folder)
    arena.write(f"orders/{day}.csv", "id,amount\n1,5\n2,-1\n")


def committed(arena: Arena) -> list[int]:
    return [each["account"]["committed"] for each in arena.ok("runs", "--pipeline", "orders")["runs"]]


def test_the_line_of_the_crontab_loads_the_day_before(own_arena: Arena):
    """Through the shell that cron uses, `\\%` as cron reads it; given again it loads nothing."""
    lines = [each for each in (EXAMPLES / "orders.crontab").read_text().splitlines() if not each.startswith("#")]
    (entry,) = [each for each in lines if each[0].isdigit()]
    command = entry.split(maxsplit=5)[5].replace("\\%", "%")
    yesterday = subprocess.run(["date", "-u", "-d", "yesterday", "+%F"], capture_output=True, text=True, check=True)
    prepare(own_arena, yesterday.stdout.strip())
    env = {**os.environ, **own_arena.env, "ORDERS": str(own_arena.folder), "PATH": f"{BIN}:/usr/bin:/bin"}
    for _ in range(2):
        done = subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
    assert sorted(committed(own_arena)) == [0, 1]


def command_of(file: str) -> Callable[[datetime, datetime], list[str]]:
    """The function of an example that makes its command, without what the example imports."""
    (function,) = [
        node
        for node in ast.parse((EXAMPLES / file).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "command"
    ]
    names: dict[str, Any] = {"datetime": datetime, "ROWKEEPER": str(BIN / "rowkeeper")}
    exec(compile(ast.Module([function], []), file, "exec"), names)
    return names["command"]


@pytest.mark.parametrize("file", ["airflow_dag.py", "dagster_assets.py"])
def test_the_command_of_an_orchestrator_loads_its_interval(file: str, own_arena: Arena):
    """The file is Python, and what it starts loads the day that it names."""
    compile((EXAMPLES / file).read_text(), file, "exec")
    prepare(own_arena, "2025-11-01")
    words = command_of(file)(DAY, datetime(2025, 11, 2, tzinfo=UTC))
    env = {**os.environ, **own_arena.env}
    done = subprocess.run(words, cwd=own_arena.folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert committed(own_arena) == [1]
