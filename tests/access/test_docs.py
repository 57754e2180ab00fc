"""docs/access-enforcement.md: the commands, tests and codes that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rowkeeper.access.entries import ENTRIES, OWN
from rowkeeper.errors import error_of
from tests.arena import Arena

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "access-enforcement.md").read_text()
AUDIT = (ROOT / "docs" / "audit.md").read_text()


def test_the_commands_run(arena: Arena):
    """Each with status 0."""
    commands = re.findall(r"^    rowkeeper (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert [each.status for each in arena.together(*(tuple(shlex.split(each)) for each in commands))] == [0, 0]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))))
def test_what_it_names_is_there(path: str):
    """No proof that is not."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize("code", sorted(set(re.findall(r"RK-\d+", PAGE))))
def test_its_codes_are_explained(code: str):
    """By `rowkeeper errors`."""
    assert error_of(code).code == code


def test_every_entry_is_in_the_table_of_the_trail():
    """Whoever reads the trail can look up what an entry means."""
    told = AUDIT.replace("`.issue`", "`certificate.issue`").replace("`.renew`", "`certificate.renew`")
    told = told.replace("`.revoke`", "`certificate.revoke`")
    entries = {*OWN, *(each for several in ENTRIES.values() for each in several)}
    assert [each for each in sorted(entries) if f"`{each}`" not in told and not each.startswith("user.")] == []
