"""A scan for secrets: of what somebody names, or of the pipeline files and settings of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rowkeeper.errors import ConfigurationError
from rowkeeper.operations.finding import Finding
from rowkeeper.security.scanning import rules
from rowkeeper.security.scanning.folder import pipeline_files, scan
from rowkeeper.security.scanning.leak import Leak

NAMED_MAX = 3


def scan_for_secrets(paths: Sequence[Path]) -> list[Leak]:
    """The secrets in these files and folders; without any in the pipeline files and settings of this folder.

    Raises ConfigurationError if there is no such file.
    """
    return scan(paths or pipeline_files(Path()))


def rules_missing() -> str:
    """What a scan does without, and the mend; empty if it has all."""
    if rules.installed():
        return ""
    return "rules for vendors and for random text are not installed: pip install 'rowkeeper[scan]'"


def examine_secrets() -> Finding:
    """What `rowkeeper doctor` says of the files of this folder."""
    try:
        leaks = scan_for_secrets(())
    except ConfigurationError as error:
        return Finding("secrets", False, error.what, error.hint)
    if leaks:
        named = ", ".join(map(str, leaks[:NAMED_MAX])) + ", ..." * (len(leaks) > NAMED_MAX)
        return Finding(
            "secrets",
            False,
            f"{len(leaks)} in pipeline files and settings: {named}",
            "rowkeeper secrets scan lists them; move each to where a reference leads: env:, file:, keyring:, vault:",
        )
    files = len(pipeline_files(Path()))
    return Finding("secrets", True, f"none in the {files} pipeline files and settings of this folder", rules_missing())
