"""What is configured, as a backup holds it: `rowkeeper.toml` and the files that settings name, which hold no secrets.

Settings of the environment are in it as `config show` tells them, so that whoever restores sees what was set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from rowkeeper.configuration.file import FILE
from rowkeeper.errors import ConfigurationError
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.protection import policy
from rowkeeper.settings import PREFIX

SET = "settings.json"


def settings_files(workspace: Workspace) -> dict[str, bytes]:
    """The files by their names in the backup. Raises ConfigurationError for one that cannot be read."""
    files = {name: _read(path) for name, path in _named(workspace)}
    files[SET] = json.dumps(_told(workspace), indent=1, sort_keys=True).encode()
    return files


def _named(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    settings = workspace.settings
    for path in (FILE, settings.policy_file or Path(policy.FILE)):
        if path.is_file():
            yield path.name, path
    policies = settings.access_policies
    if policies is not None and policies.is_dir():
        for path in sorted(policies.glob("*.cedar")):
            yield f"policies/{path.name}", path
    elif policies is not None and policies.is_file():
        yield f"policies/{policies.name}", policies


def _told(workspace: Workspace) -> dict[str, object]:
    """What is set, references and not secrets; where commands are given; which files have scheduled pipelines."""
    settings = workspace.settings
    values = settings.model_dump(mode="json", include=settings.model_fields_set)
    schedules = {each.pipeline: each.file for each in workspace.ledger.schedules.all()}
    return {
        "folder": str(Path.cwd()),
        "set": values,
        "environment": sorted(name for name in os.environ if name.startswith(PREFIX)),
        "pipelines": schedules,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", hint="see to its permissions: a backup holds it"
        ) from error
