"""Tables on ClickHouse servers, as a restore makes them anew: of rows, in one of two places.

*Beside*, in the embedded engine of the folder that is built: for `--into` and for drills, which touch no server and
need none. *In place*, on the server: each table is made and proved beside the live one, and waits there until the state
folder was exchanged; then it is exchanged too (`runs/placing.py`). A live table that is what is wanted stays as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rowkeeper.destinations import ClickHouseDestination
from rowkeeper.destinations.mergetree import refilling
from rowkeeper.destinations.mergetree.exporting import NOBODYS
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.publishing import comment_of
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import BooksDiffer, FrameworkError, TableThere
from rowkeeper.ledger.restoring import TableThen
from rowkeeper.operations.backups.chain import ChainReader
from rowkeeper.operations.backups.packs import Entry
from rowkeeper.operations.backups.rows import Batch, Description, described
from rowkeeper.operations.restoring.choosing import Choice
from rowkeeper.operations.restoring.proving import unsound_rows
from rowkeeper.protocols import CommitRecord
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.placing import FOLDER, Waiting, waiting
from rowkeeper.runs.workspace import Workspace

Readers = Mapping[str, ChainReader]


class ServerTables:
    """What becomes of the tables on servers.

    Args:
        space: the folder that is built.
        in_place: on their servers; otherwise beside, in the folder's own engine.
        may_replace: what is on a server may be exchanged for something else.

    Attributes:
        in_place: as it was given.
        placed: by target, where the table is that is to be proved.
        notes: where rows are now that lie elsewhere than one would look, in sentences.
    """

    def __init__(self, space: Workspace, *, in_place: bool, may_replace: bool) -> None:
        self._space = space
        self.in_place, self._may_replace = in_place, may_replace
        self._second = int(time.time())
        self.placed: dict[str, ClickHouseDestination] = {}
        self.notes: list[str] = []
        former = waiting(space.folder.path)  # of a restore before, over whose state this one goes
        self._spared = {(each.target, each.run, each.token) for each in former}
        shutil.rmtree(space.folder.path / FOLDER, ignore_errors=True)

    def look(self, tables: Sequence[TableThen]) -> None:
        """Looks at what is on the servers, before anything is changed: which tables are what is wanted already.

        Raises TableThere if one would be replaced, and may not be; DatabaseError if a server cannot be reached.
        """
        if not self.in_place:
            return
        for then in tables:
            destination = ClickHouseDestination.from_description(then.destination)
            with _opened(self._space, destination) as live:
                if self._is_as_wanted(live, then):
                    self.placed[then.target] = destination
                elif live.exists(live.names.table) and not self._may_replace:
                    raise TableThere(
                        f"there is a table {live.names.database}.{live.names.table} on its server, which is not "
                        f"{_as_it_was(then)}",
                        hint="--force puts what is restored in its place, and sets it aside under another name; "
                        "--into FOLDER restores without touching it",
                    )

    def restore(self, choice: Choice, readers: Readers, record: CommitRecord) -> None:
        """Makes one table anew.

        Args:
            readers: of the backups, by their ids.
            record: its commit record; of no run where nothing was ever published to it.

        Raises DatabaseError, RestoreRefused.
        """
        then = choice.then
        if not self.in_place:
            if choice.manifest is not None:
                self._restore_beside(choice, readers, record)
            return
        if choice.manifest is not None and then.target not in self.placed:
            self._restore_on_server(choice, readers, record)
        about = (then.target, then.pipeline, dict(then.destination))
        wait = Waiting(*about, record.run, record.token, self._second, there=choice.manifest is not None)
        wait.note(self._space.folder.path)

    def _is_as_wanted(self, live: TableSession, then: TableThen) -> bool:
        """Whether the live table has the commit record of the point, and every row hashes to what the books say."""
        if then.changed or then.run is None or not live.exists(live.names.table):
            return False
        try:
            record = live.commit_record()
        except BooksDiffer:
            return False
        if record is None or (record.ledger_id, record.run) != (self._space.ledger.id, then.run):
            return False
        return all(each.sound or each.run == NOBODYS for each in live.verify(then.books))

    def _restore_beside(self, choice: Choice, readers: Readers, record: CommitRecord) -> None:
        then = choice.then
        destination = beside(ClickHouseDestination.from_description(then.destination))
        with _opened(self._space, destination) as table:
            _fill(table, choice, readers)
            check_rows(table, then)
            live = table.names.live
            table.statements.do(f"ALTER TABLE {live} MODIFY COMMENT {literal(comment_of(record))}")
            table.check_written(live)
        self.placed[then.target] = destination
        self.notes.append(
            f"the rows of {then.target} are in {destination.database}.{destination.table} of the folder's own engine; "
            "the server was not touched"
        )

    def _restore_on_server(self, choice: Choice, readers: Readers, record: CommitRecord) -> None:
        then = choice.then
        destination = ClickHouseDestination.from_description(then.destination)
        run, token = record.run, record.token
        with _opened(self._space, destination) as live, self._dropped_if_it_fails(live, run, token):
            spared = {(number, mark) for target, number, mark in self._spared if target == then.target}
            refilling.drop_unfinished(live, self._second, spared)
            like = live.names.live if live.exists(live.names.table) else None
            filling = dataclasses.replace(destination, table=bare(live.names.refilling(run, token)))
            with _opened(self._space, filling) as table:
                table.run = table.statements.run = run
                _fill(table, choice, readers, like)
                check_rows(table, then)
            refilling.complete(live, run, token, record)
            failpoint("restore.after_record")
        self.placed[then.target] = dataclasses.replace(destination, table=bare(live.names.restored(run, token)))

    @contextmanager
    def _dropped_if_it_fails(self, live: TableSession, run: int, token: int) -> Iterator[None]:
        """If that fails as well, the next restore does it."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(FrameworkError):
                for name in (live.names.refilling(run, token), live.names.restored(run, token)):
                    live.statements.do(live.ddl.drop(name))
            raise


