"""The examples of docs/server.md run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arena import Arena
from tests.web.site import Site

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Somebody's who reads the page: other tests take back what ran in theirs."""
    made = Site(Arena(tmp_path_factory.mktemp("reader")))
    made.prepare()
    made.admit(("admin",))
    made.start()
    yield made
    made.stop()
    made.arena.kill_host()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(reader: Site, example: str):
    """Each command of it succeeds."""
    surroundings = os.environ | {"URL": reader.url, "CA": str(reader.ca), "TOKEN": reader.tokens["admin"]}
    command = ["bash", "-euc", example]
    done = subprocess.run(command, check=False, env=surroundings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
