"""Writes the tables of docs/metrics.md from the code: `python -m tools.metrics`. A test fails when they are old."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from rowkeeper.operations.metrics.catalogue import FAMILIES
from rowkeeper.operations.metrics.family import Kind
from rowkeeper.operations.metrics.rules import RULES

TARGET = Path(__file__).parent.parent / "docs" / "metrics.md"
PART = re.compile(r"(<!-- (\w+): made by tools/metrics.py -->\n).*?(<!-- end -->)", re.DOTALL)


def families_table() -> str:
    """A line for each metric."""
    lines = ["| metric | kind | labels | unit | what it tells |", "|---|---|---|---|---|"]
    for each in FAMILIES:
        labels = ", ".join(f"`{name}`" for name in each.labels)
        told = f"{each.told} By `serve` alone." if each.served else each.told
        kind = each.kind.value + (" (`_bucket`, `_count`, `_sum`)" if each.kind is Kind.HISTOGRAM else "")
        lines.append(f"| `{each.name}` | {kind} | {labels} | {each.unit} | {told} |")
    return "\n".join(lines)


def rules_table() -> str:
    """A line for each rule."""
    lines = ["| rule | severity | fires when | for |", "|---|---|---|---|"]
    for each in RULES:
        expression = each.expression.replace("JOB", "rowkeeper").replace("|", "\\|")
        lines.append(f"| [{each.name}](#{each.name.lower()}) | {each.severity} | `{expression}` | {each.holds_for} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its tables made anew."""
    tables: Mapping[str, str] = {"families": families_table(), "rules": rules_table()}
    return PART.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", text)


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text()))
