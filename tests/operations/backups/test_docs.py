"""docs/backups.md: what it shows can be done."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

from rowkeeper.settings import Settings
from rowkeeper.stores import S3
from rowkeeper.stores.settled import place_of_backups
from tests.arena import Arena
from tests.operations.backups.furnished import furnish, load

PAGE = Path(__file__).parents[3] / "docs" / "backups.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text())


def test_its_commands_do_what_it_says(arena: Arena, tmp_path: Path):
    """In order, with a folder of the test's as the place."""
    furnish(arena, tmp_path)
    load(arena, 1, names=("added",))
    text = "".join(text for kind, text in BLOCKS if kind == "console")
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    assert lines[0] == "export ROWKEEPER_BACKUP_TO=/mnt/backups"
    outcomes = arena.together(*(tuple(shlex.split(line)[1:]) for line in lines[1:]))
    assert [each.status for each in outcomes] == [0, 0, 0, 0], outcomes
    made, listed, verified, pruned = (each.stdout for each in outcomes)
    assert "(it is the first)" in made
    assert "complete" in listed
    assert "sound" in verified
    assert "kept" in pruned


def test_its_settings_lead_to_a_bucket():
    """What stands in its example of `rowkeeper.toml` is understood."""
    text, of_two = (text for kind, text in BLOCKS if kind == "toml")
    address, access = place_of_backups(Settings(**tomllib.loads(text)))
    assert (address.scheme, address.bucket, address.path) == ("s3", "company-backups", "rowkeeper")
    assert isinstance(access, S3)
    both = Settings(backup_to="s3://company-backups", **tomllib.loads(of_two))
    pruner = place_of_backups(both, pruning=True)[1]
    assert isinstance(pruner, S3)
    assert pruner.access_key == "env:BACKUP_PRUNER_ID"
