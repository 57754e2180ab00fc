"""A scan of files and folders, with all rules."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rowkeeper.configuration.file import FILE
from rowkeeper.errors import ConfigurationError
from rowkeeper.nearest import did_you_mean
from rowkeeper.security.scanning import rules
from rowkeeper.security.scanning.leak import Leak
from rowkeeper.security.scanning.python import leaks_in_python
from rowkeeper.security.scanning.text import lines_with_secrets

FILE_BYTES_MAX = 5_000_000
NOT_OURS = {"node_modules", "__pycache__", "site-packages"}


def scan(paths: Sequence[Path]) -> list[Leak]:
    """The secrets in files, and in all text files below folders; one for each line.

    Without detect-secrets only what is certain is found.

    Raises ConfigurationError if there is no such file, or one cannot be read: a scan of nothing is no clean one.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    found = [leak for file in files for leak in _certain(file)]
    if rules.installed():
        found.extend(rules.leaks_by_rules([file for file in files if _content(file)]))
    first: dict[tuple[Path, int], Leak] = {}
    for leak in found:
        first.setdefault((leak.path, leak.line), leak)
    return sorted(first.values())


def pipeline_files(folder: Path) -> list[Path]:
    """The Python files of a folder that are about Rowkeeper, and its settings. Raises as `scan` does."""
    found = [path for path in sorted(folder.glob("*.py")) if b"rowkeeper" in _content(path)]
    return [*found, folder / FILE] if (folder / FILE).is_file() else found


def _certain(path: Path) -> Iterator[Leak]:
    content = _content(path)
    if path.suffix == ".py":
        yield from leaks_in_python(path, content)
        return
    for number, kind in lines_with_secrets(content.decode(errors="replace").splitlines()):
        yield Leak(path, number, kind)


def _files(path: Path) -> Iterator[Path]:
    """A file itself; of a folder all text files that are not hidden and not of installed packages."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        near = [str(each) for each in path.parent.glob("*")]
        raise ConfigurationError(
            f"there is no file or folder {path}", hint=did_you_mean(str(path), near, "name a file or a folder")
        )
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(each for each in folders if not _is_foreign(Path(folder, each)))
        for name in sorted(names):
            file = Path(folder, name)
            if (not name.startswith(".") or name == ".env") and file.is_file() and b"\0" not in _content(file):
                yield file


def _is_foreign(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in NOT_OURS or (folder / "pyvenv.cfg").exists()


def _content(path: Path) -> bytes:
    """Its bytes; none of a file that is too large to have been written by hand."""
    try:
        return b"" if path.stat().st_size > FILE_BYTES_MAX else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be scanned: {error.strerror}", hint="see to its permissions, or leave it out"
        ) from error
