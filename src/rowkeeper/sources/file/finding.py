"""Which files there are, and what each is."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rowkeeper.errors import ConfigurationError, SourceError
from rowkeeper.sources.file.opening import damaged

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS = {".gz": "gz", ".zst": "zst"}


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One file, or one member of a zip.

    Attributes:
        key: its path as the pattern gives it, with `!member` inside a zip.
        path: where it is.
        compression: "", "gz" or "zst".
    """

    key: str
    path: Path
    member: str | None
    format: str
    compression: str


def find(patterns: Sequence[str], base: Path, wanted: str) -> list[Found]:
    """Everything that the patterns match, by key.

    Raises:
        SourceError: nothing matches, or a zip cannot be read.
        ConfigurationError: the files are of several formats, or of one that is not known.
    """
    found: dict[str, Found] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(str(base / pattern), recursive=True))
        if not matches:
            raise _nothing(pattern, base)
        for match in matches:
            if not os.path.isdir(match):
                for each in _inside(Path(match), _key(match, pattern, base), wanted):
                    found[each.key] = each
    formats = {each.format for each in found.values()}
    if not found:
        raise _nothing(", ".join(patterns), base)
    if len(formats) > 1:
        raise ConfigurationError(
            f"{', '.join(patterns)} match files of several formats: {', '.join(sorted(formats))}",
            hint="a source has one format: narrow the pattern, or make a pipeline of each",
        )
    return [found[key] for key in sorted(found)]


def _key(match: str, pattern: str, base: Path) -> str:
    return match if os.path.isabs(pattern) else os.path.relpath(match, base)


def _inside(path: Path, key: str, wanted: str) -> Iterator[Found]:
    if path.suffix.lower() != ".zip":
        compression = COMPRESSIONS.get(path.suffix.lower(), "")
        name = path.stem if compression else path.name
        yield Found(key, path, None, _format(name, key, wanted), compression)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise damaged(str(path), error) from error
    named = [each for each in members if wanted != "auto" or Path(each.filename).suffix.lower() in FORMATS]
    if not named:
        raise SourceError(f"{path} holds no file of a known format", hint=f"known are {', '.join(FORMATS)}")
    for each in named:
        if each.flag_bits & 1:
            raise SourceError(f"{path} is encrypted: {each.filename}", hint="unpack it first")
        yield Found(f"{key}!{each.filename}", path, each.filename, _format(each.filename, key, wanted), "")


def _format(name: str, key: str, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    known = FORMATS.get(Path(name).suffix.lower())
    if known is None:
        raise ConfigurationError(
            f"the format of {key} cannot be told from its name", hint='say it: format="csv", "ndjson" or "parquet"'
        )
    return known


def _nothing(pattern: str, base: Path) -> SourceError:
    path = base / pattern
    folder = path.parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    if not folder.is_dir():
        return SourceError(f"no file matches {pattern}: there is no folder {folder}", hint="correct the pattern")
    names = sorted(each.name for each in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.4) or names[:3]
    return SourceError(
        f"no file matches {pattern} (looked in {folder})",
        hint="there are: " + ", ".join(near) if near else "the folder is empty",
    )
