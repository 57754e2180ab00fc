"""A table of files at work.

The proof of exactly once is that of the embedded tables, with other means:

    seal      all staged rows are written into data files, whose names no manifest has yet, and read back from there
    publish   the next manifest is made, if nobody else has made it: it names the files, and holds the commit record
    settle    after a crash the staging area is taken away, then the next version is made without the run; so a process
              that is still at it finds no staging area if it looked at the manifests later, and no free version if
              earlier
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar, cast

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.file.declaring import FilesDestination
from rowkeeper.destinations.file.log import FOLDER, Log
from rowkeeper.destinations.file.manifest import Columns, DataFile, Layout, Manifest
from rowkeeper.destinations.file.reading import TableFiles, table_files
from rowkeeper.destinations.file.verifying import verify
from rowkeeper.destinations.file.writing import write_files
from rowkeeper.destinations.staged import StagedInEngine, StagingArea
from rowkeeper.errors import DestinationUnreachable, LayoutError, LeaseLost, StoreError, StoreUnavailable
from rowkeeper.logs import failure, logger
from rowkeeper.protocols import Change, CommitRecord, Health, Posting, RunRows, Sealed, Site, StagedRows
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.stores import address_of, open_store

P = ParamSpec("P")
T = TypeVar("T")
DRAFT = "draft-"

log = logger("files")


def reaching(method: Callable[Concatenate[FilesSession, P], T]) -> Callable[Concatenate[FilesSession, P], T]:
    """What the store says when it is away, as what a run says of its destination."""

    @functools.wraps(method)
    def made(self: FilesSession, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except StoreUnavailable as error:
            raise DestinationUnreachable(error.what, hint=error.hint, context=error.context) from error

    return cast("Callable[Concatenate[FilesSession, P], T]", made)


class FilesSession(StagedInEngine):
    """Implements `protocols.DestinationSession` for a table of files."""

    def __init__(self, table: FilesDestination, site: Site, schema: pa.Schema | None) -> None:
        super().__init__(StagingArea(site, table.target, schema, table.key, table.duplicates), table.target)
        self.destination = table
        address = address_of(table.url)
        self.store = open_store(address, table.access, site, resilience=table.resilience)
        self.log = Log(self.store, f"{address.path.strip('/')}/" if address.is_remote else "")
        self._written: list[DataFile] = []

    def check_change(self, change: Change) -> None:
        """It can make every change."""

    @reaching
    def prepare(self) -> Columns:
        """Compares the contract with the columns that the table has. Raises LayoutError with all that differs."""
        newest = self.log.newest()
        if newest is not None and newest.layouts:
            self._check_settings(newest)
        return self.area.prepare(None if newest is None else newest.columns)

    def _check_settings(self, newest: Manifest) -> None:
        asked = self.destination.settings()
        others = [
            f"its {name} is {newest.settings[name] or 'none'}, not {asked[name] or 'none'}"
            for name in ("format", "partition_by")
            if newest.settings[name] != asked[name]
        ]
        if others and self.destination.write_mode != "replace":
            raise LayoutError(
                f"the table {self.log.place} is laid out differently: " + "; ".join(others),
                hint='load into another folder, or with write="replace"',
            )

    @reaching
    def commit_record(self) -> CommitRecord | None:
        """Who published last, by the newest manifest."""
        newest = self.log.newest()
        return None if newest is None else newest.record

    # ------------------------------------------------------------------------------------------ the end of a run

    @reaching
    def seal(self, staged: Sequence[StagedRows], change: Change) -> Sealed:
        """Checks what was staged, writes it into data files, and checks what is in them."""
        sealed = super().seal(staged, change)
        newest = self.log.newest()
        self._remove_drafts()
        if sealed.fingerprint.rows:
            self.store.put(self._draft, json.dumps({"run": self.area.table.run}).encode())
            failpoint("files.after_draft")
        self._written = write_files(self.destination, self.log, self.area)
        going = [] if newest is None else [each for each in newest.files if _goes(each, change)]
        removed: dict[int, Fingerprint] = {}
        for file in going:
            removed[file.run] = removed.get(file.run, Fingerprint()) + file.fingerprint
        postings = [Posting(run, -held) for run, held in removed.items()]
        return dataclasses.replace(sealed, postings=(*postings, *sealed.postings))

    @reaching
    def publish(self, record: CommitRecord, change: Change) -> None:
        """Makes the next version of the table."""
        newest = self.log.newest()
        if newest is not None and newest.record is not None and newest.record.token > record.token:
            raise LeaseLost(
                f"{self.log.place} was published to by a later holder of the lease",
                hint="run again; it is looked at anew",
            )
        self.area.fingerprints()  # the area is still ours: looked at after the manifests, see `settle`
        self.log.append(self._next(newest, record, change))
        self._tidy(record.run)

    def _next(self, newest: Manifest | None, record: CommitRecord, change: Change) -> Manifest:
        version, before = (1, None) if newest is None else (newest.version + 1, newest.version)
        layouts = () if newest is None else newest.layouts
        held = () if newest is None else newest.files
        if change.reverse is not None:
            if newest is not None and newest.before is not None and self._undoes(newest, change.reverse):
                former = self.log.read(newest.before)
                return dataclasses.replace(former, version=version, record=record, before=before)
            without = tuple(each for each in held if each.run != change.reverse)
            settings = self.destination.settings() if newest is None else newest.settings
            return Manifest(version, record, before, settings, layouts, without)
        kept = [each for each in held if not _goes(each, change)]
        if self.area.columns:
            layouts = (*layouts, Layout(self.area.columns, self.area.delivered_schema))
        own = [dataclasses.replace(each, layout=len(layouts) - 1) for each in self._written]
        used, files = _compact(layouts, [*kept, *own])
        return Manifest(version, record, before, self.destination.settings(), used, files)

    def _tidy(self, run: int) -> None:
        """What is left of the run after its publish. What the store does not let go is left to the next run."""
        self.area.table.stage_drop(run)
        with _left_to_the_next():
            self._remove_drafts(published=run)
            newest = self.log.newest()
            if newest is not None:
                self.log.prune(newest)

    @reaching
    def settle(self, run: int) -> bool:
        """Whether a run that died in `publish` was published; afterwards it cannot be any more."""
        self.area.fence(run)
        for _ in range(2):
            newest = self.log.newest()
            if newest is not None and newest.record is not None and newest.record.run == run:
                self.log.point_to(newest)
                self._tidy(run)
                return True
            with contextlib.suppress(LeaseLost):  # the dead run's process was quicker: it is looked at once more
                self.log.append(self._fence(newest))
                return False
        raise LeaseLost(f"{self.log.place} is being published to by another process", hint="run again")

    def _fence(self, newest: Manifest | None) -> Manifest:
        """The same table under the next version."""
        if newest is None:
            return Manifest(1, None, None, self.destination.settings(), (), ())
        return dataclasses.replace(newest, version=newest.version + 1)

    # ------------------------------------------------------------------------------------------ afterwards

    @reaching
    def undo_kept(self, run: int) -> bool:
        """Whether this run is the last one, and the version before it is kept."""
        newest = self.log.newest()
        return newest is not None and self._undoes(newest, run)

    def _undoes(self, newest: Manifest, run: int) -> bool:
        return newest.record is not None and newest.record.run == run and self.log.has(newest.before)

    @reaching
    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Reads every file, and compares hashes and rows with the books."""
        return verify(self.destination, self.log, self.area, expected)

    @reaching
    def health(self) -> Health:
        """Whether every file is there, in the size that it should have."""
        newest = self.log.newest()
        if newest is None:
            return Health("it has no manifest", ("the table is gone",), "restore it from a backup, or load it again")
        there = {_last(item.name): item.size for item in self.store.list(self.log.prefix)}
        gone = [each for each in newest.files if there.get(_last(each.path)) != each.size]
        rows = sum(each.rows for each in newest.files)
        found = f"{rows:,} rows in {len(newest.files):,} files, version {newest.version}"
        if gone:
            faults = (f"{len(gone)} files are gone or of another size, such as {gone[0].path}",)
            return Health(found, faults, "rowkeeper verify FILE tells which rows that is; restore them from a backup")
        return Health(found)

    @reaching
    def files(self) -> TableFiles:
        """Which files the table is now."""
        return table_files(self.log.newest(), self.log.place)

    def stage_drop(self, run: int) -> None:
        """Drops all that a run has staged, and the data files that it has written and not published."""
        super().stage_drop(run)
        with _left_to_the_next():
            self._remove_drafts(of=run)

    def close(self) -> None:
        """Gives back connections; the staged rows stay."""
        super().close()
        self.store.close()

    # ------------------------------------------------------------------------------------------ drafts

    @property
    def _draft(self) -> str:
        return self.log.name(f"{FOLDER}{DRAFT}{self.area.table.run}-{self.area.table.token}.json")

    def _remove_drafts(self, *, published: int | None = None, of: int | None = None) -> None:
        """Removes what attempts that came to nothing have written.

        Each attempt leaves a note before its first file, so that all names of the table are listed only where one did
        not come to its end.

        Args:
            published: this process has just published this run: its own attempt came to its end.
            of: only those of this run.
        """
        notes = [item.name for item in self.store.list(self.log.name(FOLDER)) if DRAFT in item.name]
        attempts = {note: note.rpartition(DRAFT)[2].removesuffix(".json") for note in notes}
        if of is not None:
            attempts = {note: attempt for note, attempt in attempts.items() if attempt.startswith(f"{of}-")}
        own = f"{published}-{self.area.table.token}"
        stale = [attempt for attempt in attempts.values() if published is None or attempt != own]
        if stale:
            kept = {_last(file.path) for version in self.log.versions() for file in self.log.read(version).files}
            marks = tuple(f"run-{attempt}-" for attempt in stale)
            for item in list(self.store.list(self.log.prefix)):
                if _last(item.name).startswith(marks) and _last(item.name) not in kept:
                    self.store.delete(item.name)
        for note in attempts:
            self.store.delete(note)
        failpoint("files.after_drafts")


