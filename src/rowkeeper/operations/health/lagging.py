"""Lag: how far the streams of pipelines are behind, asked of their brokers now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError
from rowkeeper.logs.failure import document
from rowkeeper.operations.health.check import Check, State
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Closing, Following, Lag
from rowkeeper.runs.loading import loads_of
from rowkeeper.runs.workspace import Workspace

if TYPE_CHECKING:
    from rowkeeper.operations.health.context import HealthContext


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineLag:
    """How far the stream of a pipeline is behind.

    Attributes:
        partitions: by name; empty where the broker could not be asked.
        error: why it could not.
    """

    pipeline: str
    partitions: Mapping[str, Lag]
    error: FrameworkError | None = None

    @property
    def is_late(self) -> bool:
        """Whether more messages wait than may, or nobody knows."""
        return self.error is not None or any(each.is_late for each in self.partitions.values())

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "pipeline": self.pipeline,
            "late": self.is_late,
            "partitions": {
                name: {"messages": each.messages, "lag_max": each.most, "late": each.is_late}
                for name, each in self.partitions.items()
            },
            "error": None if self.error is None else document(self.error),
        }


def show_lag(pipelines: Sequence[Pipeline], workspace: Workspace) -> list[PipelineLag]:
    """Of each pipeline whose source is a stream, how many messages wait. Raises AccessDenied."""
    workspace.access.require("health.show", of_installation())
    return list(lags_of(pipelines, workspace))


def lags_of(pipelines: Iterable[Pipeline], workspace: Workspace) -> Iterator[PipelineLag]:
    """The same as a part of a look that has asked already whether it may."""
    return (_lag_of(each, workspace) for each in pipelines if isinstance(each.source, Following))


def look_at_lag(context: HealthContext) -> Iterator[Check]:
    """A check for each partition of each stream; one for a broker that cannot be asked."""
    for each in context.lags:
        if each.error is not None:
            yield Check("lag", each.pipeline, State.UNKNOWN, each.error.what, mend=each.error.hint)
        for name, lag in each.partitions.items():
            state = State.BAD if lag.is_late else State.GOOD
            limit = "" if lag.most is None else f"{lag.most:,} messages (lag_max)"
            mend = (
                f"run {each.pipeline} more often, or rowkeeper run FILE:{each.pipeline} --follow" if lag.is_late else ""
            )
            yield Check("lag", f"{each.pipeline}/{name}", state, f"{lag.messages:,} messages wait", limit, mend)


def _lag_of(pipeline: Pipeline, workspace: Workspace) -> PipelineLag:
    source: Any = pipeline.source
    try:
        source = source.at(workspace.site)
        loaded = {key: each.partition for key, each in loads_of(pipeline, workspace).items()}
        return PipelineLag(pipeline.name, dict(source.lag(loaded)))
    except FrameworkError as error:
        return PipelineLag(pipeline.name, {}, error)
    finally:
        if isinstance(source, Closing):
            source.close()
