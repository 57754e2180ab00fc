"""docs/security-tls.md: its examples run, and the tests and files that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.arena import Arena

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security-tls.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def test_the_commands_run(own_arena: Arena):
    """In the order of the page, each with status 0."""
    (text,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "console"]
    for line in text.splitlines():
        outcome = own_arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
        assert outcome.status == 0, (line, outcome)


def test_the_snippet_runs():
    """As it stands."""
    (text,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]
    names: dict[str, object] = {}
    exec(text, names)
    assert names["internal"]
