"""FILE[:NAME], as it is typed at many commands."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.pipeline import Pipeline, select


def pipelines_of(reference: str) -> list[Pipeline]:
    """The pipelines of FILE, or the one that FILE:NAME names."""
    path, _, name = reference.partition(":")
    return select(Path(path), name or None)
