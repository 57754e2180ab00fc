"""What a part of health is given to look at."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from rowkeeper.errors import FrameworkError
from rowkeeper.operations.health.lagging import PipelineLag, lags_of
from rowkeeper.pipeline import Pipeline
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings


@dataclasses.dataclass(frozen=True)
class HealthContext:
    """One look. What several parts need is read once.

    Attributes:
        now: the time of the look, with its zone; parts ask no other clock.
        pipelines: those that were named; parts that need a declaration look at these alone.
        opened: the workspace, if it could be opened.
        unopened: why it could not.
        begun: when the look began, by the process's own clock.
        uptime_seconds: since the machine was started, by a clock that nobody sets.
    """

    settings: Settings
    now: datetime
    pipelines: tuple[Pipeline, ...] = ()
    opened: Workspace | None = None
    unopened: FrameworkError | None = None
    begun: float = dataclasses.field(default_factory=time.monotonic)
    uptime_seconds: float = dataclasses.field(default_factory=lambda: time.clock_gettime(time.CLOCK_BOOTTIME))

    @property
    def by_now(self) -> datetime:
        """The time of the look, and what has passed since: for what others write meanwhile."""
        return self.now + timedelta(seconds=time.monotonic() - self.begun)

    @property
    def workspace(self) -> Workspace:
        """The open workspace; parts that can do without are listed as such in `looking.py`."""
        assert self.opened is not None
        return self.opened

    @cached_property
    def lags(self) -> tuple[PipelineLag, ...]:
        """How far the streams of the named pipelines are behind."""
        return tuple(lags_of(self.pipelines, self.workspace))


def run_command(pipeline: Pipeline, word: str = "run") -> str:
    """What is typed to run a pipeline."""
    file = pipeline.file
    if file is not None and file.is_relative_to(Path.cwd()):
        file = file.relative_to(Path.cwd())
    return f"rowkeeper {word} {file or 'FILE'}:{pipeline.name}"
