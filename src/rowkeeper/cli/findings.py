"""Findings on a terminal, as `doctor` and `certs check` show them: what was found, and the mend below it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from rowkeeper.cli.door import out
from rowkeeper.operations.finding import Finding

MARKS = {"ok": "[green]ok[/]   ", "note": "[yellow]note[/] ", "wrong": "[red]wrong[/]"}


def show_findings(findings: Sequence[Finding]) -> None:
    """One line for each, and one for what to do about it."""
    for each in findings:
        out.print(f"{MARKS[each.level]}  {each.name:<16} {escape(each.found)}")
        if each.mend:
            out.print(f"       [bold]mend[/]             {escape(each.mend)}")
