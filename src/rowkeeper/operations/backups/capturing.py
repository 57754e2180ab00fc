"""What a backup is of: tables, ledger and files as they were at one moment between two runs.

The moment is short: tables are cloned (hard links), the ledger is copied, or, in PostgreSQL, seen by a transaction,
sealed files are linked, and everybody goes on. What takes time, writing down what that transaction sees, ClickHouse's
own backup of the clones and all that is sealed and sent, comes after it. Tables on a server are cloned there, and their
rows are fetched afterwards.

Other machines may publish to a table on a server, and know nothing of our lock. So its commit record is read again
after the ledger's moment: if it is still that of the clone, nobody has published meanwhile, as a run is published
before its ledger knows of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.mergetree.saving import Part, back_up, forget, forget_saved, kept, name_of, save
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.durable import link_or_copy
from rowkeeper.errors import DiskFull, LeaseHeld
from rowkeeper.ledger.copying import Moment, files_of_copy
from rowkeeper.ledger.history import Published
from rowkeeper.operations.backups.manifest import Snapshot, TableBackup
from rowkeeper.operations.backups.rows import RowsSending, Wanted
from rowkeeper.operations.backups.settled import settings_files
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.boundary import CLICKHOUSE, EMBEDDED, between_runs
from rowkeeper.runs.reconciling import check_commit, destination_of, reconcile_if_free
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.private import make_folder

SEALED = ("quarantine", "samples", "spool")  # never changed once they are there: links will do
NOT_STATE = ("engine", "logs", "home.json", "keys.json")  # the engine is backed up by itself, those two beside all else
LEDGER = "ledger.sqlite"
KEYS = ("home.json", "keys.json")
WORK = "work"
ATTEMPTS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Targets:
    """The tables that the ledger knows.

    Attributes:
        ours: those in ClickHouse, in the embedded engine or on a server.
        elsewhere: those whose rows are in no backup of ours.
    """

    ours: tuple[str, ...]
    elsewhere: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Captured:
    """A moment, as it lies in the work folder.

    Attributes:
        boundary: when it was.
        files: state, settings and ledger: path in the backup to file.
        ledger: what its file is written from.
        beside: `home.json` and `keys.json`, which whoever restores must be able to read first.
        elsewhere, left_out: as the manifest has them.
        kept: former states that this backup holds, or its base, by target; they may go when it is complete.
        parts: the tables that the embedded engine is to back up.
        rows: the tables on servers, whose rows are to be fetched.
    """

    boundary: datetime
    run: int | None
    order: int
    tables: tuple[TableBackup, ...]
    files: Mapping[str, Path]
    ledger: Moment
    beside: Mapping[str, bytes]
    elsewhere: tuple[str, ...]
    left_out: Mapping[str, str]
    kept: Mapping[str, tuple[Part, ...]]
    parts: tuple[Part, ...]
    rows: tuple[Wanted, ...]
    keys: Mapping[str, tuple[str, ...]]


class Capture:
    """Captures an installation, and holds what that takes until it is closed.

    Args:
        id: of the backup.
        since: the place in the order of publishes that the base covers; 0 for a full backup.
    """

    def __init__(self, workspace: Workspace, id: str, since: int) -> None:
        self._workspace, self._id, self._since = workspace, id, since
        self._places = EnginePlaces.under(workspace.folder.path)
        self._sessions: dict[str, TableSession] = {}
        self._stack = ExitStack()
        self._bases: list[Path] = []
        self.held_seconds = 0.0  # that publishes had to wait

    @property
    def work(self) -> Path:
        """The work folder, beside ClickHouse's own backups."""
        return self._places.backups / WORK / self._id

    @property
    def native(self) -> Path:
        """ClickHouse's own backup."""
        return self._places.backups / self._id

    def base(self, id: str) -> Path:
        """Where ClickHouse finds the description of a backup that this one goes on from."""
        self._bases.append(self._places.backups / id)
        return self._bases[-1]

    def __enter__(self) -> Capture:
        make_folder(self.work)
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for folder in (self.native, self.work, *self._bases):
                self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for table in self._sessions.values():
                self._stack.callback(table.close)
                self._stack.callback(forget_saved, table)

    def take(self, seconds: float) -> Captured:
        """Waits for a moment between runs, and captures it.

        Raises LeaseHeld if there is none in so many seconds; BooksDiffer where table and ledger disagree.
        """
        captured = self._captured(seconds)
        captured.ledger.write()
        failpoint("backup.after_ledger")
        missing = [name for name in files_of_copy(self.work / LEDGER) if f"state/{name}" not in captured.files]
        if not missing:
            return captured
        told = f"{len(missing):,} that the ledger knows are not in the state folder"
        return dataclasses.replace(captured, left_out={**captured.left_out, "sealed files": told})

    def _captured(self, seconds: float) -> Captured:
        settled, home = settings_files(self._workspace), self._workspace.folder.path
        for attempt in range(ATTEMPTS):
            for target in targets_of(self._workspace).ours:
                reconcile_if_free(self._workspace, self._session(target).destination)
            with between_runs(home, seconds):
                failpoint("backup.between_runs")
                targets, began = targets_of(self._workspace), time.monotonic()
                if attempt + 1 < ATTEMPTS and any(map(self._is_ahead, targets.ours)):
                    continue  # whoever published it has died since, and is settled first
                captured = self._capture(targets, settled)
                self.held_seconds = time.monotonic() - began
            if not any(self._moved(each) for each in captured.tables if is_on_server(each.target)):
                return captured
            captured.ledger.close()
            shutil.rmtree(self.work)
            make_folder(self.work)
        raise LeaseHeld(
            "other machines have been publishing to a table on a ClickHouse server without a moment between them",
            hint="see what rowkeeper health shows under way, then try again",
        )

    def _moved(self, taken: TableBackup) -> bool:
        """Whether somebody has published to a table on a server since it was cloned."""
        record = self._session(taken.target).commit_record()
        return record is None or record.run != taken.run

    def _capture(self, targets: Targets, settled: Mapping[str, bytes]) -> Captured:
        """While nobody publishes: sealed files are linked before and after the ledger's moment, as others may come and
        go meanwhile.
        """
        ledger, home, boundary = self._workspace.ledger, self._workspace.folder.path, datetime.now(UTC)
        run, order = ledger.history.newest()
        taken = [self._table(target, self._session(target)) for target in targets.ours]
        failpoint("backup.after_clones")
        files = self._link_state()
        moment = ledger.moment(self.work / LEDGER)
        self._stack.callback(moment.close)
        failpoint("backup.after_moment")
        files |= self._link_state()
        return Captured(
            boundary=boundary,
            run=run,
            order=order,
            tables=tuple(each.backup for each in taken if each.backup is not None),
            files={**files, f"state/{LEDGER}": self.work / LEDGER, **self._written(settled)},
            ledger=moment,
            beside={name: (home / name).read_bytes() for name in KEYS},
            elsewhere=targets.elsewhere,
            left_out={each.target: each.left_out for each in taken if each.left_out},
            kept={each.target: each.kept for each in taken},
            parts=tuple(part for each in taken if not is_on_server(each.target) for part in each.parts),
            rows=tuple(wanted for each in taken for wanted in each.rows),
            keys=_keys_of(self._workspace),
        )

    def back_up_tables(self, captured: Captured, base: str | None) -> None:
        """Has ClickHouse back up the clones, and lets them go. Raises DiskFull, EngineDied, DatabaseError."""
        if not captured.parts:
            self.native.mkdir(mode=0o700)
            return
        ours = [session for target, session in self._sessions.items() if not is_on_server(target)]
        try:
            back_up(ours[0], captured.parts, self._id, base)
        except DiskFull as error:
            raise DiskFull(
                f"no room left on the disk for ClickHouse's own backup in {self._places.backups}",
                hint="it needs as much as is new since the last backup, until that is sent; free some space",
            ) from error
        failpoint("backup.after_native")
        for each in ours:
            forget_saved(each)

    def send_rows(self, captured: Captured, sending: RowsSending) -> None:
        """Fetches the rows of the clones on servers, and lets these go. Raises as `RowsSending.send`."""
        for wanted in captured.rows:
            sending.send(self._sessions[wanted.target], wanted)
        for target in {each.target for each in captured.rows}:
            forget_saved(self._sessions[target])

    def forget_kept(self, captured: Captured) -> None:
        """Drops the former states that the backup holds now."""
        for target, parts in captured.kept.items():
            forget(self._sessions[target], parts)

    # ---------------------------------------------------------------------------------------------- tables

    def _session(self, target: str) -> TableSession:
        """The table, connected to; what a backup that died has left of it is dropped first."""
        if target not in self._sessions:
            last = self._workspace.ledger.last_published(target)
            assert last is not None, target
            session = destination_of(last).connect(self._workspace.site, None)
            assert isinstance(session, TableSession), target
            self._sessions[target] = session
            forget_saved(session)
        return self._sessions[target]

    def _is_ahead(self, target: str) -> bool:
        """Whether a table was published by a run of which the ledger does not know that yet."""
        record = self._session(target).commit_record()
        unfinished = {each.run for each in self._workspace.ledger.unfinished(target)}
        return record is not None and record.run in unfinished

    def _table(self, target: str, table: TableSession) -> _Taken:
        """Clones a table and says what can be made of it."""
        if not table.exists(table.names.table):
            return _Taken(target, left_out="the table is not there: somebody dropped it")
        check_commit(self._workspace.ledger, table, target)
        history = self._workspace.ledger.history.published(target)
        runs = [each.run for each in history]
        former = kept(table)
        forget(table, [part for run, part in former.items() if run not in runs])
        snapshots, parts, done, states = [], [], [], list[Published]()
        for run in sorted(set(former) & set(runs), key=runs.index):
            done.append(former[run])
            before = runs.index(run) - 1
            if history[runs.index(run)].removes and before >= 0 and history[before].order > self._since:
                snapshots.append(_snapshot(former[run], history, before, self._since))
                parts.append(former[run])
                states.append(history[before])
        last = save(table, runs[-1])
        snapshots.append(_snapshot(last, history, len(history) - 1, self._since))
        parts.append(last)
        newest = history[-1]
        states.append(newest)
        backup = TableBackup(
            target, table.names.database, table.names.table, newest.run, str(newest.after), tuple(snapshots)
        )
        return _Taken(target, backup, tuple(parts), tuple(done), tuple(self._wanted(target, parts, states)))

    def _wanted(self, target: str, parts: Sequence[Part], states: Sequence[Published]) -> Iterator[Wanted]:
        """What is to be fetched of a table on a server: its states, with the books of then."""
        if is_on_server(target):
            for part, state in zip(parts, states, strict=True):
                yield Wanted(target, part, self._workspace.ledger.history.balance_after(target, state.order))

    # ----------------------------------------------------------------------------------------------- files

    def _link_state(self) -> dict[str, Path]:
        """Links or copies what lies in the state folder beside engine and ledger."""
        home, found = self._workspace.folder.path, {}
        for path in _state_files(home):
            name = path.relative_to(home).as_posix()
            place = self.work / "state" / name
            if not place.exists():
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                    link_or_copy(path, place) if name.split("/")[0] in SEALED else shutil.copyfile(path, place)
            if place.exists():
                found[f"state/{name}"] = place
        return found

    def _written(self, settled: Mapping[str, bytes]) -> dict[str, Path]:
        found = {}
        for name, data in settled.items():
            path = self.work / "settings" / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            found[f"settings/{name}"] = path
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Taken:
    target: str
    backup: TableBackup | None = None
    parts: tuple[Part, ...] = ()
    kept: tuple[Part, ...] = ()
    rows: tuple[Wanted, ...] = ()
    left_out: str = ""


