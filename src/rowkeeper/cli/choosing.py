"""FILE[:NAME], as it is typed at many commands."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.cli.door import load_settings
from rowkeeper.pipeline import Pipeline, select


def pipelines_of(reference: str) -> list[Pipeline]:
    """The pipelines of FILE, or the one that FILE:NAME names."""
    load_settings()  # before code of the user's is run: it may reach what they declare alone
    path, _, name = reference.partition(":")
    return select(Path(path), name or None)
