"""`rowkeeper run --follow`: one run after another, as long as messages come and nobody says stop.

Each is a run like any other, with its lease, its account and its end. What passes (a broker or a ledger that is away, a
lease that somebody holds) is waited for, longer each time; what does not pass ends the following.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from rowkeeper.access import of_pipeline
from rowkeeper.batch import Partition
from rowkeeper.errors import DeclarationError, FrameworkError, RunInterrupted
from rowkeeper.logs import failure, logger
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Closing, Following, Source
from rowkeeper.resilience.deadline import deadline
from rowkeeper.runs.loading import loads_of, run_pipeline
from rowkeeper.runs.report import Observer, RunReport
from rowkeeper.runs.workspace import Workspace

LISTEN_SECONDS = 30.0  # so long one look for messages lasts; nothing hangs on it
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 60.0
log = logger("run")

Pause = Callable[[float], bool]
"""Waits so many seconds; False if it is to end."""


def follow(
    pipeline: Pipeline,
    workspace: Workspace,
    run: Callable[[], RunReport],
    *,
    pause: Pause,
    waits: Callable[[FrameworkError, float], None],
    chance: random.Random,
) -> None:
    """Runs a pipeline whenever there is enough for a run, until `pause` says that it is to end.

    Args:
        run: makes one run, and tells of it; see `one_run`.
        waits: told of each error that is waited for, and for how many seconds.

    Raises:
        AccessDenied: the caller may not run it.
        DeclarationError: its source is not one that can be followed.
        FrameworkError: something that does not pass; nothing was published by the last run.
    """
    workspace.access.require("pipeline.run", of_pipeline(pipeline.name))
    if not isinstance(pipeline.source, Following):
        raise DeclarationError(
            f"pipeline {pipeline.name}: its source cannot be followed",
            hint="--follow is for streams (rk.sources.stream); schedule= runs others again and again",
        )
    failures = 0
    while pause(0.0):
        try:
            if not _there_is_something(pipeline, workspace, pause):
                continue
            run()
        except RunInterrupted:
            raise
        except FrameworkError as error:
            if not error.retryable:
                raise
            failures += 1
            seconds = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** (failures - 1)) * chance.uniform(0.5, 1.0)
            log.warning("waiting before the next run", seconds=seconds, **failure(error))
            waits(error, seconds)
            pause(seconds)
        else:
            failures = 0


def one_run(pipeline: Pipeline, workspace: Workspace, observe: Observer, seconds_max: float | None) -> RunReport:
    """One run of those that follow each other, within a time of its own. Raises as `run_pipeline`."""
    with deadline(seconds_max):
        return run_pipeline(pipeline, workspace, observe)


def _there_is_something(pipeline: Pipeline, workspace: Workspace, pause: Pause) -> bool:
    source: Source = pipeline.source.at(workspace.site)
    assert isinstance(source, Following)
    try:
        return source.wait(_loaded(pipeline, workspace), LISTEN_SECONDS, pause)
    finally:
        if isinstance(source, Closing):
            source.close()


def _loaded(pipeline: Pipeline, workspace: Workspace) -> Mapping[str, Partition]:
    return {key: each.partition for key, each in loads_of(pipeline, workspace).items()}
