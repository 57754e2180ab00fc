"""`rowkeeper restore`: a state folder as it was at a point in time, from backups.

    1. Nobody uses what is there, and it may be replaced; or nothing is there.
    2. In a folder beside it: keys, ledger and sealed files. The ledger is that of the live state, where it is sound, as
       nothing newer can be had; otherwise that of the newest backup.
    3. The point is looked up in that ledger, and each table's state of then in the backups.
    4. What came after the point is undone in the ledger, each table is restored, and gets the commit record of the
       entry that says so.
    5. The engine is started anew, and all of it is proved: fingerprints, parts, books, trail.
    6. One step puts the folder in its place. The former state is kept under another name. Where the ledger is in
       PostgreSQL its commit there comes just before, and who finds that done takes the step (`runs/restored.py`).
    7. Tables on ClickHouse servers, which were made and proved beside the live ones, are put in their places.

Whatever fails or dies before the sixth step leaves all as it was. After it the seventh is done, by this process or by
the next one. Destinations elsewhere are not rolled back.
"""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.destinations import ClickHouseDestination
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import end_host
from rowkeeper.errors import (
    AccessDenied,
    DiskFull,
    FrameworkError,
    PointUnknown,
    RestorePlaceUnfit,
    StateThere,
    TablesUnplaced,
)
from rowkeeper.ledger.restoring import Point, Undone
from rowkeeper.operations.backups.capturing import is_on_server
from rowkeeper.operations.backups.rows import bytes_of
from rowkeeper.operations.restoring.choosing import Choice, choose
from rowkeeper.operations.restoring.laying import (
    LEDGER,
    bytes_of_tables,
    keysets_missing,
    lay_backup,
    lay_live,
    lay_missing,
    lay_tables,
)
from rowkeeper.operations.restoring.ledgers import LedgerPlace, ledger_place, refuse_there
from rowkeeper.operations.restoring.proving import TableProved, prove
from rowkeeper.operations.restoring.servers import ServerTables, pieces_of
from rowkeeper.operations.restoring.source import Source, open_source, place_opened
from rowkeeper.operations.restoring.using import refuse_in_use
from rowkeeper.protocols import CommitRecord
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.boundary import CLICKHOUSE
from rowkeeper.runs.evidence import FILE as NOTED_SETTINGS
from rowkeeper.runs.hold import hold
from rowkeeper.runs.placing import put_in_place, waiting
from rowkeeper.runs.reconciling import declared
from rowkeeper.runs.room import check_room
from rowkeeper.runs.swapping import Swap
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keyfile import replace_private
from rowkeeper.settings import Settings

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
IDLE_SECONDS = 600.0  # the engine of a folder that is built is ended when it is no longer needed
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored.

    Attributes:
        to: the number of a run, a moment, or None for the newest state that there is in backups.
        backup: the id of the backup whose ledger is taken, where there is no live one; None is the newest.
    """

    to: int | datetime | None = None
    backup: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A state folder that was built and proved.

    Attributes:
        ledger: `live`, or `backup`.
        undone: runs that count as taken back now.
        revived: runs that had been taken back after the point, and are in force again.
        elsewhere: what was not rolled back: pipeline to destination.
        notes: what whoever restores should know, in sentences.
    """

    point: Point
    backup: str
    ledger: str
    tables: tuple[TableProved, ...]
    undone: tuple[int, ...]
    revived: tuple[int, ...]
    elsewhere: Mapping[str, str]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        at = self.point.published_at
        return {
            "run": self.point.run,
            "published_at": None if at is None else at.isoformat(),
            "backup": self.backup,
            "ledger": self.ledger,
            "tables": [each.as_dict() for each in self.tables],
            "undone": list(self.undone),
            "revived": list(self.revived),
            "elsewhere": dict(self.elsewhere),
            "notes": list(self.notes),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """A state folder that was restored.

    Attributes:
        folder: where it is.
        aside: where the former state is; None if there was none.
    """

    built: Built
    folder: Path
    aside: Path | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        places = {"folder": str(self.folder), "aside": None if self.aside is None else str(self.aside)}
        return {"status": "restored", **places, **self.built.as_dict()}


def restore(
    settings: Settings, wanted: Wanted, *, into: Path | None = None, force: bool = False, tell: Tell = lambda _: None
) -> Restored:
    """Restores into the state folder of the settings, or into an empty one.

    Args:
        into: an empty folder, or one that is yet to be made.
        force: a state folder with data is set aside for it.
        tell: is told what is done next, in a few words.

    Raises:
        StateThere, StateInUse, RestorePlaceUnfit: there is something, somebody uses it, or it cannot be replaced.
        BackupError and what is derived from it: what there is cannot be restored, or not to this point.
        AccessDenied, SecurityError, StoreError, DiskFull.
        In each case nothing that was there was touched.
    """
    swap = Swap(into or settings.home)
    with ledger_place(settings, swap, elsewhere=into is not None) as place:
        home = None if swap.is_empty else swap.target
        may = force and into is None
        if home is not None:
            _refuse_replacing(home, may=may, hint="--into an empty folder" if into else "")
        refuse_there(place, may=may)
        return _restored(settings, wanted, swap, place, tell, in_place=into is None, may_replace=force)


def _restored(
    settings: Settings,
    wanted: Wanted,
    swap: Swap,
    place: LedgerPlace,
    tell: Tell,
    *,
    in_place: bool,
    may_replace: bool,
) -> Restored:
    """Into a place that may be restored into; see `build` for the last two."""
    home = None if swap.is_empty else swap.target
    with swap.building() as draft, told_in_our_words(draft), place_opened(settings, draft) as (store, vault):
        tell("taking keys and ledger")
        why_not = "" if home is None else keysets_missing(home)
        if place.is_apart or not why_not:
            why_not = place.take(home, draft) or why_not
        is_live = home is not None and not why_not
        if home is not None and is_live:
            lay_live(home, draft)
        source = open_source(store, settings, vault, draft=draft, home=home, id=wanted.backup)
        place.refuse_foreign(source.newest.ledger_id)
        with _refused_on_the_record(settings, home if is_live else None):
            built = build(
                settings, source, draft, wanted, tell, is_live=is_live, in_place=in_place, may_replace=may_replace
            )
        if why_not:
            lost = f"what it knew beyond the backup {source.newest.id} is in the folder that was set aside"
            built = dataclasses.replace(built, notes=(f"the live state was not gone on from: {why_not}; {lost}",))
        if home is not None:
            refuse_in_use(home)
        tell("putting it in its place")
        aside = place.put(swap, home)
    if in_place:
        built = dataclasses.replace(built, notes=(*built.notes, *_finish(settings, tell)))
    return Restored(built, swap.target, aside)


def _finish(settings: Settings, tell: Tell) -> list[str]:
    """Puts tables on servers in their places; returns where the former ones are. Raises TablesUnplaced."""
    left = waiting(settings.home)
    if not left:
        return []
    tell("putting tables on servers in their places")
    told = []
    with Workspace.open(settings) as space:
        for each in left:
            try:
                with hold(space, declared(each.destination)) as held:
                    done = put_in_place(space.folder.path, space.ledger, held.session, each.target)
            except FrameworkError as error:
                raise TablesUnplaced(
                    f"the state folder is restored, and {each.target} is not in its place yet: {error.what}",
                    hint="it lies ready on its server: rowkeeper recover, or the next run into it, puts it there",
                ) from error
            if done is not None and done[1]:
                told.append(f"what {each.target} held before is in {done[1]} on its server: drop it when you are sure")
    return told


def _refuse_replacing(home: Path, *, may: bool, hint: str) -> None:
    if not may:
        raise StateThere(
            f"there is something in {home}",
            hint=hint or "--into an empty folder; or --force, which sets aside what is there and removes nothing",
        )
    refuse_in_use(home)


@contextmanager
def _refused_on_the_record(settings: Settings, home: Path | None) -> Iterator[None]:
    """Who may not is found out in the folder that is built, which goes: the live trail has the entry."""
    try:
        yield
    except AccessDenied:
        if home is not None:
            with Workspace.open(settings) as live:
                live.access.require("backup.restore", of_installation())
        raise


@contextmanager
def told_in_our_words(draft: Path) -> Iterator[None]:
    """What the disk says while the folder is built."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull(
                f"no room left on the disk for {draft}, where a backup is restored to",
                hint="free some space and try again: nothing that was there was touched",
            ) from error
        raise RestorePlaceUnfit(
            f"{draft} cannot be written: {error.strerror or error}", hint="name another folder: --into FOLDER"
        ) from error


def build(
    settings: Settings,
    source: Source,
    draft: Path,
    wanted: Wanted,
    tell: Tell,
    *,
    is_live: bool = False,
    in_place: bool = False,
    may_replace: bool = False,
    action: str | None = "backup.restore",
    look: Callable[[Workspace], None] = lambda _: None,
) -> Built:
    """Builds a whole state folder in one that holds keys already, and perhaps a live ledger.

    Args:
        is_live: it holds what a live state has, and not its keys alone.
        in_place: tables on servers are made there, to be put in their places later; otherwise in the folder's engine.
        may_replace: what is on a server may be exchanged for them.
        action: what the caller must be permitted; None where that was asked already.
        look: is given what was built and proved, before it is closed.

    Raises as `restore`.
    """
    newest = source.reader(source.newest)
    live = (draft / LEDGER).exists()
    if is_live:
        lay_missing(newest, draft)
    else:
        lay_backup(newest, draft)
    failpoint("restore.after_state")
    try:
        with _not_noted(draft), Workspace.open(_settings_within(settings, draft)) as space:
            if action is not None:
                space.access.require(action, of_installation())
            servers = ServerTables(space, in_place=in_place, may_replace=may_replace)
            built = _build(space, source, wanted, live, tell, servers)
            look(space)
    finally:
        end_host(EnginePlaces.under(draft))
    failpoint("restore.after_proof")
    return built


@contextmanager
def _not_noted(draft: Path) -> Iterator[None]:
    """Settings that are in force while it is built are no change of settings: what the last process had is kept."""
    noted = draft / NOTED_SETTINGS
    former = noted.read_bytes() if noted.exists() else None
    noted.unlink(missing_ok=True)
    try:
        yield
    finally:
        noted.unlink(missing_ok=True)
        if former is not None:
            replace_private(noted, former)


def _settings_within(settings: Settings, draft: Path) -> Settings:
    """The settings for a folder that is being built: it tells nobody, and keeps no state for backups of its own."""
    own = {"home": draft, "ledger_url": None, "engine_idle_seconds": IDLE_SECONDS, "backup_to": None}
    quiet = {"audit_checkpoint": None, "audit_url": None, "audit_witnesses": ()}
    return settings.model_copy(update={**own, **quiet})


def _build(  # noqa: PLR0917 - the arguments of `build`, once there is a workspace
    space: Workspace, source: Source, wanted: Wanted, live: bool, tell: Tell, servers: ServerTables
) -> Built:
    ledger = space.ledger
    point = _point(space, source, wanted)
    everything = ledger.restoring.tables_then(point)
    tables = [then for then in everything if then.target.startswith(CLICKHOUSE)]
    choices = choose(source.manifests(), point, tables)
    servers.look([then for then in tables if is_on_server(then.target)])
    readers = {each.manifest.id: source.reader(each.manifest) for each in choices if each.manifest is not None}
    native = [readers[id] for id in {each.manifest.id: None for each in choices if each.manifest and not _far(each)}]
    size = bytes_of_tables(native)
    if not servers.in_place:
        size += sum(bytes_of(pieces_of(each, readers)) for each in choices if each.manifest and _far(each))
    _check_room(space, 2 * size)  # as they lie in the backup, and as tables
    tell(f"reading {2 * size / 1e6:,.0f} MB of tables")
    lay_tables(native, space.folder.path)
    failpoint("restore.after_tables_laid")
    undone = ledger.restoring.undo(
        point, [each.target for each in tables], on={"backup": source.newest.id}, ledger_is_newest=live
    )
    for choice in choices:
        record = _record(space, choice, undone)
        if choice.manifest is not None:
            tell(f"restoring {choice.then.target}")
        if _far(choice):
            servers.restore(choice, readers, record)
        elif choice.manifest is not None:
            _adopt(space, choice, record)
    shutil.rmtree(EnginePlaces.under(space.folder.path).backups)
    tell("proving it")
    proved = prove(space, tables, servers.placed)
    return Built(
        point=point,
        backup=source.newest.id,
        ledger="live" if live else "backup",
        tables=tuple(proved),
        undone=tuple(sorted(run for each in undone for run in each.undone)),
        revived=tuple(sorted(run for each in undone for run in each.revived)),
        elsewhere={each.pipeline: each.target for each in everything if each not in tables},
        notes=tuple(servers.notes),
    )


def _far(choice: Choice) -> bool:
    return is_on_server(choice.then.target)


def _check_room(space: Workspace, needed: int) -> None:
    try:
        check_room(space.folder.path, needed, space.settings.disk_free_min)
    except DiskFull as error:
        raise DiskFull(error.what, hint="free some space and try again: nothing that was there was touched") from error


def _point(space: Workspace, source: Source, wanted: Wanted) -> Point:
    restoring = space.ledger.restoring
    if wanted.to is None:
        return restoring.point_of_order(source.newest.order)
    if isinstance(wanted.to, int):
        point = restoring.point_of_run(wanted.to)
        if point is None:
            raise PointUnknown(
                f"run {wanted.to} published nothing, so there is no state that it left",
                hint="rowkeeper runs shows which were published; or give a time",
            )
        return point
    point = restoring.point_at(wanted.to)
    if point is None:
        raise PointUnknown(
            f"nothing had been published yet at {wanted.to.isoformat(timespec='seconds')}",
            hint="rowkeeper backup list shows to which runs can be gone back",
        )
    return point


def _record(space: Workspace, choice: Choice, undone: Sequence[Undone]) -> CommitRecord:
    """The commit record of a restored table: of the entry that says so; where nothing was undone, of its last run."""
    then, ledger = choice.then, space.ledger
    entry = next((each.entry for each in undone if each.then.target == then.target), None)
    entry = entry or ledger.last_published(then.target)
    return CommitRecord(ledger.id, entry.run if entry else 0, entry.token if entry else 0, then.fingerprint)


def _adopt(space: Workspace, choice: Choice, record: CommitRecord) -> None:
    """Restores one table of the embedded engine."""
    assert choice.manifest is not None
    assert choice.snapshot is not None
    session = ClickHouseDestination.from_description(choice.then.destination).connect(space.site, None)
    try:
        session.adopt(choice.manifest.id, choice.snapshot.table, tuple(choice.then.books), record)
    finally:
        session.close()