def beside(destination: ClickHouseDestination) -> ClickHouseDestination:
    """A table on a server, as it is called in a folder's own engine: its database is named after the server as well."""
    placed = destination.placed()
    assert placed.server
    named = re.sub(r"\W", "_", f"{placed.server.name}_{placed.database}")
    return dataclasses.replace(placed, server=False, database=f"at_{named}", resilience=None)


def pieces_of(choice: Choice, readers: Readers) -> dict[str, list[Entry]]:
    """Where the rows of a table on a server lie in backups."""
    return _described(choice, readers)[1]


def _described(choice: Choice, readers: Readers) -> tuple[Description, dict[str, list[Entry]]]:
    assert choice.manifest is not None
    assert choice.snapshot is not None
    return described(readers[choice.manifest.id], choice.then.target, choice.snapshot.table)


def _fill(table: TableSession, choice: Choice, readers: Readers, like: str | None = None) -> None:
    """Fills the session's own table with the rows of the runs that it had then, and those that no run brought."""
    assert choice.manifest is not None
    reader, (description, found) = readers[choice.manifest.id], _described(choice, readers)
    refilling.make(table, description.shape, like)
    failpoint("restore.after_table_made")
    wanted = {NOBODYS, *choice.then.books}
    by_batch: dict[str, tuple[Batch, set[int]]] = {}
    for run, held in description.held.items():
        if run in wanted:
            by_batch.setdefault(held.batch.name, (held.batch, set()))[1].add(run)
    for name, (batch, runs) in by_batch.items():
        for _entry, data in reader.each(found[name]):
            refilling.fill(table, data, batch.columns, runs, batch.runs)
            failpoint("restore.after_piece")
    failpoint("restore.after_table")


def check_rows(table: TableSession, then: TableThen) -> None:
    """Raises RestoreUnsound if what was filled in is not what the books say."""
    wrong = [each for each in table.verify(then.books) if not each.sound and each.run != NOBODYS]
    if wrong:
        raise unsound_rows(then.target, wrong)


@contextmanager
def _opened(space: Workspace, destination: ClickHouseDestination) -> Iterator[TableSession]:
    session = destination.connect(space.site, None)
    try:
        yield session
    finally:
        session.close()


def _as_it_was(then: TableThen) -> str:
    return "there at that point" if then.run is None else f"as run {then.run} left it"
