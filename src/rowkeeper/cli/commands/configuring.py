"""`config show`: every setting, its value, and where it came from."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from rowkeeper.cli.door import json_option, out, print_json
from rowkeeper.operations.configuring import configured, read_settings


@click.group()
def config() -> None:
    """What is configured, and from where."""


@config.command("show")
@json_option
def show_settings(as_json: bool) -> None:
    """Every setting, its value, and where that came from; secrets as references only."""
    settings = read_settings()
    found = list(configured(settings))
    if as_json:
        print_json({"profile": settings.profile, "settings": [each.as_dict() for each in found]})
        return
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for each in found:
        value = "" if each.value is None else str(each.value)
        table.add_row(each.name, escape(value), escape(str(each.origin)), style="dim" if not each.origin.place else "")
    out.print(table)
