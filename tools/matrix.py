"""Writes the tables of docs/access.md from the code: `python -m tools.matrix`. A test fails when they are not of today.

Each cell is asked of the permissions themselves, not read from a file of theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rowkeeper.access import Resource, ResourceKind, of_table
from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.rules import Rules
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger.grants import AccessState

TARGET = Path(__file__).parent.parent / "docs" / "access.md"
BEGIN, END = "<!-- made by tools/matrix.py -->", "<!-- end -->"


def matrix() -> str:
    """The table of actions and roles."""
    rules = Rules(AccessState(0), (), datetime.now(UTC))
    lines = [
        "| action | on a | lets somebody | " + " | ".join(BUILT_IN_ROLES) + " |",
        "|---|---|---|" + "---|" * len(BUILT_IN_ROLES),
    ]
    for action in ACTIONS.values():
        cells = ["yes" if _may(rules, role, action.name) else "" for role in BUILT_IN_ROLES]
        lines.append(f"| `{action.name}` | {action.on} | {action.told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _may(rules: Rules, role: str, action: str) -> bool:
    kind = ACTIONS[action].on
    thing = Resource(kind, "t.c", within=of_table("t") if kind is ResourceKind.COLUMN else None)
    return rules.decide(Caller(CallerKind.USER, "", roles=frozenset({role})), action, thing).allowed


def page(text: str) -> str:
    """The page with the table of today in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{matrix()}\n\n{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text()))