def targets_of(workspace: Workspace) -> Targets:
    """The tables that the ledger knows, by whether a backup holds them."""
    published = [each for each in workspace.ledger.targets() if workspace.ledger.last_published(each) is not None]
    ours = tuple(each for each in published if each.startswith(CLICKHOUSE))
    return Targets(ours, tuple(each for each in published if each not in ours))


def is_on_server(target: str) -> bool:
    """Whether a table in ClickHouse is on a server."""
    return not target.startswith(EMBEDDED)


def _snapshot(part: Part, history: Sequence[Published], newest: int, since: int) -> Snapshot:
    """What can be restored from a table as it was after the `newest`-th publish.

    Going back, rows of later runs are left out, until a run that took rows out: those are not in it.
    """
    oldest = newest
    while oldest > 0 and not history[oldest].removes and history[oldest - 1].order > since:
        oldest -= 1
    points = tuple(each.run for each in history[oldest : newest + 1])
    return Snapshot(name_of(part), history[newest].run, str(history[newest].after), points)


def _state_files(home: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(home):
        at = Path(folder)
        if at == home:
            folders[:] = [name for name in folders if name not in NOT_STATE]
        folders.sort()
        for name in sorted(names):
            path = at / name
            skipped = at == home and (name in NOT_STATE or name.startswith(LEDGER))
            if not skipped and not name.endswith(".lock") and not path.is_symlink() and path.is_file():
                yield path


def _keys_of(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    records = workspace.folder.keysets.records()
    return {purpose: tuple(f"{number:08x}" for number in sorted(each.enabled)) for purpose, each in records.items()}
