"""The pipeline of a run, for commands that are given the run alone."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.errors import ConfigurationError
from rowkeeper.ledger import RunRecord
from rowkeeper.pipeline import Pipeline, select


def pipeline_of(run: RunRecord, file: Path | None = None) -> Pipeline:
    """The pipeline of a run, as its file declares it now. Raises ConfigurationError if the file is not there."""
    file = file or Path(str(run.source.get("pipeline_file", "")))
    if not file.is_file():
        raise ConfigurationError(
            f"the pipeline file of {run.pipeline} is not at {file}",
            hint="run the pipeline from where its file is now (a replay takes --file PIPELINE.py)",
        )
    return select(file, run.pipeline)[0]
