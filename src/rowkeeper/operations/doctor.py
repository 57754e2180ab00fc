"""`rowkeeper doctor`: what is wrong with this installation, and the mend.

Opening the workspace has already checked the state folder, its key and the ledger's version: a fault there ends the
command with its own error.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version

from rowkeeper.destinations import engine_status
from rowkeeper.errors import FrameworkError, IntegrityError
from rowkeeper.runs.rejects import open_rejects
from rowkeeper.runs.workspace import Workspace

FREE_BYTES_MIN = 1_000_000_000
RUNS_LOOKED_AT = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and where it is wrong, the mend."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def examine(workspace: Workspace) -> list[Finding]:
    """Runs every check. A check that finds a fault does not keep the others from running."""
    return list(_checks(workspace))


def _checks(workspace: Workspace) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("version", True, f"rowkeeper {version('rowkeeper')}, Python {python}")
    yield Finding("state folder", True, f"{workspace.folder.path}, private")
    yield Finding("key", True, f"{workspace.folder.key_path}; keep a copy of it elsewhere")
    yield _disk(workspace)
    yield _ledger(workspace)
    yield _engine(workspace)
    yield _unfinished(workspace)
    yield _quarantine(workspace)
    yield _breakers(workspace)


def _disk(workspace: Workspace) -> Finding:
    free = shutil.disk_usage(workspace.folder.path).free
    found = f"{free / 1e9:,.1f} GB free on the volume of the state folder"
    return Finding("disk", free >= FREE_BYTES_MIN, found, "free some space, or move the state folder")


def _ledger(workspace: Workspace) -> Finding:
    faults = workspace.ledger.check()
    if faults:
        return Finding("ledger", False, "; ".join(faults), "restore the ledger from a backup")
    return Finding("ledger", True, f"sound; id {workspace.ledger.id}")


def _engine(workspace: Workspace) -> Finding:
    try:
        status = engine_status(workspace.site)
    except FrameworkError as error:
        return Finding("engine", False, error.what, error.hint)
    if status.faults:
        return Finding("engine", False, "; ".join(status.faults), "rowkeeper verify FILE tells which rows are gone")
    return Finding("engine", True, f"ClickHouse {status.version} (chDB), process {status.pid}")


def _unfinished(workspace: Workspace) -> Finding:
    runs = [run for target in workspace.ledger.targets(unfinished=True) for run in workspace.ledger.unfinished(target)]
    if not runs:
        return Finding("runs", True, "none was left unfinished")
    names = ", ".join(f"run {run.run} of {run.pipeline} ({run.status.value})" for run in runs)
    return Finding("runs", False, f"unfinished: {names}", "rowkeeper recover, or run the pipeline again")


def _quarantine(workspace: Workspace) -> Finding:
    """Opens the quarantine files of the last runs: what was sealed must open."""
    files = rows = 0
    try:
        for run in workspace.ledger.runs(limit=RUNS_LOOKED_AT):
            for record in workspace.ledger.quarantine(run.run):
                rows += open_rejects(workspace.quarantine, str(record.quarantine_file)).num_rows
                files += 1
    except IntegrityError as error:
        return Finding("quarantine", False, error.what, error.hint)
    return Finding("quarantine", True, f"{files:,} files with {rows:,} rows open as they were sealed")


def _breakers(workspace: Workspace) -> Finding:
    """Hosts that fail so often that some process leaves them alone."""
    try:
        states = workspace.ledger.breakers.read()
    except FrameworkError as error:
        return Finding("breakers", False, error.what, error.hint)
    alone = [f"{state.name} for {state.open_seconds:.0f} s" for state in states if state.open_seconds]
    if alone:
        return Finding("breakers", False, f"left alone: {', '.join(alone)}", "see to them; calls go on by themselves")
    return Finding("breakers", True, "no host is left alone")
