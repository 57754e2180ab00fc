"""`secrets scan`: files with secrets in them, before they are committed."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import DONE, FAILED, err, json_option, out, print_json
from rowkeeper.configuration.reference import HOW_TO_MOVE
from rowkeeper.operations.scanning import rules_missing, scan_for_secrets


@click.group()
def secrets() -> None:
    """Secrets, where they do not belong."""


@secrets.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@json_option
def scan(paths: tuple[Path, ...], as_json: bool) -> int:
    """Look for secrets in files, and in all text files below folders. Exit status 1 if there are any.

    Without PATHS the pipeline files and settings of this folder are looked at. A line that ends in the comment
    `# pragma: allowlist secret` is let through.
    """
    leaks = scan_for_secrets(paths)
    if as_json:
        print_json({"findings": [each.as_dict() for each in leaks], "note": rules_missing() or None})
        return FAILED if leaks else DONE
    for each in leaks:
        out.print(escape(str(each)))
    if leaks:
        err.print(f"[bold]next:[/]  {escape(HOW_TO_MOVE)}; what is none: # pragma: allowlist secret")
    if missing := rules_missing():
        err.print(f"[bold]note:[/]  {escape(missing)}")
    return FAILED if leaks else DONE
