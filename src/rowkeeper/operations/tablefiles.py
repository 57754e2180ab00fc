"""`rowkeeper files`: which files a table of files is now."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from rowkeeper.access import of_pipeline
from rowkeeper.errors import DestinationLacks
from rowkeeper.pipeline import Pipeline
from rowkeeper.runs.workspace import Workspace


class _Described(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


@runtime_checkable
class OfFiles(Protocol):
    """What the session of a destination is that consists of files."""

    def files(self) -> _Described:
        """Which they are now."""
        ...


def files_of(pipeline: Pipeline, workspace: Workspace) -> dict[str, Any]:
    """The files of a pipeline's table, as JSON.

    Raises:
        AccessDenied: the caller may not see the pipeline.
        DestinationLacks: its destination is no table of files.
    """
    workspace.access.require("pipeline.show", of_pipeline(pipeline.name))
    target = pipeline.destination.target
    session = pipeline.destination.connect(workspace.site, None)
    try:
        if not isinstance(session, OfFiles):
            raise DestinationLacks(f"{target} is no table of files", hint="rowkeeper query reads tables")
        return {"pipeline": pipeline.name, "target": target, **session.files().as_dict()}
    finally:
        session.close()
