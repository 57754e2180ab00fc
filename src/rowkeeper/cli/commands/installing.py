"""`doctor` and `init`: what is wrong with an installation, and the file to start from."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import DONE, FAILED, json_option, load_settings, out, print_json
from rowkeeper.cli.findings import show_findings
from rowkeeper.operations.doctor import diagnose
from rowkeeper.operations.scaffold import scaffold


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """What is wrong with this installation, and the mend."""
    findings = diagnose(load_settings())
    if as_json:
        print_json({"checks": [each.as_dict() for each in findings]})
    else:
        show_findings(findings)
    return DONE if all(each.ok for each in findings) else FAILED


@click.command()
@click.argument("sample", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Default: NAME.py in this folder.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def init(sample: Path, output: Path | None, force: bool, as_json: bool) -> None:
    """Write a pipeline file to start from, its contract inferred from a sample file."""
    written = scaffold(sample, output, force=force)
    if as_json:
        print_json({"file": str(written.path), "pipeline": written.pipeline, "fields": written.fields})
        return
    out.print(f"wrote [bold]{escape(str(written.path))}[/]: pipeline {written.pipeline}, {written.fields} fields")
    out.print(f"look it over, then: rowkeeper run {escape(str(written.path))}")
