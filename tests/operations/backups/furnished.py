"""An installation with three tables, one for each way in which a run changes one; and its backups, looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.mergetree.layout import HASH, RUN
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.operations.backups.chain import ChainReader, chain_of
from rowkeeper.operations.backups.manifest import TableBackup
from rowkeeper.operations.backups.store import BackupStore, backup_store
from rowkeeper.operations.backups.verifying import key_of_backups
from rowkeeper.runs.reconciling import destination_of
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.arena import Arena

SECRET = "Wilhelmina"  # a value of a row: it may stand nowhere in a backup
PIPELINES = """
from typing import Annotated
import rowkeeper as rk
from pydantic import BaseModel, Field

class Row(BaseModel):
    id: Annotated[int, Field(ge=0)]
    name: str

def pipeline(name, **more):
    return rk.Pipeline(name, source=rk.sources.files(name + "/*.csv"), contract=Row,
        destination=rk.destinations.clickhouse(name, order_by=["id"], **more))

added = pipeline("added")
merged = pipeline("merged", write="merge", key=["id"])
replaced = pipeline("replaced", write="replace")
"""
NAMES = ("added", "merged", "replaced")


def furnish(arena: Arena, place: Path | str) -> None:
    """Pipelines, and where backups go."""
    arena.env["ROWKEEPER_BACKUP_TO"] = str(place)
    arena.env["ROWKEEPER_EGRESS"] = "off"
    arena.write("p.py", PIPELINES)


def feed(arena: Arena, number: int, names: tuple[str, ...] = NAMES) -> list[tuple[str, ...]]:
    """Lays out the rows of the next runs, and gives the commands for them; some rows are those of before, changed."""
    for name in names:
        rows = "".join(f"{each},{SECRET}{number}\n" for each in range(number, number + 3))
        arena.write(f"{name}/{number:03}.csv", f"id,name\n{rows}-1,bad\n")
    return [("run", f"p.py:{name}") for name in names]


def load(arena: Arena, *numbers: int, names: tuple[str, ...] = NAMES) -> None:
    """Runs, of each of the pipelines one after the other."""
    for number in numbers:
        outcomes = arena.together(*feed(arena, number, names))
        assert not [each for each in outcomes if each.status], outcomes


def settings(arena: Arena, **more: Any) -> Settings:
    """Those of an arena, for this process."""
    return Settings(home=arena.home, egress="off", backup_to=arena.env["ROWKEEPER_BACKUP_TO"], **more)


@contextmanager
def opened(arena: Arena, **more: Any) -> Iterator[Workspace]:
    """The workspace of an arena, in this process."""
    with Workspace.open(settings(arena, **more)) as space:
        yield space


def points_of(space: Workspace) -> dict[tuple[str, int], set[str]]:
    """Every point in time that the backups claim to hold: table and run, to the fingerprints that were found there.

    Each is restored beside the tables by ClickHouse, from what lies in the place alone, and added up row by row.
    """
    found: dict[tuple[str, int], set[str]] = {}
    with backup_store(space) as store:
        for id in store.ids():
            reader = unpacked(space, store, id)
            for table in reader.manifest.tables:
                for run, fingerprint in _points(space, table, id):
                    found.setdefault((table.table, run), set()).add(fingerprint)
    return found


def unpacked(space: Workspace, store: BackupStore, id: str) -> ChainReader:
    """ClickHouse's own backups of a chain, where ClickHouse reads them."""
    key_of = key_of_backups(space)
    chain = chain_of(store, id, key_of, space.ledger.id)
    folder = EnginePlaces.under(space.folder.path).backups
    reader = ChainReader(store, chain, key_of)
    for each in chain:
        native = [entry for path, entry in reader.index(each.id).items() if path.startswith("native/")]
        reader.unpack(native, lambda entry, each=each: folder / each.id / entry.path.removeprefix("native/"))
    return reader


def _points(space: Workspace, table: TableBackup, id: str) -> Iterator[tuple[int, str]]:
    history = {each.run: each for each in space.ledger.history.published(table.target)}
    session = destination_of(space.ledger.run(table.run)).connect(space.site, None)
    assert isinstance(session, TableSession)
    checked = f"{table.database}.checked"
    try:
        for snapshot in table.snapshots:
            session.statements.do(f"DROP TABLE IF EXISTS {checked}")
            named = f"{table.database}.{snapshot.table}"
            session.statements.do(f"RESTORE TABLE {named} AS {checked} FROM File('{id}')")
            for run in snapshot.points:
                books = space.ledger.history.balance_after(table.target, history[run].order)
                among = ", ".join(map(str, books))
                rows = session.statements.ask(f"SELECT count(), sum({HASH}) FROM {checked} WHERE {RUN} IN ({among})")
                if run == snapshot.run:  # no row is in it that the books do not know
                    assert rows[0][0] == session.rows(checked)
                yield run, str(Fingerprint(int(rows[0][0]), int(rows[0][1]) % 2**64))
    finally:
        session.statements.do(f"DROP TABLE IF EXISTS {checked}")
        session.close()
