"""docs/alerts.md: its file is one, and it has every condition, rule and service that there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rowkeeper.operations.alerts import Declared
from rowkeeper.operations.alerts.builtin import BUILT_IN
from rowkeeper.operations.alerts.conditions import CONDITIONS
from rowkeeper.operations.alerts.receivers.services import REFUSED, SERVICES
from rowkeeper.operations.alerts.spans import spoken

PAGE = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()


def test_the_file_of_the_page_is_one():
    """As it stands, with its rules, routes, window and watchdog."""
    (text,) = re.findall(r"```toml file=rowkeeper-alerts.toml\n(.*?)```", PAGE, re.DOTALL)
    found = Declared.of(tomllib.loads(text), text, Path("rowkeeper-alerts.toml"))
    assert [each.name for each in found.routes] == ["ops", "on-call", "dead-man", "alertmanager"]
    assert found.watchdog is not None
    assert [each.name for each in found.windows] == ["sunday"]
    assert {each.host for each in found.endpoints} == {
        "mail.example.com",
        "hooks.slack.com",
        "ops.example.com",
        "alertmanager.example.com",
    }


def test_the_page_has_every_condition_rule_and_service():
    """And of a rule its severity, and for how long it has to hold."""
    assert all(f"| `{word}` |" in PAGE for word in CONDITIONS)
    assert all(f"`{scheme}://`" in PAGE for scheme in SERVICES)
    assert all(f"`{name}=`" in PAGE for name in REFUSED)
    for rule in BUILT_IN:
        holds = "" if not rule.holds_for else f" {spoken(rule.holds_for)}"
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{rule.name}` |"))
        assert row.endswith(f"| {rule.severity} |{holds} |")
        assert f"`{rule.condition.word}`" in row
