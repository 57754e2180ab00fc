"""docs/authentication.md: its commands run, its settings are settings, the tests that it names are there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

from rowkeeper.settings import Settings
from tests.arena import Arena

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "authentication.md").read_text()


def test_the_commands_of_the_page_run(own_arena: Arena):
    """In their order."""
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    commands = [tuple(shlex.split(line.removeprefix("$ rowkeeper "))) for line in block[1].splitlines()]
    for words, outcome in zip(commands, own_arena.together(*commands), strict=True):
        assert outcome.status == 0, (words, outcome)


def test_the_settings_of_the_page_are_settings(tmp_path: Path):
    """As they stand."""
    block = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    assert Settings(home=tmp_path, **tomllib.loads(block[1])).oidc_roles["data-team"] == "operator"
    for name in re.findall(r"ROWKEEPER_([A-Z_]+)", PAGE):
        assert name.lower() in Settings.model_fields, name
