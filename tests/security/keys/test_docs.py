"""The examples of docs/security-keys.md run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.arena import Arena
from tests.security.keys.test_commands import BAD, PIPELINE, add

PAGE = Path(__file__).parents[3] / "docs" / "security-keys.md"


def test_the_commands_of_the_page_run(own_arena: Arena):
    """In their order, in a state folder with a run; its rows are read afterwards."""
    own_arena.write("p.py", PIPELINE)
    add(own_arena, 0)
    own_arena.ok("run", "p.py")
    block = re.search(r"## Look after them\n\n```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        words = line.removeprefix("$ rowkeeper ").replace("/tmp/rowkeeper-docs", str(own_arena.folder))
        assert own_arena.run(*shlex.split(words)).status == 0, line
    assert len(own_arena.rows("people")) == 100
    assert BAD in own_arena.run("quarantine", "show", "1").stdout
