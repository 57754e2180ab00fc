"""The files source: what it declares, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import DeclarationError, FrameworkError, SourceChanged, SourceError, StoreError
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.resilience.calls import Calls, Line
from rowkeeper.resilience.policy import Resilience
from rowkeeper.sources.file import identity
from rowkeeper.sources.file.delimited import Dialect
from rowkeeper.sources.file.finding import Found, find, format_of
from rowkeeper.sources.file.persisting import FILE_ERRORS, FILES, asked, read_on
from rowkeeper.sources.file.reading import MODES, Reading
from rowkeeper.sources.file.remote import RemoteStore
from rowkeeper.sources.file.store import LocalStore, Stamp, Store
from rowkeeper.stores import StoreAccess, address_of, endpoints_of

T = TypeVar("T")
UNREADABLE = (SourceError, StoreError)
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
    names: tuple[tuple[str, str], ...] = ()
    """(beginning of a key, what stands in its place): for files that go by the names of others."""
    records: str | None = None
    access: StoreAccess | None = dataclasses.field(default=None, compare=False)
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    calls: Calls = dataclasses.field(default_factory=Calls, compare=False, repr=False)
    remote: RemoteStore | None = dataclasses.field(default=None, compare=False, repr=False)
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def mode(self) -> InputMode:
        """CSV gives text, NDJSON and JSON documents, Parquet and Avro typed values."""
        if self.format != "auto":
            return MODES[self.format]
        if self.is_remote:
            return MODES[format_of(self.patterns)]
        return MODES[find(self.patterns, self._store, self.format)[0].format]

    @property
    def is_remote(self) -> bool:
        """Whether the files are on other machines."""
        return self.access is not None

    def endpoints(self) -> Sequence[Endpoint]:
        """The stores that it reads from; none for files of this machine."""
        found = [each for pattern in self.patterns for each in endpoints_of(address_of(pattern), self.access)]
        return tuple(dict.fromkeys(found))

    def located(self, base: Path) -> Self:
        """The same, its relative patterns taken from this folder."""
        return dataclasses.replace(self, base=base)

    def at(self, site: Site) -> Self:
        """The same, with breakers and budgets that others share."""
        remote = None if self.access is None else RemoteStore(self.access, site, self.resilience)
        return dataclasses.replace(self, calls=site.calls, remote=remote)

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out."""
        document = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.compare and each.name != "base"
        }
        for each in ("names", "records"):
            if not document[each]:
                del document[each]
        where = {"base": str(self.base)} if self.access is None else {"access": dict(self.access.describe())}
        return {"kind": "files", **document, **where}

    def named_like(self, other: FilesSource) -> Self:
        """The same files, under the names that those of another source have in their place.

        Raises DeclarationError if the two have not as many patterns.
        """
        if len(self.patterns) != len(other.patterns):
            raise DeclarationError(
                f"a source of {len(other.patterns)} patterns cannot fall back on one of {len(self.patterns)}",
                hint="give both the same patterns, below another folder",
            )
        pairs = zip(map(_fixed, self.patterns), map(_fixed, other.patterns), strict=True)
        return dataclasses.replace(self, names=tuple(pairs))

    def reach(self) -> None:
        """Looks whether a file is there for each pattern; of another machine, whether its store answers."""
        with self._store:
            for pattern in self.patterns:
                self._store.reach(pattern)

    def partition(self, key: str) -> Partition | None:
        """One partition by its key; None if it is not there, or cannot be read."""
        try:
            for found in self._found():
                if found.key == key:
                    return partition_of(found, *self._identified(found.location, None))
        except UNREADABLE:
            return None
        return None

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Finds the files, and compares them with those that were loaded."""
        with self._store:
            here, failed = self._present(loaded)
        if whole:
            same = {each.key: each.identity for each in here} == {key: each.identity for key, each in loaded.items()}
            return Plan(unchanged=tuple(here), failed=failed) if same else Plan(load=tuple(here), failed=failed)
        new = [each for each in here if each.key not in loaded]
        known = [each for each in here if each.key in loaded]
        changed = tuple(each for each in known if each.identity != loaded[each.key].identity)
        if self.on_change == "reject":
            failed |= {each.key: _changed(each.key) for each in changed}
        return Plan(
            load=tuple(new),
            reload=changed if self.on_change == "reload" else (),
            unchanged=tuple(each for each in known if each.identity == loaded[each.key].identity),
            ignored=changed if self.on_change == "ignore" else (),
            failed=dict(sorted(failed.items())),
        )

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads one file. What is yielded last was still the file that the plan saw."""
        dialect = Dialect(self.delimiter, self.encoding, self.null_values, self.records or "$")
        store = self._store

        def batches(row: int) -> Iterator[Batch]:
            return Reading(store, partition, dialect, columns, batch_rows, batch_bytes, row).batches()

        with store:  # what is elsewhere is asked for again range by range
            yield from batches(start_row) if self.is_remote else read_on(self._line, batches, start_row)

    @property
    def _line(self) -> Line:
        return self.calls.to(f"files {self.patterns[0]}", "read", self.resilience or FILES, FILE_ERRORS)

    def _asked(self, function: Callable[[], T]) -> T:
        """The answer of a store. What is elsewhere is asked for again by the store itself, and at one place only."""
        return function() if self.is_remote else asked(self._line, function)

    @property
    def _store(self) -> Store:
        if self.access is None:
            return LocalStore(self.base)
        if self.remote is None:
            raise SourceError(f"{self.patterns[0]} is read by a run only", hint="rowkeeper run FILE")
        return self.remote

    def _present(self, loaded: Mapping[str, Partition]) -> tuple[list[Partition], dict[str, FrameworkError]]:
        """The files that are there, each identified once: all members of a zip share its identity.

        Those that cannot be read are in the second part, by key, with the reason.
        """
        former = {str(each.detail.get("path")): each for each in loaded.values()}
        known: dict[str, tuple[Stamp, str, int]] = {}
        here: list[Partition] = []
        failed: dict[str, FrameworkError] = {}
        for found in self._found():
            try:
                if found.location not in known:
                    known[found.location] = self._identified(found.location, former.get(found.location))
                here.append(partition_of(found, *known[found.location]))
            except UNREADABLE as error:
                failed[found.key] = error
        return here, failed

    def _found(self) -> list[Found]:
        return [
            dataclasses.replace(found, key=_renamed(found.key, self.names))
            for found in self._asked(lambda: find(self.patterns, self._store, self.format))
        ]

    def _identified(self, location: str, former: Partition | None) -> tuple[Stamp, str, int]:
        return self._asked(lambda: self._looked_at(location, former))

    def _looked_at(self, location: str, former: Partition | None) -> tuple[Stamp, str, int]:
        stamp = self._store.stamp(location)
        if former is not None and identity.untouched(stamp, former.detail):
            return stamp, former.identity, int(former.detail["hashed_ns"])
        return stamp, *identity.hashed(self._store, location, stamp)


def _fixed(pattern: str) -> str:
    """What every name begins with that a pattern matches: all of it where it has no wildcard."""
    wild = min((pattern.index(sign) for sign in "*?[" if sign in pattern), default=None)
    return pattern if wild is None else pattern[: pattern.rfind("/", 0, wild) + 1]


def _renamed(key: str, names: Sequence[tuple[str, str]]) -> str:
    return next((other + key.removeprefix(own) for own, other in names if key.startswith(own)), key)


def _changed(key: str) -> SourceChanged:
    return SourceChanged(
        f"{key} changed since it was loaded",
        hint='say what to do with changed files: rk.sources.files(..., on_change="reload") loads them in the '
        'place of their former rows, "ignore" leaves them',
    )


def partition_of(found: Found, stamp: Stamp, content: str, hashed_ns: int) -> Partition:
    """What the ledger keeps of a file: enough to open it again, and to see that it was not touched."""
    return Partition(
        key=found.key,
        identity=content,
        size_bytes=int(stamp["size"]) if int(stamp["size"]) >= 0 else None,
        detail={
            **stamp,
            "hashed_ns": hashed_ns,
            "path": found.location,
            "member": found.member,
            "format": found.format,
            "compression": found.compression,
        },
    )
