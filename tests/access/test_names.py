"""The actions that are asked, those that permissions know, and the entries of the trail are the same things."""

from __future__ import annotations

import ast

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.entries import ENTRIES, OWN
from tests.access.governed import SOURCE

ASKS = {"require", "refuse", "only", "may", "run_for", "permitted", "Look"}
ELSEWHERE = {
    "metrics.show": "of the server: web/",
    "column.masked": "a view's answer: access/, of columns",
    "column.clear": "a view's answer: access/, of columns",
}
"""Asked elsewhere."""


def texts(*rooms: str) -> set[str]:
    """Every text that could be an action, outside the lists themselves."""
    found = set()
    for path in (each for room in rooms for each in (SOURCE / room).rglob("*.py")):
        if path.name not in ("actions.py", "entries.py"):
            found |= {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def arguments(names: set[str]) -> set[str]:
    """The texts that are given to these functions as their actions."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if isinstance(node, ast.Call) and name in names:
                found |= {
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and _is_action(each.value)
                }
    return found


def _is_action(text: str) -> bool:
    room, dot, verb = text.partition(".")
    return bool(dot) and room.isidentifier() and verb.isidentifier()


def test_every_action_is_asked_and_every_asked_one_is_known():
    """No permission that nothing asks for, and no question that no policy could answer."""
    asked = arguments(ASKS)
    assert asked <= set(ACTIONS)
    assert set(ACTIONS) - texts("runs", "operations", "access") <= set(ELSEWHERE)


def test_every_entry_of_the_trail_is_of_an_action():
    """So that of each entry it can be told by which permission somebody could do that, or that nobody has to ask."""
    written = arguments({"Event", "event_of", "_note"}) | {"user.enable", "user.disable"}
    assert written <= {*OWN, *(entry for entries in ENTRIES.values() for entry in entries)}
    assert set(ENTRIES) <= set(ACTIONS)
    assert {entry for entries in ENTRIES.values() for entry in entries} <= texts("ledger", "runs", "operations")
