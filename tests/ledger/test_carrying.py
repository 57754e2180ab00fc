"""A ledger carried from one kind of database into the other holds the same, value for value."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    LargeBinary,
    String,
    create_engine,
    delete,
    insert,
    make_url,
    null,
    select,
)

from rowkeeper.batch import Fingerprint
from rowkeeper.errors import LedgerForbids, LedgerPlaceUnfit, LedgerUncarried, NewerState, StateInUse
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import verifying
from rowkeeper.ledger.carrying import carry_from_file
from rowkeeper.ledger.copying import Moment
from rowkeeper.ledger.database import MIGRATIONS, connect, migrate, reading, revision, writing
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.ledger.migrating import upgrade
from rowkeeper.ledger.schema import FingerprintText, UtcDateTime, audit_entries, metadata, runs
from rowkeeper.ledger.server import LastEntry, LedgerServer
from tests import extent
from tests.auditing import AUDITING
from tests.ledger.crowd import Crowd, judge
from tests.ledger.crowd import found as found_crowd
from tests.ledger.steps import TARGET, publish, take_back
from tests.ledgers import Server, served

pytestmark = pytest.mark.of_sqlite("has ledgers of both kinds, whichever is asked for")
ROWS = 3
TABLES = [each for each in metadata.sorted_tables if each.name != "writers"]  # those are of connections
TEXTS = ("", "a", "Ünï \u202e 𝄞 \n\t\r'\"\\", "%s :x {y} $1; --", "null", "5", " ", "0:0")
FLOATS = (0.0, -0.0, 0.1, -1.5e308, 5e-324, 1e17, float("inf"), float("-inf"))
DOCUMENTS: tuple[Any, ...] = (
    {},
    [],
    {"ü\0": [2**70, -0.1, None, True, "null"], "": {"a": {"b": [[]]}}},
    [1, "5", "𝄞"],
    {"x": "y" * 9000},
)
BYTES = (b"", b"\0", bytes(range(256)) * 32, b"text")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as made:
        made.by_hand("ALTER SYSTEM SET fsync = off")
        made.by_hand("SELECT pg_reload_conf()")
        yield made


def founded(url: str) -> Engine:
    engine = connect(url, Path())
    migrate(engine)
    return engine


@pytest.fixture(scope="module")
def first(server: Server) -> Engine:
    """A ledger of no rows that tests fill."""
    return founded(server.schema())


@pytest.fixture(scope="module")
def second(server: Server) -> Engine:
    return founded(server.schema())


def value(chance: random.Random, of: Column[Any], number: int) -> Any:
    """One that the column takes; another for each row where they have to differ."""
    kind, unique = of.type, of.primary_key or of.unique or of.name == "key"
    if isinstance(kind, FingerprintText):
        return Fingerprint(chance.randrange(2**40), chance.choice((0, 2**64 - 1, chance.randrange(2**64))))
    if isinstance(kind, UtcDateTime):
        zone = chance.choice((UTC, timezone(timedelta(hours=-9, minutes=-30))))
        return datetime(1901, 1, 1, tzinfo=zone) + timedelta(microseconds=chance.randrange(10**17))
    if isinstance(kind, String):
        long = chance.random() < 0.2 and kind.length is not None
        text = "ß" * (kind.length or 0) if long else chance.choice(TEXTS)
        return (f"{number}{text}" if unique else text)[: kind.length]
    if isinstance(kind, JSON):
        return chance.choice((*DOCUMENTS, JSON.NULL) if of.nullable and not kind.none_as_null else DOCUMENTS)
    if isinstance(kind, LargeBinary):
        return chance.choice(BYTES)
    if isinstance(kind, Boolean):
        return chance.random() < 0.5
    if isinstance(kind, Float):
        return chance.choice(FLOATS)
    assert isinstance(kind, Integer), of
    highest = 2**63 if isinstance(kind, BigInteger) else 2**31
    return number if unique else chance.choice((0, 1, -1, highest - 1, -highest, chance.randrange(highest)))


def fill(engine: Engine, chance: random.Random) -> None:
    """Rows in every table."""
    numbers = itertools.count(1)
    made: dict[str, list[dict[str, Any]]] = {}
    with writing(engine, "fill") as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        for table in TABLES:
            rows = made.setdefault(table.name, [])
            for index in range(ROWS):
                rows.append({of.name: cell(chance, of, index, next(numbers), made) for of in table.columns})
                connection.execute(insert(table).values(rows[-1]))


def cell(chance: random.Random, of: Column[Any], index: int, number: int, made: dict[str, list[dict[str, Any]]]) -> Any:
    for key in of.foreign_keys:  # each row refers to another one
        there = made[key.column.table.name]
        return there[index][key.column.name] if index < len(there) else null()
    return null() if of.nullable and chance.random() < 0.3 else value(chance, of, number)


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """What the ledger says that its tables hold, in the order of their keys."""
    with reading(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=lambda each: str(each[:2]))
            for table in TABLES
        }


def raw(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What SQLite says that a file holds, its own books of numbers among them."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: sorted(file.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


def kinds_of_null(engine: Engine) -> list[tuple[Any, ...]]:
    """Where a document is none at all, and where it is a null."""
    query = "SELECT run, CAST(gates IS NULL AS INTEGER), CAST(error IS NULL AS INTEGER) FROM runs"
    with reading(engine) as connection:
        return sorted(map(tuple, connection.exec_driver_sql(query)))


def carried(engine: Engine, path: Path) -> Path:
    moment = Moment(engine, path)
    moment.write()
    return path


def laid(path: Path, engine: Engine) -> None:
    with writing(engine, "lay") as connection:
        carry_from_file(path, connection)


@pytest.mark.parametrize("turn", range(extent.examples(1, 60)))
def test_every_table_is_carried_to_a_file_and_back_exactly(turn: int, first: Engine, second: Engine, tmp_path: Path):
    """Random rows of all tables: a file has what PostgreSQL had, another PostgreSQL has it again, and a file of that is
    the same file.
    """
    fill(first, extent.chance(f"carried {turn}"))
    fill(second, extent.chance(f"carried over {turn}"))  # which is replaced
    path = carried(first, tmp_path / "one.sqlite")
    as_file = create_engine(f"sqlite:///{path}")
    assert contents(as_file) == contents(first)
    assert kinds_of_null(as_file) == kinds_of_null(first)
    as_file.dispose()
    laid(path, second)
    assert contents(second) == contents(first)
    assert kinds_of_null(second) == kinds_of_null(first)
    one, other = raw(path), raw(carried(second, tmp_path / "other.sqlite"))
    one.pop("sqlite_sequence"), other.pop("sqlite_sequence")  # of which a server may be ahead
    assert other == one


def test_a_file_is_as_a_ledger_in_sqlite_is(first: Engine, tmp_path: Path):
    """It has the same tables, columns and indexes as one that was never anything else."""
    path = carried(first, tmp_path / "copy.sqlite")
    migrate(own := connect(None, tmp_path))
    own.dispose()
    schemas = []
    for each in (path, tmp_path / "ledger.sqlite"):
        with contextlib.closing(sqlite3.connect(each)) as file:
            schemas.append(sorted(file.execute("SELECT type, name, sql FROM sqlite_master"), key=repr))
            assert file.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision(first),)]
    assert schemas[0] == schemas[1]


def test_a_moment_is_not_changed_by_what_comes_after_it(server: Server, tmp_path: Path):
    """What is written while it waits, or between two of its tables, is not in it; and its trail verifies."""
    with Ledger.open(server.schema(), tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        publish(ledger, lease, 3)
        moment = ledger.moment(tmp_path / "ledger.sqlite")
        publish(ledger, lease, 4)
        moment.write()
        id = ledger.id
    with Ledger.open(None, tmp_path, auditing=AUDITING) as copy:
        assert copy.id == id
        assert [each.run for each in copy.runs()] == [1]
        assert verifying.verify(copy.audit, {}).findings == ()


@pytest.mark.timeout(900)
def test_a_moment_among_ten_who_write_is_one_state(server: Server, tmp_path: Path):
    """Each file is a ledger that is sound by itself: its trail verifies, what is published is published whole, and all
    that it has is in the ledger for good.
    """
    url, copies = server.schema(), list[Path]()
    found_crowd(url, tmp_path)
    crowd = Crowd.of(url, tmp_path, 10, rounds=extent.examples(4, 60))
    with Ledger.open(url, tmp_path, auditing=AUDITING) as ledger:
        while crowd.at_work():
            copies.append(tmp_path / f"copy{len(copies)}")
            copies[-1].mkdir()
            ledger.moment(copies[-1] / "ledger.sqlite").write()
        assert judge(url, tmp_path, crowd.told()) == []
        with reading(ledger._engine) as connection:
            entries = {each.number: each.entry for each in connection.execute(select(audit_entries))}
    assert copies
    for each in copies:
        with Ledger.open(None, each, auditing=AUDITING) as copy:
            assert verifying.verify(copy.audit, {}).findings == ()
            with reading(copy._engine) as connection:
                rows = connection.execute(select(audit_entries)).all()
                published = connection.execute(select(runs).where(runs.c.publish_order.is_not(None))).all()
            assert sorted(each.publish_order for each in published) == list(range(1, len(published) + 1))
            assert {each.status for each in published} <= {"published"}
            assert all(copy.postings(each.run) for each in published)
        assert all(entries[row.number] == row.entry for row in rows)


def test_numbers_are_not_given_again(server: Server, tmp_path: Path):
    """Neither in the file nor in the next database: also where the last run's row is gone."""
    url, then = server.schema(), server.schema()
    with Ledger.open(url, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        publish(ledger, lease, 3)
        publish(ledger, lease, 3)
        take_back(ledger, lease, 2)
        with writing(ledger._engine, "by_hand") as connection:
            connection.exec_driver_sql("SELECT nextval('runs_run_seq')")
        ledger.moment(tmp_path / "ledger.sqlite").write()
    with Ledger.open(None, tmp_path, auditing=AUDITING) as copy:
        lease = copy.acquire_lease(TARGET + "2", 30)
        assert publish(copy, lease, 3, target=TARGET + "2") == 5
        with writing(copy._engine, "by_hand") as connection:
            connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = 40 WHERE name = 'runs'")
    laid(tmp_path / "ledger.sqlite", founded(then))
    with Ledger.open(then, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET + "3", 30)
        assert publish(ledger, lease, 3, target=TARGET + "3") == 41
        assert verifying.verify(ledger.audit, {}).findings == ()


def test_a_ledger_of_an_older_schema_is_carried_as_it_is(server: Server, tmp_path: Path):
    """By its own schema; whoever opens the file brings it up to date. One of a newer version is refused."""
    engine = connect(server.schema(), tmp_path)
    with writing(engine, "migrate") as connection:
        upgrade(connection, MIGRATIONS, "0012")
        connection.exec_driver_sql("INSERT INTO ledger (id, created_at) VALUES ('old', now())")
        connection.exec_driver_sql("INSERT INTO users (name, kind, created_at) VALUES ('ann', 'user', now())")
    path = carried(engine, tmp_path / "ledger.sqlite")
    assert raw(path)["alembic_version"] == [("0012",)]
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        assert (ledger.id, [each.name for each in ledger.users.all()]) == ("old", ["ann"])
    with writing(engine, "migrate") as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerState):
        carried(engine, tmp_path / "newer.sqlite")


