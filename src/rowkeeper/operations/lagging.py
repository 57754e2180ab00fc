"""Lag: how far the streams of pipelines are behind, asked of their brokers now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError
from rowkeeper.logs.failure import document
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Closing, Following, Lag
from rowkeeper.runs.loading import loads_of
from rowkeeper.runs.workspace import Workspace


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
    return [_lag_of(each, workspace) for each in pipelines if isinstance(each.source, Following)]


def _lag_of(pipeline: Pipeline, workspace: Workspace) -> PipelineLag:
    source: Any = pipeline.source.at(workspace.site)
    loaded = {key: each.partition for key, each in loads_of(pipeline, workspace).items()}
    try:
        return PipelineLag(pipeline.name, dict(source.lag(loaded)))
    except FrameworkError as error:
        return PipelineLag(pipeline.name, {}, error)
    finally:
        if isinstance(source, Closing):
            source.close()
