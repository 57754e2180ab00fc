"""`maintain`: what is no longer needed goes, what grew in pieces is merged."""

from __future__ import annotations

import click
from rich.markup import escape

from rowkeeper.cli.door import DONE, FAILED, err, json_option, out, print_json, workspace
from rowkeeper.operations.maintenance.maintaining import maintain as maintained
from rowkeeper.operations.maintenance.task import Step

MARKS = {"done": "[green]done[/]", "would": "would", "left": "[yellow]left[/]", "failed": "[red]failed[/]"}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; nothing is changed.")
@click.option("--automatic", is_flag=True, help="Only if it is due by ROWKEEPER_MAINTAIN_SCHEDULE, as the worker asks.")
@json_option
def maintain(dry_run: bool, automatic: bool, as_json: bool) -> int:
    """Remove what is no longer needed, by what is set; merge tables in many parts; tidy the ledger.

    Accounts, books, the audit trail and what counts as loaded are never lost. A destination that a run holds is left
    alone.
    """
    with workspace() as space:
        found = maintained(space, dry_run=dry_run, automatic=automatic)
    if found is None:
        print_json({"status": "not due", "steps": []}) if as_json else out.print("it is not due")
        return DONE
    if as_json:
        print_json(found.as_dict())
    elif not found.steps:
        out.print("there is nothing to do")
    else:
        for step in found.steps:
            _show(step)
    for step in found.failed:
        err.print(f"[bold red]error:[/] {escape(step.subject)}: {escape(str((step.error or {}).get('what')))}")
    return FAILED if found.failed else DONE


def _show(step: Step) -> None:
    size = f"  {step.bytes / 1e6:,.1f} MB" if step.bytes else ""
    out.print(f"{MARKS[step.outcome]}  [bold]{escape(step.subject)}[/]  {step.part}: {escape(step.told)}{size}")
