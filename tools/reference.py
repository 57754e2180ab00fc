"""Writes docs/reference.md from the code: `python tools/reference.py`. A test fails when the file is not of today."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import rowkeeper as rk
from rowkeeper import errors
from rowkeeper.cli.commands import main as door

TARGET = Path(__file__).parent.parent / "docs" / "reference.md"


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Made from the code by `tools/reference.py`; do not edit.",
        "## Commands",
        "Every command takes `--json`. Exit status: 0 done; 1 the run or command failed and nothing was changed by it; "
        "2 wrong usage or configuration; 3 published without partitions that failed (`on_error='continue'`). Of "
        "several pipelines in one file: 1 if any ended so, else 2, else 3; what the others published stays published.",
        *_commands(door, "rowkeeper"),
        "## Settings",
        "From the environment, then from `rowkeeper.toml` in the working folder (there without the prefix, in lower "
        "case). What is nearer to the command wins.",
        _settings(),
        "## In a pipeline file",
        *(_documented(name, thing) for name, thing in PUBLIC.items()),
        "## Errors",
        "Each says what happened, to what, and what to do next, and carries a code that stays the same over versions: "
        "`rowkeeper errors CODE` explains it. After a `retryable` one the same command may help.",
        _errors(),
    ]
    return "\n\n".join(parts) + "\n"


PUBLIC = {
    "rk.Pipeline": rk.Pipeline,
    "rk.sources.files": rk.sources.files,
    "rk.destinations.clickhouse": rk.destinations.clickhouse,
    "rk.destinations.files": rk.destinations.files,
    "rk.read_manifest": rk.read_manifest,
    "rk.Endpoint": rk.Endpoint,
    "rk.Proxy": rk.Proxy,
    "rk.rule": rk.rule,
    "rk.check": rk.check,
    "rk.complete": rk.complete,
    "rk.unique": rk.unique,
    "rk.accepted_values": rk.accepted_values,
    "rk.between": rk.between,
    "rk.matches": rk.matches,
    "rk.references": rk.references,
    "rk.consistent": rk.consistent,
    "rk.same_total": rk.same_total,
    "rk.against_last_run": rk.against_last_run,
    "rk.volume": rk.volume,
    "rk.fresh": rk.fresh,
    "rk.sql": rk.sql,
    "rk.expression": rk.expression,
    "rk.Classified": rk.Classified,
    "rk.TLS": rk.TLS,
    "rk.Redact": rk.Redact,
    "rk.PartialMask": rk.PartialMask,
    "rk.Pseudonymise": rk.Pseudonymise,
    "rk.Encrypt": rk.Encrypt,
    "rk.EncryptJoinable": rk.EncryptJoinable,
    "rk.FormatPreserving": rk.FormatPreserving,
    "rk.Generalise": rk.Generalise,
    "rk.Resilience": rk.Resilience,
    "rk.Retry": rk.Retry,
    "rk.RetryBudget": rk.RetryBudget,
    "rk.CircuitBreaker": rk.CircuitBreaker,
    "rk.deadline": rk.deadline,
}


def _commands(group: click.Group, prefix: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix} {name}")
            continue
        context = click.Context(command)
        usage = " ".join([f"{prefix} {name}", *command.collect_usage_pieces(context)])
        options = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        rows = "\n".join(f"- `{record[0]}`: {record[1]}" for record in options if record and "--help" not in record[0])
        yield f"### `{prefix} {name}`\n\n    {usage}\n\n{command.help}\n\n{rows}"


def _settings() -> str:
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    for name, field in rk.Settings.model_fields.items():
        lines.append(f"| `ROWKEEPER_{name.upper()}` | `{field.default}` | {field.description} |")
    return "\n".join(lines)


def _documented(name: str, thing: Any) -> str:
    text = inspect.getdoc(thing) or ""
    return f"### `{name}`\n\n```text\n{inspect.cleandoc(text)}\n```"


def _errors() -> str:
    parts = []
    for error in sorted(errors.all_errors(), key=lambda each: each.code):
        told = error.explanation()
        again = "retryable" if told["retryable"] else "not retryable"
        parts.append(
            f"### {told['code']} {told['name']}\n\n{told['meaning']} ({told['category']}, {again})\n\n{told['advice']}"
        )
    return "\n\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(reference())
