"""Which files there are, and what each is."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rowkeeper.errors import DeclarationError, SourceError
from rowkeeper.sources.file.opening import damaged
from rowkeeper.sources.file.store import Entry, Store

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".avro": "avro",
}
COMPRESSIONS = {".gz": "gz", ".zst": "zst"}
ENCRYPTED_FLAG = 1  # of a zip member, APPNOTE.TXT 4.4.4


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One file, or one member of a zip.

    Attributes:
        key: its path as the pattern gives it, with `!member` inside a zip.
        location: where the store finds it.
        compression: "", "gz" or "zst".
    """

    key: str
    location: str
    member: str | None
    format: str
    compression: str


def find(patterns: Sequence[str], store: Store, wanted: str) -> list[Found]:
    """Everything that the patterns match, by key; a file that several patterns match is there once.

    Raises:
        SourceError: nothing matches, or a zip cannot be read.
        ConfigurationError: the files are of several formats, or of one that is not known.
    """
    found: dict[tuple[str, str | None], Found] = {}
    for pattern in patterns:
        for entry in store.list(pattern):
            for each in _inside(store, entry, wanted):
                found.setdefault((os.path.normpath(each.location), each.member), each)
    formats = {each.format for each in found.values()}
    if len(formats) > 1:
        raise DeclarationError(
            f"{', '.join(patterns)} match files of several formats: {', '.join(sorted(formats))}",
            hint="a source has one format: narrow the pattern, or make a pipeline of each",
        )
    return sorted(found.values(), key=lambda each: each.key)


def format_of(patterns: Sequence[str]) -> str:
    """The format of files on other machines, by what their patterns say: nobody is asked.

    Raises DeclarationError if they do not say one.
    """
    found = set()
    for pattern in patterns:
        path = Path(pattern.partition("?")[0] if pattern.startswith("http") else pattern)
        suffix = path.suffix.lower()
        named = path.with_suffix("") if suffix in COMPRESSIONS else path
        found.add(FORMATS.get(named.suffix.lower(), ""))
    if len(found) != 1 or "" in found:
        raise DeclarationError(
            f"the format of {', '.join(patterns)} cannot be told from the pattern",
            hint='say it: format="csv", "ndjson", "json", "parquet" or "avro"',
        )
    return found.pop()


def _inside(store: Store, entry: Entry, wanted: str) -> Iterator[Found]:
    path = Path(entry.named or entry.key)
    if path.suffix.lower() != ".zip":
        compression = COMPRESSIONS.get(path.suffix.lower(), "")
        name = path.stem if compression else path.name
        yield Found(entry.key, entry.location, None, _format(name, entry.key, wanted), compression)
        return
    members = [each for each in _members(store, entry) if wanted != "auto" or _known(each.filename)]
    if not members:
        raise SourceError(f"{entry.key} holds no file of a known format", hint=f"known are {', '.join(FORMATS)}")
    name, times = Counter(each.filename for each in members).most_common(1)[0]
    if times > 1:
        raise SourceError(f"{entry.key} holds {name} {times} times: which is meant cannot be told", hint="pack it anew")
    for each in members:
        if each.flag_bits & ENCRYPTED_FLAG:
            raise SourceError(f"{entry.key} is encrypted: {each.filename}", hint="unpack it first")
        key = f"{entry.key}!{each.filename}"
        yield Found(key, entry.location, each.filename, _format(each.filename, key, wanted), "")


def _members(store: Store, entry: Entry) -> list[zipfile.ZipInfo]:
    """The files in a zip, without what macOS packs beside each."""
    try:
        with store.open(entry.location, "random") as file, zipfile.ZipFile(file) as archive:
            listed = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged(entry.key, error) from error
    return [each for each in listed if not each.is_dir() and not each.filename.startswith("__MACOSX/")]


def _known(name: str) -> bool:
    return Path(name).suffix.lower() in FORMATS


def _format(name: str, key: str, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    known = FORMATS.get(Path(name).suffix.lower())
    if known is None:
        raise DeclarationError(
            f"the format of {key} cannot be told from its name",
            hint='say it: format="csv", "ndjson", "json", "parquet" or "avro"',
        )
    return known
