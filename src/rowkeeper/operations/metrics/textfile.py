"""Metrics as a file, for the textfile collector of Prometheus' node_exporter: for machines without a server.

The file is there whole or not at all: it is written beside, under a name that the collector passes over, and renamed.
Everybody may read it, as node_exporter is another user; there is nothing in it that they may not know.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError, MetricsUnwritten
from rowkeeper.logs import failure, logger
from rowkeeper.operations.metrics.collecting import gathered
from rowkeeper.operations.metrics.exposition import as_text
from rowkeeper.operations.metrics.family import Family
from rowkeeper.operations.metrics.healthy import look_first
from rowkeeper.resilience.deadline import cleaning_up
from rowkeeper.runs.workspace import Workspace

READABLE = 0o644

log = logger("metrics")


def write_metrics(workspace: Workspace, path: Path) -> tuple[Family, ...]:
    """Writes all metrics but those of a server into a file, and returns them. Raises AccessDenied, MetricsUnwritten."""
    workspace.access.require("metrics.show", of_installation())
    look_first(workspace)
    found = gathered(workspace)
    write_text(path, as_text(found))
    return found


def write_after_runs(workspace: Workspace) -> FrameworkError | None:
    """Brings the file of the settings up to date, if there is one and a run has ended in this process.

    Whoever set it has decided that it is written, whoever runs. What cannot be written fails no run: the error is
    logged, and returned.
    """
    path = workspace.settings.metrics_file
    if path is None or not workspace.ledger.ended:
        return None
    try:
        with cleaning_up():
            look_first(workspace)
            write_text(path, as_text(gathered(workspace)))
    except FrameworkError as error:
        log.warning("metrics not written", **failure(error))
        return error
    return None


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step, for everybody to read. Raises MetricsUnwritten."""
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), READABLE)
                file.write(text)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MetricsUnwritten(
            f"{path} cannot be written: {error.strerror}",
            hint="name a file in a folder that is there and that this user may write to",
        ) from error
