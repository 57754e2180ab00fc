"""What a publish promises, looked at from inside: one transaction, one writer, a way back, and others who write too."""

from __future__ import annotations

import contextlib
import decimal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rowkeeper.errors import DestinationUnreachable, ForeignWriter, LayoutError, LeaseLost, RetryError
from rowkeeper.protocols import Change, CommitRecord
from rowkeeper.resilience import failpoints
from tests.destinations.database.servers import Postgres
from tests.destinations.database.working import Runs, by_run

Ask = Callable[[str], list[tuple[Any, ...]]]
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("version", pa.decimal128(10, 2), nullable=False),
        pa.field("name", pa.string()),
    ]
)


def rows(*values: tuple[int, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"id": key, "version": decimal.Decimal(version), "name": name} for key, version, name in values], SCHEMA
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Ask]]:
    """A database, and another client of it."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("server")
        for each in server.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            server.ask(f'DROP TABLE "{each["tablename"]}"')
        yield server.url, lambda sql: [tuple(row.values()) for row in server.ask(sql)]
        return
    path = tmp_path / "there.db"

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(sql).fetchall()

    yield f"sqlite:///{path}", ask


def held(ask: Ask) -> Sequence[tuple[Any, ...]]:
    return [
        (key, str(version), name) for key, version, name in ask("SELECT id, version, name FROM t ORDER BY id, name")
    ]


def test_a_merge_keeps_the_higher_version(place: tuple[str, Ask], tmp_path: Path) -> None:
    """A row replaces one of the same key only if its version is not lower, in run and table; 10 is above 9."""
    url, ask = place
    runs = Runs(tmp_path, url, "t", {"write": "merge", "key": ["id"], "version": "version"})
    runs.load(rows((1, "9.00", "nine"), (2, "1.00", "old"), (1, "10.00", "ten")))
    assert held(ask) == [(1, "10.00", "ten"), (2, "1.00", "old")]
    sealed = runs.load(rows((1, "9.50", "less"), (2, "1.00", "same"), (3, "0.00", "new")))
    assert held(ask) == [(1, "10.00", "ten"), (2, "1.00", "same"), (3, "0.00", "new")]
    assert sealed.duplicates == {0: 1}
    assert by_run(sealed)[1].rows == -1


def test_a_run_is_taken_back_with_the_rows_that_it_replaced(place: tuple[str, Ask], tmp_path: Path) -> None:
    """After a merge is rolled back the table is as it was before, rows that no run brought included."""
    url, ask = place
    runs = Runs(tmp_path, url, "t", {"write": "merge", "key": ["id"]})
    runs.load(rows((1, "1", "a"), (2, "1", "b")))
    ask("INSERT INTO t (id, version, name) VALUES (3, '7.00', 'theirs')")
    before = held(ask)
    runs.load(rows((2, "2", "B"), (3, "2", "C"), (4, "2", "D")))
    session = runs.session(None)
    assert session.undo_kept(2)
    session.stage_open(3, 3)
    session.publish(CommitRecord("L", 3, 3, runs_fingerprint()), Change(reverse=2))
    assert held(ask) == before
    assert not session.undo_kept(3)
    assert session.commit_record().run == 3


def runs_fingerprint():
    from rowkeeper.batch import Fingerprint

    return Fingerprint(2, 1)


def test_rows_that_no_run_brought_are_run_0(place: tuple[str, Ask], tmp_path: Path) -> None:
    """Another writer's rows stay, are in no books, and are what verify calls run 0."""
    url, ask = place
    runs = Runs(tmp_path, url, "t")
    first = runs.load(rows((1, "1", "a")))
    ask("INSERT INTO t (id, version, name) VALUES (9, '9.00', 'theirs')")
    second = runs.load(rows((2, "2", "b")))
    books = {1: first.fingerprint, 2: second.fingerprint}
    report = {each.run: each for each in runs.session(None).verify(books)}
    assert (report[1].sound, report[2].sound, report[0].added) == (True, True, 1)


def test_rows_that_are_to_be_replaced_must_be_those_that_were_sealed(place: tuple[str, Ask], tmp_path: Path) -> None:
    """Somebody who deletes our rows between seal and publish keeps the run from being published."""
    url, ask = place
    runs = Runs(tmp_path, url, "t", {"write": "replace"})
    runs.load(rows((1, "1", "a"), (2, "1", "b")), Change(drop_all=True))
    session, sealed = runs.sealed(rows((3, "1", "c")), Change(drop_all=True))
    ask("DELETE FROM t WHERE id = 2")
    with pytest.raises(ForeignWriter):
        session.publish(CommitRecord("L", 2, 2, sealed.fingerprint), Change(drop_all=True))
    assert held(ask) == [(1, "1.00", "a")] or held(ask) == [(1, "1", "a")]
    assert session.commit_record().run == 1


