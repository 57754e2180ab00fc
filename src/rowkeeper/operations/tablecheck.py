"""What `rowkeeper doctor` looks at in the embedded engine: whether it answers, and the health of each table."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.destinations import engine_pid, engine_status, table_health
from rowkeeper.errors import BooksDiffer, DeadlineExceeded, FrameworkError
from rowkeeper.ledger import RunRecord
from rowkeeper.operations.finding import Finding
from rowkeeper.resilience.deadline import deadline
from rowkeeper.runs.reconciling import check_commit, destination_of
from rowkeeper.runs.workspace import Workspace

ANSWER_SECONDS_MAX = 20.0
PARTS_MANY = 300  # in one partition: queries get slow; at 3,000 ClickHouse refuses inserts


def examine_tables(workspace: Workspace) -> Iterator[Finding]:
    """Checks of the engine, and of each table that runs went to."""
    try:
        with deadline(ANSWER_SECONDS_MAX):
            status = engine_status(workspace.site)
    except DeadlineExceeded:
        pid = engine_pid(workspace.site)
        found = f"its host (process {pid}) does not answer within {ANSWER_SECONDS_MAX:.0f} s"
        yield Finding("engine", False, found, f"kill -9 {pid}: the next command starts another, and loses nothing")
        return
    except FrameworkError as error:
        yield Finding("engine", False, error.what, error.hint)
        return
    if status.faults:
        yield Finding("engine", False, "; ".join(status.faults), "rowkeeper verify FILE tells which rows are gone")
    else:
        yield Finding("engine", True, f"ClickHouse {status.version} (chDB), process {status.pid}")
    for target in workspace.ledger.targets():
        last = workspace.ledger.last_published(target)
        if last is not None:
            try:
                yield _table(workspace, target, last)
            except FrameworkError as error:
                yield Finding(f"table {target}", False, error.what, error.hint)


def _table(workspace: Workspace, target: str, last: RunRecord) -> Finding:
    """Its files, its parts, and whether it says of itself what the ledger says of it."""
    name = f"table {target.rpartition('/')[2]}"
    destination = destination_of(last)
    session = destination.connect(workspace.site, None)
    try:
        if not workspace.ledger.unfinished(target):  # a run under way may be between publish and record
            check_commit(workspace.ledger, session, target)
    except BooksDiffer as error:
        return Finding(name, False, error.what, error.hint)
    finally:
        session.close()
    health = table_health(workspace.site, target)
    if health.faults:
        mend = (
            "rowkeeper verify FILE tells which rows are gone; rowkeeper rollback RUN, then run again, brings them back"
        )
        return Finding(name, False, "; ".join(health.faults), mend)
    found = f"{health.rows:,} rows in {health.parts:,} parts, published last by run {last.run}"
    if health.parts_of_fullest > PARTS_MANY:
        return Finding(
            name,
            True,
            f"{found}; {health.parts_of_fullest:,} parts in one partition",
            "load more rows at a time, less often; ClickHouse merges them while its host is up",
        )
    return Finding(name, True, found)