@contextlib.contextmanager
def _left_to_the_next() -> Iterator[None]:
    """For what is tidied up: it must not make a failure of what succeeded, nor hide why something failed."""
    try:
        yield
    except StoreError as error:
        log.warning("leftovers were not removed", **failure(error))


def _last(name: str) -> str:
    """The last part of a name, which is a data file's alone in the whole table: it has run, token and number."""
    return name.rpartition("/")[2]


def _goes(file: DataFile, change: Change) -> bool:
    """Whether publishing takes a file out of the table."""
    return change.drop_all or (file.run, file.partition) in change.drop_rows


def _compact(layouts: tuple[Layout, ...], files: list[DataFile]) -> tuple[tuple[Layout, ...], tuple[DataFile, ...]]:
    """The layouts that files have, each once, and the newest last; the files with their numbers."""
    used: list[Layout] = []
    for number, layout in enumerate(layouts):
        if layout not in used and (number == len(layouts) - 1 or any(each.layout == number for each in files)):
            used.append(layout)
    if layouts and used[-1] != layouts[-1]:
        used.remove(layouts[-1])
        used.append(layouts[-1])
    renumbered = [dataclasses.replace(each, layout=used.index(layouts[each.layout])) for each in files]
    return tuple(used), tuple(renumbered)