def test_who_lost_the_lease_publishes_nothing(place: tuple[str, Ask], tmp_path: Path) -> None:
    """A zombie whose run was settled, or whose table somebody else took over, finds nothing to publish."""
    url, ask = place
    runs = Runs(tmp_path, url, "t")
    zombie, sealed = runs.sealed(rows((1, "1", "a")))
    other = runs.session(SCHEMA)
    assert other.settle(1) is False
    with pytest.raises(LeaseLost):
        zombie.publish(CommitRecord("L", 1, 1, sealed.fingerprint), Change())
    assert held(ask) == []
    other.stage_open(5, 5)
    with pytest.raises(LeaseLost):
        zombie.stage_open(6, 4)


def test_everything_that_differs_in_a_layout_is_told_at_once(place: tuple[str, Ask], tmp_path: Path) -> None:
    """Types, missing columns and columns that nobody fills are in one error."""
    url, ask = place
    Runs(tmp_path, url, "t").load(rows((1, "1", "a")))
    ask("ALTER TABLE t ADD COLUMN theirs text")
    other = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("more", pa.int64(), nullable=False)])
    with pytest.raises(LayoutError) as caught:
        Runs(tmp_path, url, "t").load(pa.Table.from_pylist([{"id": "1", "more": 1}], other))
    for words in ("the column id is", "it has no column more", "it has a column version"):
        assert words in caught.value.what
    assert "theirs" not in caught.value.what


def test_a_table_of_somebody_else_is_not_taken_over(place: tuple[str, Ask], tmp_path: Path) -> None:
    """A table that Rowkeeper did not make is refused by name, and stays as it is."""
    url, ask = place
    ask("CREATE TABLE t (id bigint NOT NULL)")
    with pytest.raises(LayoutError, match="_rk_run"):
        Runs(tmp_path, url, "t").load(rows((1, "1", "a")))


def test_a_commit_whose_answer_is_lost_is_looked_up(server: Postgres, tmp_path: Path) -> None:
    """The server is stopped as by a crash after the commit, and started again: the publish is found to be done."""
    runs = Runs(tmp_path, server.url, "acknowledged")
    session, sealed = runs.sealed(rows((1, "1", "a")))
    statements = session.statements
    connection = statements._connected()

    class CommitsAndDies:
        """The connection, whose COMMIT takes effect and is not answered."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def commit(self) -> None:
            connection.commit()
            server.stop()
            server.start()
            connection.execute("SELECT 1")

    statements._connection = CommitsAndDies()
    session.publish(CommitRecord("L", 1, 1, sealed.fingerprint), Change())
    assert session.commit_record().run == 1
    assert [tuple(row.values()) for row in server.ask("SELECT id, name FROM acknowledged")] == [(1, "a")]


def test_a_server_that_dies_in_the_midst_of_a_publish_publishes_nothing(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with `-m immediate` before the commit: the table is as before, and the run can be gone on with."""
    runs = Runs(tmp_path, server.url, "died")
    session, sealed = runs.sealed(rows((1, "1", "a")))

    def dies(name: str) -> None:
        if name == "publish.before_commit":
            server.stop()

    monkeypatch.setattr("rowkeeper.destinations.relational.publishing.failpoint", dies)
    with pytest.raises((DestinationUnreachable, RetryError)):
        session.publish(CommitRecord("L", 1, 1, sealed.fingerprint), Change())
    server.start()
    monkeypatch.setattr("rowkeeper.destinations.relational.publishing.failpoint", failpoints.failpoint)
    other = runs.session(SCHEMA)
    assert other.settle(1) is False
    assert server.ask("SELECT * FROM died") == []
    from rowkeeper.protocols import StagedRows

    assert other.stage_resume(1, 2, [StagedRows(0, 1, 1)])
    again = other.seal([StagedRows(0, 1, 1)], Change())
    assert again.fingerprint == sealed.fingerprint
    other.publish(CommitRecord("L", 1, 2, again.fingerprint), Change())
    assert [row["name"] for row in server.ask("SELECT name FROM died")] == ["a"]
