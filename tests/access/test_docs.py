"""docs/access-enforcement.md: the commands, tests and codes that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from rowkeeper.access.entries import ENTRIES, OWN
from tests.arena import Arena

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "access-enforcement.md").read_text()
AUDIT = (ROOT / "docs" / "audit.md").read_text()


def test_the_commands_run(arena: Arena):
    """Each with status 0."""
    commands = re.findall(r"^    rowkeeper (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert [each.status for each in arena.together(*(tuple(shlex.split(each)) for each in commands))] == [0, 0]


def test_every_entry_is_in_the_table_of_the_trail():
    """Whoever reads the trail can look up what an entry means."""
    told = re.sub(r"`(\w+)\.\w+`(?:, `\.\w+`)+", lambda found: found[0].replace("`.", f"`{found[1]}."), AUDIT)
    entries = {*OWN, *(each for several in ENTRIES.values() for each in several)}
    assert [each for each in sorted(entries) if f"`{each}`" not in told] == []
