"""The files source: what it declares, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.errors import DeclarationError, SourceChanged
from rowkeeper.protocols import Columns, Guarantee, Plan
from rowkeeper.sources.file import identity
from rowkeeper.sources.file.delimited import Dialect
from rowkeeper.sources.file.finding import Found, find
from rowkeeper.sources.file.reading import MODES, Reading
from rowkeeper.sources.file.store import LocalStore, Stamp, Store

ChangePolicy = Literal["reject", "reload", "ignore"]


@dataclasses.dataclass(frozen=True)
class FilesSource:
    """Files by pattern. Guarantee: exactly once. Made by `files()`, which says what each attribute means."""

    patterns: tuple[str, ...]
    format: str
    null_values: tuple[str, ...]
    encoding: str
    delimiter: str
    on_change: ChangePolicy
    base: Path = Path()
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def mode(self) -> InputMode:
        """CSV gives text, NDJSON documents, Parquet typed values."""
        known = self.format if self.format != "auto" else find(self.patterns, self._store, self.format)[0].format
        return MODES[known]

    def located(self, base: Path) -> Self:
        """The same, its relative patterns taken from this folder."""
        return dataclasses.replace(self, base=base)

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out."""
        document = dataclasses.asdict(self)
        return {"kind": "files", **document, "base": str(self.base)}

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Finds the files, and compares them with those that were loaded."""
        here = self._present(loaded)
        if whole:
            same = {each.key: each.identity for each in here} == {key: each.identity for key, each in loaded.items()}
            return Plan(unchanged=tuple(here)) if same else Plan(load=tuple(here))
        new = [each for each in here if each.key not in loaded]
        known = [each for each in here if each.key in loaded]
        changed = tuple(each for each in known if each.identity != loaded[each.key].identity)
        if changed and self.on_change == "reject":
            raise SourceChanged(
                f"{changed[0].key} changed since it was loaded"
                + (f", and {len(changed) - 1} more files" if len(changed) > 1 else ""),
                hint='say what to do with changed files: rk.sources.files(..., on_change="reload") loads them in the '
                'place of their former rows, "ignore" leaves them',
            )
        return Plan(
            load=tuple(new),
            reload=changed if self.on_change == "reload" else (),
            unchanged=tuple(each for each in known if each.identity == loaded[each.key].identity),
            ignored=changed if self.on_change == "ignore" else (),
        )

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads one file. What is yielded last was still the file that the plan saw."""
        dialect = Dialect(self.delimiter, self.encoding, self.null_values)
        return Reading(self._store, partition, dialect, columns, batch_rows, batch_bytes, start_row).batches()

    @property
    def _store(self) -> Store:
        return LocalStore(self.base)

    def _present(self, loaded: Mapping[str, Partition]) -> list[Partition]:
        """The files that are there, each identified once: all members of a zip share its identity."""
        former = {str(each.detail.get("path")): each for each in loaded.values()}
        known: dict[str, tuple[Stamp, str, int]] = {}
        here = []
        for found in find(self.patterns, self._store, self.format):
            if found.location not in known:
                known[found.location] = self._identified(found.location, former.get(found.location))
            here.append(partition_of(found, *known[found.location]))
        return here

    def _identified(self, location: str, former: Partition | None) -> tuple[Stamp, str, int]:
        stamp = self._store.stamp(location)
        if former is not None and identity.untouched(stamp, former.detail):
            return stamp, former.identity, int(former.detail["hashed_ns"])
        return stamp, *identity.hashed(self._store, location, stamp)


def partition_of(found: Found, stamp: Stamp, content: str, hashed_ns: int) -> Partition:
    """What the ledger keeps of a file: enough to open it again, and to see that it was not touched."""
    return Partition(
        key=found.key,
        identity=content,
        size_bytes=int(stamp["size"]),
        detail={
            **stamp,
            "hashed_ns": hashed_ns,
            "path": found.location,
            "member": found.member,
            "format": found.format,
            "compression": found.compression,
        },
    )


def files(
    *patterns: str,
    format: Literal["auto", "csv", "ndjson", "parquet"] = "auto",
    null_values: Sequence[str] = ("",),
    encoding: str = "utf-8",
    delimiter: str = ",",
    on_change: ChangePolicy = "reject",
) -> FilesSource:
    """Local files: CSV, NDJSON or Parquet; plain, `.gz`, `.zst`, or inside a `.zip`.

    Each file (and each member of a zip) is a partition, known by its size and the SHA-256 of its bytes: one that was
    loaded is not loaded again.

    Args:
        patterns: paths, with `*`, `?`, `[...]` and `**`; relative ones start from the pipeline file's folder.
        format: "auto" goes by the files' names.
        null_values: what stands for null in a CSV, where it is not quoted.
        encoding: of a CSV.
        delimiter: of a CSV.
        on_change: what to do with a file that changed since it was loaded: `reject` fails the run, `reload` loads it in
            the place of its former rows, `ignore` leaves it.

    Raises:
        DeclarationError: an argument is not possible.
    """
    if not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise DeclarationError("a files source needs a path or pattern", hint='rk.sources.files("data/*.csv")')
    if on_change not in ("reject", "reload", "ignore"):
        raise DeclarationError(f"on_change={on_change!r} is no policy", hint="one of reject, reload, ignore")
    if format not in ("auto", *MODES):
        raise DeclarationError(f"format={format!r} is not known", hint="one of auto, csv, ndjson, parquet")
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise DeclarationError(f"delimiter={delimiter!r} is no delimiter", hint='one ASCII character, such as ";"')
    try:
        "".encode(encoding)
    except LookupError as error:
        raise DeclarationError(f"encoding={encoding!r} is not known", hint='such as "latin-1"') from error
    if isinstance(null_values, str):
        raise DeclarationError("null_values is one string", hint=f"give a list: null_values=[{null_values!r}]")
    return FilesSource(tuple(patterns), format, tuple(null_values), encoding, delimiter, on_change)
