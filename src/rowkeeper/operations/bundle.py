"""`rowkeeper bundle RUN`: what one attaches to a report of a fault, in one private zip, without secrets and values."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import platform
import sys
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from re import match
from typing import Any, Literal, get_origin

import psutil

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError, StateError, error_of
from rowkeeper.ledger.audit import Event
from rowkeeper.logs.reading import lines_of
from rowkeeper.logs.secrets import bare_url, scrubbed
from rowkeeper.operations.doctor import examine
from rowkeeper.runs.asking import run_for
from rowkeeper.runs.journal import log_path
from rowkeeper.runs.report import gate_document, override_document, partition_document
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keyfile import write_private
from rowkeeper.settings import Settings

CONTENTS = {
    "run.json": "the run as the ledger has it: status, account, error, partitions, batches, gates, postings",
    "plan.json": "what was to be read and where it was to go",
    "log.jsonl": "the lines of the log about it, and those of the commands and the worker that saw to it",
    "settings.json": "the settings; of URLs only what is not secret",
    "environment.json": "machine, Python, packages; names of ROWKEEPER_ variables, not what they hold",
    "doctor.json": "what rowkeeper doctor finds now",
}
LEFT_OUT = (
    "rows, and values of rows: quarantine and samples of gates stay sealed in the state folder",
    "the pipeline file, and the words of exceptions that are not Rowkeeper's own",
    "keys, passwords, and values of environment variables",
    "engine/host.log, the engine's own log, which may quote values",
)
STILL_IN = "names of files, folders, tables, columns and machines, and the sentences of errors. Look it over."


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written: where, and what each file in it is."""

    path: Path
    contents: Mapping[str, str]


def make_bundle(number: int, workspace: Workspace, path: Path) -> Bundle:
    """Writes the bundle of a run (0600). That is on the record first.

    Raises:
        AccessDenied: the caller may not see the run, or the settings, or what is wrong here.
        UnknownRun: there is no such run.
        StateError: the file is there already, or cannot be written.
    """
    run = run_for(workspace, "run.show", number)
    workspace.access.require("settings.show", of_installation())
    findings = examine(workspace)
    workspace.ledger.audit.record(Event("run.bundle", {"run": number, "pipeline": run.pipeline}))
    documents = {
        "run.json": _run(workspace, number),
        "plan.json": _plan(workspace, number),
        "settings.json": _settings(workspace.settings),
        "environment.json": _environment(workspace),
        "doctor.json": [each.as_dict() for each in findings],
    }
    files = {name: json.dumps(each, indent=2, ensure_ascii=False, default=str) for name, each in documents.items()}
    lines = lines_of(log_path(workspace.folder.path), number)
    files["log.jsonl"] = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    files["README.txt"] = _readme(number)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(f"rowkeeper-run-{number}/{name}", scrubbed(files[name]))
    try:
        write_private(path, sink.getvalue())
    except FileExistsError as error:
        raise StateError(f"{path} is there already", hint="name another file: --output PATH") from error
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}", hint="name another file: --output PATH"
        ) from error
    return Bundle(path, CONTENTS)


def _readme(number: int) -> str:
    inside = "\n".join(f"  {name:<18} {what}" for name, what in CONTENTS.items())
    outside = "\n".join(f"  {what}" for what in LEFT_OUT)
    return (
        f"Run {number}, for whoever has to find out what went wrong. Made by rowkeeper {version('rowkeeper')}.\n\n"
        f"In here:\n{inside}\n\nNot in here:\n{outside}\n\nStill in here: {STILL_IN}\n"
    )


def _run(workspace: Workspace, number: int) -> dict[str, Any]:
    ledger = workspace.ledger
    run = ledger.run(number)
    document = {
        key: getattr(run, key) for key in ("run", "pipeline", "target", "kind", "status", "definition", "token")
    }
    document |= {key: getattr(run, key) for key in ("pid", "started_at", "finished_at", "seconds", "note", "reverses")}
    return {
        **document,
        "account": run.account.as_dict(),
        "fingerprint": str(run.fingerprint or ""),
        "error": run.error,
        "error_means": _meaning(run.error),
        "partitions": [
            {**partition_document(each), "complete": each.complete, "rows_read": each.next_row, "reload": each.reload}
            for each in ledger.partitions(number)
        ],
        "batches": [dataclasses.asdict(each) for each in ledger.batches(number)],
        "gates": [gate_document(each) for each in ledger.gate_results(number)],
        "override": override_document(ledger.override(number)),
        "postings": [{"about_run": each.about_run, "change": str(each.change)} for each in ledger.postings(number)],
    }


def _meaning(error: Mapping[str, Any] | None) -> dict[str, object] | None:
    try:
        return error_of(str(error["code"])).explanation() if error and "code" in error else None
    except FrameworkError:
        return None  # of a connector that is not installed here


def _plan(workspace: Workspace, number: int) -> dict[str, Any]:
    run = workspace.ledger.run(number)
    return {
        "source": _bare(run.source),
        "destination": _bare(run.destination),
        "columns": run.columns,
        "gates": run.gates,
        "replaces_all": run.replaces_all,
        "drop_rows": run.drop_rows,
        "partitions": [
            {"key": each.partition.key, "size_bytes": each.partition.size_bytes, "reload": each.reload}
            for each in workspace.ledger.partitions(number)
        ],
    }


def _bare(value: Any) -> Any:
    """The same without what a URL may hold of secrets."""
    if isinstance(value, Mapping):
        return {key: _bare(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_bare(each) for each in value]
    return bare_url(value) if isinstance(value, str) and "://" in value else value


def _settings(settings: Settings) -> dict[str, object]:
    return {
        name: _setting(getattr(settings, name), get_origin(field.annotation) is Literal)
        for name, field in Settings.model_fields.items()
    }


def _setting(value: object, is_choice: bool) -> object:
    """Numbers, paths and choices as they are; of other text only a URL without its secrets."""
    if value is None or isinstance(value, (int, float, Path)) or is_choice:
        return value
    return bare_url(str(value)) if "://" in str(value) else "[set]"


def _environment(workspace: Workspace) -> dict[str, object]:
    needed = sorted({found[0] for each in requires("rowkeeper") or [] if (found := match(r"[A-Za-z0-9._-]+", each))})
    return {
        "rowkeeper": version("rowkeeper"),
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "free_bytes": psutil.disk_usage(str(workspace.folder.path)).free,
        "encoding": sys.getfilesystemencoding(),
        "packages": {name: _version(name) for name in needed},
        "variables": sorted(name for name in os.environ if name.startswith("ROWKEEPER_")),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
