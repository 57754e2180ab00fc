"""The examples of docs/server.md run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.web.site import Site

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(site: Site, example: str):
    """Each command of it succeeds."""
    surroundings = os.environ | {"URL": site.url, "CA": str(site.ca), "TOKEN": site.tokens["admin"]}
    command = ["bash", "-euc", example]
    done = subprocess.run(command, check=False, env=surroundings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
