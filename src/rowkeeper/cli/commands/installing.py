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
@click.argument("sample", metavar="SAMPLE|URL")
@click.option(
    "--tables", default=None, metavar="PATTERN", help='Of a URL: such as "sales.*"; default: all of its schema.'
)
@click.option("--password", default=None, metavar="REFERENCE", help="Of a URL: such as env:DB_PASSWORD.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Default: NAME.py in this folder.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def init(  # noqa: PLR0917 - click passes them by name
    sample: str, tables: str | None, password: str | None, output: Path | None, force: bool, as_json: bool
) -> None:
    """Write a pipeline file to start from: for a sample file, or for the tables of a database (its URL)."""
    if "://" in sample:
        _init_database(sample, tables or "*", password=password, output=output, force=force, as_json=as_json)
        return
    if tables is not None or password is not None:
        raise click.UsageError("--tables and --password are of a database: give its URL")
    written = scaffold(Path(sample), output, force=force)
    if as_json:
        print_json({"file": str(written.path), "pipeline": written.pipeline, "fields": written.fields})
        return
    out.print(f"wrote [bold]{escape(str(written.path))}[/]: pipeline {written.pipeline}, {written.fields} fields")
    out.print(f"look it over, then: rowkeeper run {escape(str(written.path))}")


def _init_database(
    url: str, pattern: str, *, password: str | None, output: Path | None, force: bool, as_json: bool
) -> None:
    from rowkeeper.operations.scaffold_database import scaffold_database  # noqa: PLC0415 - imports every driver's room

    written = scaffold_database(url, pattern, password, output, load_settings(), force=force)
    if as_json:
        print_json({"file": str(written.path), "pipelines": written.pipelines})
        return
    out.print(f"wrote [bold]{escape(str(written.path))}[/]: {len(written.pipelines)} pipelines")
    for name, fields in written.pipelines.items():
        out.print(f"  {escape(name)}, {fields} fields")
    first = next(iter(written.pipelines))
    out.print(f"look it over, then: rowkeeper run {escape(str(written.path))}:{escape(first)}")
