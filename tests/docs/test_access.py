"""docs/access.md: its commands run, in order, and its table is what the permissions answer."""

from __future__ import annotations

import shlex

from tools.matrix import TARGET, page

from tests.arena import Arena
from tests.docs.examples import blocks


def test_the_matrix_is_of_today():
    """python -m tools.matrix writes it."""
    assert TARGET.read_text() == page(TARGET.read_text())


def test_the_commands_of_the_page_run(own_arena: Arena):
    """Each does what it says; the one that asks for something forbidden says no."""
    commands = []
    for kind, name, text in blocks("docs/access.md"):
        if name:
            file = own_arena.write(name, text)
            file.chmod(0o600)
            file.parent.chmod(0o700)
        if kind == "console":
            commands += [tuple(shlex.split(line.removeprefix("$ rowkeeper "))) for line in text.splitlines()]
    own_arena.env["ROWKEEPER_ACCESS_POLICIES"] = "policies"
    refused = ("access", "why", "ann", "run.rollback", "run:billing/12")
    for words, outcome in zip(commands, own_arena.together(*commands), strict=True):
        assert outcome.status == (1 if words == refused else 0), (words, outcome)