def test_what_postgresql_does_not_take_is_told_by_its_table(first: Engine, second: Engine, tmp_path: Path):
    """Text with a NUL, or longer than the column: never the value, and what was there is there."""
    fill(first, extent.chance("untaken"))
    fill(second, extent.chance("taken"))
    before = contents(second)
    path = carried(first, tmp_path / "one.sqlite")
    for wrong in ("a\0b", "x" * 700):
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE audit_people SET name = ? WHERE rowid = 1", (wrong,))
        with pytest.raises(LedgerUncarried) as told:
            laid(path, second)
        assert "audit_people" in told.value.what
        assert wrong not in str(told.value)
        assert contents(second) == before


# --------------------------------------------------------------------------------- the server as a whole


@contextlib.contextmanager
def lived(server: Server, home: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a ledger with a run, and a file of it that has gone on by another."""
    url = server.schema()
    with Ledger.open(url, home, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        publish(ledger, lease, 3)
        ledger.release_lease(lease)
        ledger.moment(home / "ledger.sqlite").write()
    with Ledger.open(None, home, auditing=AUDITING) as copy:
        publish(copy, copy.acquire_lease(TARGET, 30), 4)
    yield url, home / "ledger.sqlite"


def seen(url: str) -> LedgerServer:
    return LedgerServer(connect(url, Path()), utc_now)


def test_a_ledger_is_replaced_if_it_is_as_it_was_found(server: Server, tmp_path: Path):
    """By the file's, which is told by its last entry; one that somebody wrote to meanwhile stays."""
    with lived(server, tmp_path) as (url, path):
        there = seen(url)
        found, last = there.look(), LastEntry.of_file(path)
        assert not there.holds(last)
        there.lay(path, found)
        assert there.holds(last)
        now = there.look()
        with pytest.raises(StateInUse):
            there.lay(path, found)
        assert there.look() == now != found
    with Ledger.open(url, tmp_path, auditing=AUDITING) as ledger:
        assert [each.run for each in ledger.runs()] == [2, 1]
        assert verifying.verify(ledger.audit, {}).findings == ()


def test_an_empty_database_gets_a_ledger_in_one_transaction(server: Server, tmp_path: Path):
    """Its tables and their rows; where that fails it is as empty as before."""
    with lived(server, tmp_path) as (_, path):
        url = server.schema()
        there = seen(url)
        there.rehearse()
        assert there.look() is None
        good = path.read_bytes()
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE runs SET note = ?", ("\0",))
        with pytest.raises(LedgerUncarried):
            there.lay(path, None)
        assert there.look() is None
        path.write_bytes(good)
        there.lay(path, None)
        assert there.holds(LastEntry.of_file(path))


def test_tables_of_somebody_else_are_no_place_for_a_ledger(server: Server):
    """They are counted, and not touched."""
    url = server.schema("of_somebody_else")
    server.by_hand("CREATE TABLE of_somebody_else.users AS SELECT 1 AS number")
    with pytest.raises(LedgerPlaceUnfit, match="1 tables that are no ledger's"):
        seen(url).look()
    assert server.by_hand("SELECT number FROM of_somebody_else.users") == [(1,)]


def test_a_missing_right_is_found_before_anything_is_done(server: Server):
    """Whoever may not make tables is told so; a schema that is not there is told of as well."""
    server.by_hand("CREATE ROLE looker LOGIN")
    theirs = make_url(server.schema("of_the_owner")).set(username="looker").render_as_string()
    for url in (theirs, f"{server.url}&options=-csearch_path%3Dnowhere"):
        with pytest.raises(LedgerForbids):
            seen(url).rehearse()
