"""What `rowkeeper doctor` looks at: whether the embedded engine answers, and what each destination holds."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.destinations import engine_pid, engine_status, server_status
from rowkeeper.errors import BooksDiffer, DeadlineExceeded, FrameworkError
from rowkeeper.ledger import RunRecord
from rowkeeper.operations.finding import Finding
from rowkeeper.protocols import Examined, Health
from rowkeeper.resilience.deadline import deadline
from rowkeeper.runs.columnfacts import table_of
from rowkeeper.runs.placing import waiting
from rowkeeper.runs.reconciling import check_commit, destination_of
from rowkeeper.runs.workspace import Workspace

ANSWER_SECONDS_MAX = 20.0
BROKEN = "rowkeeper verify FILE tells which rows are gone"


def examine_tables(workspace: Workspace) -> Iterator[Finding]:
    """Checks of the engine or the server of the settings, and of each destination that runs went to."""
    found = _servers(workspace) if workspace.site.clickhouse else [_engine(workspace)]
    yield from found
    if not any(each.ok for each in found):
        return
    for target in workspace.ledger.targets():
        last = workspace.ledger.last_published(target)
        if last is not None:
            try:
                yield _table(workspace, target, last)
            except FrameworkError as error:
                yield Finding(f"table {target}", False, error.what, error.hint)


def _engine(workspace: Workspace) -> Finding:
    try:
        with deadline(ANSWER_SECONDS_MAX):
            status = engine_status(workspace.site)
    except DeadlineExceeded:
        pid = engine_pid(workspace.site)
        found = f"its host (process {pid}) does not answer within {ANSWER_SECONDS_MAX:.0f} s"
        return Finding("engine", False, found, f"kill -9 {pid}: the next command starts another, and loses nothing")
    except FrameworkError as error:
        return Finding("engine", False, error.what, error.hint)
    if status.faults:
        return Finding("engine", False, "; ".join(status.faults), BROKEN)
    return Finding("engine", True, f"ClickHouse {status.version} (chDB), process {status.pid}")


def _servers(workspace: Workspace) -> list[Finding]:
    """The server of the settings, replica by replica, as whoever reads there."""
    findings = []
    for status in server_status(workspace.site, workspace.site.clickhouse_reader):
        name = f"server {status.place}"
        if status.faults:
            findings.append(Finding(name, False, "; ".join(status.faults), status.hint or BROKEN))
        else:
            findings.append(Finding(name, True, f"ClickHouse {status.version}"))
    return findings


def _table(workspace: Workspace, target: str, last: RunRecord) -> Finding:
    """What it holds, and whether it says of itself what the ledger says of it."""
    name = f"table {table_of(target)}"
    if any(each.target == target for each in waiting(workspace.folder.path)):
        return Finding(name, False, "it was restored, and is not in its place yet", "rowkeeper recover puts it there")
    session = destination_of(last).connect(workspace.site, None)
    try:
        if not workspace.ledger.unfinished(target):  # a run under way may be between publish and record
            check_commit(workspace.ledger, session, target)
        health = session.health() if isinstance(session, Examined) else Health("it cannot be looked at")
    except BooksDiffer as error:
        return Finding(name, False, error.what, error.hint)
    finally:
        session.close()
    if health.faults:
        return Finding(name, False, "; ".join(health.faults), health.advice)
    return Finding(name, True, f"{health.found}, published last by run {last.run}", health.advice)
