"""docs/health.md: its examples run and say what it says, and the tests that it names are there."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

from rowkeeper.operations.health import PARTS
from rowkeeper.settings import Settings
from tests.arena import Arena
from tests.docs.examples import ROOT, blocks

PAGE = "docs/health.md"
TEXT = (ROOT / PAGE).read_text()


def test_the_example_finds_the_silent_carrier(own_arena: Arena):
    """The pipeline and the commands as they stand; the check is told as the page shows it."""
    now = datetime.now(UTC).replace(tzinfo=None)
    events = "".join(
        f"{number},{carrier},{(now - timedelta(hours=hours)).isoformat()}\n"
        for number, (carrier, hours) in enumerate([("AA", 1), ("UA", 30.5)])
    )
    own_arena.write("flights/a.csv", f"id,carrier,time_hour\n{events}")
    name, text = next((name, text) for kind, name, text in blocks(PAGE) if kind == "python" and name)
    own_arena.write(name, text)
    said = ""
    for kind, _, text in blocks(PAGE):
        for line in text.splitlines() if kind == "console" else ():
            outcome = own_arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
            assert outcome.status == (1 if " health " in line else 0), (line, outcome)
            said += outcome.stdout
    assert "bad      freshness flights/fresh(time_hour by carrier)/UA: the newest event is 1 d 6 h old" in said
    assert "mend  see to its source; or rowkeeper freshness retire flights 'UA'" in said


def test_the_calendar_of_the_page_is_one():
    """It runs as it stands."""
    exec(next(text for kind, name, text in blocks(PAGE) if kind == "python" and not name), {})


def test_every_part_and_every_setting_is_on_the_page():
    """What is looked at, and by which limits."""
    assert not [each.name for each in PARTS if f"`{each.name}`" not in TEXT]
    settings = [each for each in Settings.model_fields if each.startswith("health_")]
    assert not [each for each in settings if each not in TEXT and f"ROWKEEPER_{each.upper()}" not in TEXT]
