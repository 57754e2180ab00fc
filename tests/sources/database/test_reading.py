"""Loads of databases: one snapshot, gone on with after a break, incremental; and what can be wrong with a table."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.batch import Partition
from rowkeeper.errors import (
    CursorUnfit,
    DeclarationError,
    RightsMissing,
    SecretLiteral,
    SourceDown,
    StatementRefused,
    TableChanged,
    TableMissing,
)
from rowkeeper.sources import Increment
from tests.sources.database.conftest import Loader
from tests.sources.database.servers import PASSWORD, Postgres

numbers = count()


@dataclasses.dataclass
class Table:
    """A table of its own for a test."""

    postgres: Postgres
    name: str

    def do(self, sql: str) -> None:
        self.postgres.owner.execute(sql.format(t=self.name))

    def source(self, **more: object) -> rk.sources.DatabaseSource:
        given = {"parallel": 2, **more}
        named = {} if {"query", "tables"} & set(given) else {"table": self.name}
        return rk.sources.database(self.postgres.socket_url, **named, **given)  # type: ignore[arg-type]


@pytest.fixture
def table(postgres: Postgres) -> Table:
    made = Table(postgres, f"read_{next(numbers)}")
    made.do("CREATE TABLE {t} (id bigint PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT '2026-01-01Z')")
    return made


def filled(table: Table, rows: int, first: int = 1) -> Table:
    table.do(f"INSERT INTO {{t}} SELECT n, 'name ' || n FROM generate_series({first}, {first + rows - 1}) n")
    return table


# ---------------------------------------------------------------------------------- one snapshot


def test_ranges_side_by_side_are_read_in_the_order_of_the_key(table: Table, loader: Loader):
    """Each row once, in order, although several connections read."""
    filled(table, 25_000).do("ANALYZE {t}")
    assert loader.load(table.source(parallel=4)).ids == list(range(1, 25_001))


def test_what_is_committed_meanwhile_is_not_seen(table: Table, loader: Loader):
    """All connections see the moment at which the reading began: what changes comes with the next load."""
    filled(table, 5_000).do("ANALYZE {t}")
    (partition,) = loader.plan(table.source()).load
    batches = loader.batches(table.source(parallel=3), partition)
    found = next(batches).table["id"].to_pylist()
    table.do("DELETE FROM {t} WHERE id > 100")
    table.do("INSERT INTO {t} VALUES (9000, 'late')")
    for batch in batches:
        found += batch.table["id"].to_pylist() if batch.rows_read else []
    assert found == list(range(1, 5_001))


def test_a_table_cannot_be_altered_under_the_reading(table: Table, loader: Loader):
    """ALTER waits: no column changes its type between two batches of one load."""
    filled(table, 5_000)
    (partition,) = loader.plan(table.source()).load
    batches = loader.batches(table.source(), partition)
    next(batches)
    table.do("SET lock_timeout = '50ms'")
    with pytest.raises(Exception, match="lock timeout"):
        table.do("ALTER TABLE {t} ALTER COLUMN name TYPE bytea USING name::bytea")
    table.do("RESET lock_timeout")
    assert sum(each.rows_read for each in batches) == 4_000


@pytest.mark.parametrize("key", ["uuid", "text", "composite", "none", "view", "query"])
def test_any_key_or_none_will_do(table: Table, loader: Loader, key: str):
    """Each row once, whatever tells rows apart."""
    made = {
        "uuid": "CREATE TABLE {t}_k AS SELECT md5(n::text)::uuid AS k, n AS id FROM generate_series(1, 3500) n; "
        "ALTER TABLE {t}_k ADD PRIMARY KEY (k)",
        "text": "CREATE TABLE {t}_k AS SELECT 'it''s, \"' || n AS k, n AS id FROM generate_series(1, 3500) n; "
        "ALTER TABLE {t}_k ADD PRIMARY KEY (k)",
        "composite": "CREATE TABLE {t}_k AS SELECT n % 7 AS a, '2026-01-01Z'::timestamptz + n * interval '1 us' AS b, "
        "n AS id FROM generate_series(1, 3500) n; ALTER TABLE {t}_k ADD PRIMARY KEY (a, b)",
        "none": "CREATE TABLE {t}_k AS SELECT n AS id FROM generate_series(1, 3500) n",
        "view": "CREATE VIEW {t}_k AS SELECT n AS id FROM generate_series(1, 3500) n",
        "query": "SELECT 1",
    }[key]
    table.do(made)
    given = {"query": "SELECT generate_series(1, 3500) AS id;"} if key == "query" else {"table": f"{table.name}_k"}
    found = loader.load(rk.sources.database(table.postgres.socket_url, **given)).ids
    assert sorted(found) == list(range(1, 3_501))


def test_rows_larger_than_a_batch_are_read_a_few_at_a_time(table: Table, loader: Loader):
    """What is held is bounded by bytes, also where the rows before were small."""
    filled(table, 500)
    table.do("INSERT INTO {t} SELECT n, repeat('x', 200000) FROM generate_series(501, 540) n")
    loader.size_bytes = 2 << 20
    (partition,) = loader.plan(table.source()).load
    batches = [each for each in loader.batches(table.source(), partition) if each.rows_read]
    assert sum(each.rows_read for each in batches) == 540
    assert max(each.table.nbytes for each in batches) < 3 << 20


# ---------------------------------------------------------------------------------- going on


def broken_off(loader: Loader, source: rk.sources.DatabaseSource, batches: int) -> tuple[Partition, int]:
    """A load that a kill ended after some batches, as the ledger has it: its partition, and the next row."""
    (partition,) = loader.plan(source).to_read
    with contextlib.closing(loader.batches(source, partition)) as reading:  # type: ignore[type-var]
        for _ in range(batches):
            batch = next(reading)
    return dataclasses.replace(partition, position=batch.position), batch.next_row


def rest(loader: Loader, source: rk.sources.DatabaseSource, partition: Partition, row: int) -> list[int]:
    batches = loader.batches(source, partition, start_row=row)
    return [number for each in batches if each.rows_read for number in each.table["id"].to_pylist()]


def test_a_load_that_died_goes_on_behind_what_it_had_read(table: Table, loader: Loader):
    """Also with batches of another size, in the middle of one."""
    filled(table, 5_000)
    partition, row = broken_off(loader, table.source(), 3)
    loader.rows = 700
    assert rest(loader, table.source(), partition, row) == list(range(row + 1, 5_001))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {t} SET name = 'other' WHERE id = 5",
        "DELETE FROM {t} WHERE id = 5",
        "INSERT INTO {t} VALUES (0, 'before')",
        "ALTER TABLE {t} ADD COLUMN more int",
        "DELETE FROM {t} WHERE id > 10",
    ],
)
def test_what_changed_meanwhile_is_no_part_of_two_snapshots(table: Table, loader: Loader, change: str):
    """A load is of one moment: if rows that were read are others now, it starts over, and says so."""
    filled(table, 5_000)
    partition, row = broken_off(loader, table.source(), 2)
    table.do(change)
    with pytest.raises(TableChanged):
        rest(loader, table.source(), partition, row)


def test_rows_behind_the_place_may_change(table: Table, loader: Loader):
    """They are read as they are now, in the snapshot in which those before were found to be the same."""
    filled(table, 3_000)
    partition, row = broken_off(loader, table.source(), 1)
    table.do("DELETE FROM {t} WHERE id > 2000")
    table.do("INSERT INTO {t} VALUES (9000, 'late')")
    assert rest(loader, table.source(), partition, row) == [*range(row + 1, 2_001), 9_000]


def test_all_connections_may_break(table: Table, loader: Loader):
    """The server ends every one of them in the middle: the rows come all the same, each once."""
    filled(table, 20_000).do("ANALYZE {t}")
    source = table.source(parallel=3)
    (partition,) = loader.plan(source).load
    found = []
    for number, batch in enumerate(loader.batches(source, partition)):
        if number in (2, 7):
            table.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rowkeeper'")
        found += batch.table["id"].to_pylist() if batch.rows_read else []
    assert found == list(range(1, 20_001))


def test_no_connection_is_left_open(table: Table, loader: Loader):
    """A reading that is given up in the middle leaves none behind, nor a thread that waits."""
    filled(table, 20_000).do("ANALYZE {t}")
    broken_off(loader, table.source(parallel=4), 2)
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rowkeeper' AND state <> 'idle'"
    for _ in range(100):
        (still,) = table.postgres.owner.execute(left).fetchone()
        if not still:
            break
        table.do("SELECT pg_sleep(0.05)")
    assert still == 0


# ---------------------------------------------------------------------------------- what is new

UPDATED = Increment("at", lookback=timedelta(minutes=10))


def test_each_run_reads_what_is_new(table: Table, loader: Loader):
    """Nothing twice; without news nothing is to be read."""
    filled(table, 10)
    source, loaded = table.source(incremental=UPDATED), {}
    assert loader.load(source, loaded).ids == list(range(1, 11))
    assert loader.plan(source, loaded).to_read == ()
    table.do("INSERT INTO {t} VALUES (11, 'new', '2026-01-02Z')")
    again = loader.load(source, loaded)
    assert (again.ids, again.duplicates) == ([11], 10)
    assert loader.plan(source, loaded).to_read == ()


def test_a_transaction_that_commits_late_is_found_within_the_lookback(table: Table, loader: Loader):
    """Its rows are older than the mark; those beside them are known, and are no rows of this load."""
    filled(table, 10)
    source, loaded = table.source(incremental=UPDATED), {}
    loader.load(source, loaded)
    table.do("INSERT INTO {t} VALUES (11, 'late', '2025-12-31 23:55Z')")
    late = loader.load(source, loaded)
    assert (late.ids, late.duplicates) == ([11], 10)
    assert loader.plan(source, loaded).to_read == ()


def test_a_changed_row_comes_again_as_it_is_now(table: Table, loader: Loader):
    """Its cursor has moved; the destination knows by its key what to do with it."""
    filled(table, 10)
    source, loaded = table.source(incremental=UPDATED), {}
    loader.load(source, loaded)
    table.do("UPDATE {t} SET name = 'other', at = '2026-01-01 00:01Z' WHERE id = 4")
    found = loader.load(source, loaded)
    assert found.ids == [4]
    assert found.table["name"].to_pylist() == ["other"]


def test_a_new_column_makes_no_row_new(table: Table, loader: Loader):
    """Rows are known by key and cursor, not by all that is in them."""
    filled(table, 10)
    source, loaded = table.source(incremental=UPDATED), {}
    loader.load(source, loaded)
    table.do("ALTER TABLE {t} ADD COLUMN more int DEFAULT 7")
    assert loader.plan(source, loaded).to_read == ()


def test_a_cursor_that_many_rows_share_loses_none(table: Table, loader: Loader):
    """More rows with the mark itself, after the load, are found without a lookback, with and without a key."""
    for number, keyed in enumerate((True, False)):
        name = f"{table.name}_{number}"
        table.do(f"CREATE TABLE {name} (id int {'PRIMARY KEY' if keyed else ''}, at int NOT NULL)")
        table.do(f"INSERT INTO {name} SELECT n, 1 FROM generate_series(1, 5) n")
        source, loaded = table.source(query=f"SELECT * FROM {name}", incremental=Increment("at")), {}
        if keyed:
            source = rk.sources.database(table.postgres.socket_url, table=name, incremental=Increment("at"))
        assert loader.load(source, loaded).ids == [1, 2, 3, 4, 5]
        table.do(f"INSERT INTO {name} VALUES (6, 1), (7, 1)")
        assert loader.load(source, loaded).ids == [6, 7]


def test_rows_that_are_alike_are_counted(table: Table, loader: Loader):
    """Without a key two equal rows are two."""
    table.do("CREATE TABLE {t}_d (id int, at int NOT NULL)")
    table.do("INSERT INTO {t}_d VALUES (1, 1), (1, 1)")
    source, loaded = rk.sources.database(
        table.postgres.socket_url, table=f"{table.name}_d", incremental=Increment("at")
    ), {}  # fmt: skip
    assert loader.load(source, loaded).ids == [1, 1]
    table.do("INSERT INTO {t}_d VALUES (1, 1)")
    assert loader.load(source, loaded).ids == [1]


def test_the_newest_rows_may_be_deleted(table: Table, loader: Loader):
    """The mark stays where it was; what comes later is found."""
    filled(table, 5)
    source, loaded = table.source(incremental=UPDATED), {}
    loader.load(source, loaded)
    table.do("DELETE FROM {t}")
    assert loader.plan(source, loaded).to_read == ()
    table.do("INSERT INTO {t} VALUES (6, 'new', '2026-01-03Z')")
    assert loader.load(source, loaded).ids == [6]


def test_the_first_load_of_an_empty_table_marks_nothing(table: Table, loader: Loader):
    """The second one reads whatever has come."""
    source, loaded = table.source(incremental=UPDATED), {}
    assert loader.load(source, loaded).ids == []
    filled(table, 3)
    assert loader.load(source, loaded).ids == [1, 2, 3]


def test_start_leaves_out_what_is_older(table: Table, loader: Loader):
    """A text as the database reads it."""
    filled(table, 3).do("INSERT INTO {t} VALUES (4, 'new', '2026-06-01Z')")
    source = table.source(incremental=Increment("at", start="2026-02-01"))
    assert loader.load(source).ids == [4]


def test_an_incremental_load_goes_on_while_rows_come(table: Table, loader: Loader):
    """They have a higher cursor, so that those before are as they were."""
    filled(table, 3_000)
    source = table.source(incremental=Increment("id"))
    partition, row = broken_off(loader, source, 1)
    filled(table, 10, first=3_001)
    assert rest(loader, source, partition, row) == list(range(row + 1, 3_011))


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ("ALTER TABLE {t} ADD COLUMN cur int; UPDATE {t} SET cur = 1 WHERE id > 1", "cur", "null in some row"),
        ("ALTER TABLE {t} ADD COLUMN cur json NOT NULL DEFAULT '1'", "cur", "has no order"),
        ("UPDATE {t} SET at = 'infinity' WHERE id = 2", "at", "infinity in some row"),
    ],
)
def test_a_cursor_that_cannot_tell_what_is_new_is_refused(
    table: Table, loader: Loader, change: str, column: str, words: str
):
    """By name, before anything is read."""
    filled(table, 3).do(change)
    with pytest.raises(CursorUnfit, match=words) as caught:
        loader.load(table.source(incremental=Increment(column)))
    assert f"{column} of {table.name}" in caught.value.what


def test_a_lookback_of_another_kind_is_refused(table: Table, loader: Loader):
    """Minutes before a number are nothing."""
    filled(table, 3)
    with pytest.raises(CursorUnfit):
        loader.load(table.source(incremental=Increment("id", lookback=timedelta(minutes=1))))


# ---------------------------------------------------------------------------------- patterns, and faults


def test_a_pattern_makes_a_partition_of_each_table(table: Table, loader: Loader):
    """Partitions of a partitioned table are read by their parent only."""
    table.do("CREATE SCHEMA s_{t}; CREATE TABLE s_{t}.o_1 (id int PRIMARY KEY); CREATE TABLE s_{t}.o_2 (id int)")
    table.do("CREATE TABLE s_{t}.p (id int) PARTITION BY RANGE (id)")
    table.do("CREATE TABLE s_{t}.p1 PARTITION OF s_{t}.p FOR VALUES FROM (1) TO (9)")
    plan = loader.plan(table.source(tables=f"s_{table.name}.*"))
    assert [each.detail["table"] for each in plan.load] == ["o_1", "o_2", "p"]
    with pytest.raises(TableMissing):
        loader.plan(table.source(tables="nowhere.*"))


def test_columns_and_quotes_in_names(table: Table, loader: Loader):
    """Only what is asked for is read; a name may hold whatever PostgreSQL lets it."""
    table.do('CREATE TABLE "odd ""name" ("id" int PRIMARY KEY, "a b" text, "percent%s" int, c int)')
    table.do("""INSERT INTO "odd ""name" VALUES (1, 'x', 2, 3)""")
    source = rk.sources.database(table.postgres.socket_url, table='odd "name', columns=["percent%s", "a b"])
    assert loader.values(source) == {"percent%s": [2], "a b": ["x"]}


def test_a_table_that_vanished_between_plan_and_reading(table: Table, loader: Loader):
    """One clear error, and no retry of what will not come back."""
    (partition,) = loader.plan(filled(table, 5).source()).load
    table.do("DROP TABLE {t}")
    with pytest.raises(TableMissing) as caught:
        list(loader.batches(table.source(), partition))
    assert table.name in caught.value.what


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"table": "not_there"}, TableMissing),
        ({"table": "{t}", "columns": ["nme"]}, TableMissing),
        ({"query": "SELECT FROM WHERE"}, StatementRefused),
        ({"query": "SELECT 1 AS id; DROP TABLE {t}"}, StatementRefused),
        ({"query": "SELECT 1/0 AS id"}, StatementRefused),
        ({"query": "SELECT 1 AS id, 2 AS id"}, DeclarationError),
        ({"query": "UPDATE {t} SET id = 1 RETURNING id"}, StatementRefused),
        ({"query": "SELECT name::int AS id FROM {t}"}, StatementRefused),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(table: Table, loader: Loader, given: dict[str, object], error: type):
    """Without a value of a row in it, although PostgreSQL quotes one."""
    filled(table, 3)
    named = {key: text.format(t=table.name) if isinstance(text, str) else text for key, text in given.items()}
    with pytest.raises(error) as caught:
        loader.load(rk.sources.database(table.postgres.socket_url, **named))  # type: ignore[arg-type]
    assert "name 1" not in f"{caught.value.what} {caught.value.hint}"
    table.do("SELECT 1 FROM {t}")


def test_missing_rights_are_told(table: Table, loader: Loader, monkeypatch: pytest.MonkeyPatch):
    """By the name of the table."""
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    table.do("REVOKE ALL ON {t} FROM reader")
    url = f"postgresql://reader@/postgres?host={table.postgres.front.sockets}"
    with pytest.raises(RightsMissing, match=table.name):
        loader.load(rk.sources.database(url, table=table.name, password="env:DB_PASSWORD"))


def test_a_server_that_is_not_there(loader: Loader, tmp_path: Path):
    """It may be there later: the error is one that another run may not meet."""
    quick = rk.Resilience(retry=rk.Retry(attempts=2, wait_seconds_initial=0.01), breaker=None, deadline_seconds=5)
    with pytest.raises(SourceDown) as caught:
        loader.load(rk.sources.database(f"postgresql://x@/y?host={tmp_path}", table="t", resilience=quick))
    assert caught.value.retryable


@pytest.mark.parametrize(
    "given",
    [
        {"url": "oracle://h/db", "table": "t"},
        {"url": "postgresql://h", "table": "t"},
        {"url": "postgresql://h/db"},
        {"url": "postgresql://h/db", "table": "t", "query": "SELECT 1"},
        {"url": "postgresql://h/db", "tables": "t"},
        {"url": "postgresql://h/db?options=-c", "table": "t"},
        {"url": "sqlite://", "table": "t"},
        {"url": "sqlite:///:memory:", "table": "t"},
        {"url": "postgresql://h/db", "table": "t", "parallel": 0},
        {"url": "postgresql://h/db", "table": "t", "columns": "id"},
        {"url": "postgresql://h/db", "table": "t", "incremental": "id"},
    ],
)
def test_declarations_that_make_no_sense_are_refused(given: dict[str, object]):
    """Before anything is connected to."""
    with pytest.raises(DeclarationError):
        rk.sources.database(given.pop("url"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{"url": "postgresql://u:sesame@h/db"}, {"url": "postgresql://u@h/db", "password": "sesame"}]
)
def test_literal_secrets_are_refused(given: dict[str, str]):
    """Without telling them."""
    with pytest.raises(SecretLiteral) as caught:
        rk.sources.database(given.pop("url"), table="t", **given)  # type: ignore[arg-type]
    assert "sesame" not in f"{caught.value.what} {caught.value.hint}"


# ---------------------------------------------------------------------------------- SQLite


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        yield database


def of_sqlite(tmp_path: Path, **more: object) -> rk.sources.DatabaseSource:
    return rk.sources.database(f"sqlite:///{tmp_path}/shop.db", **{"table": "t", **more})  # type: ignore[arg-type]


def test_sqlite_values_of_several_kinds_lose_nothing(shop: sqlite3.Connection, tmp_path: Path, loader: Loader):
    """A batch's column is what holds all of its values exactly."""
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, big, mixed DECIMAL(10, 2), any, raw BLOB, bad TEXT)")
    shop.execute("INSERT INTO t VALUES (1, 9223372036854775807, 5, 1, x'00ff', CAST(x'ff41' AS TEXT))")
    shop.execute("INSERT INTO t VALUES (2, -9223372036854775808, 5.25, 'two', NULL, 'good')")
    found = loader.values(of_sqlite(tmp_path))
    assert found["big"] == [2**63 - 1, -(2**63)]
    assert found["mixed"] == [5.0, 5.25]
    assert found["any"] == ["1", "two"]
    assert found["raw"] == [b"\x00\xff", None]
    assert found["bad"] == [b"\xffA", b"good"]


def test_sqlite_reads_one_moment(shop: sqlite3.Connection, tmp_path: Path, loader: Loader):
    """What another process commits meanwhile is not seen."""
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    shop.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(3_000)])
    (partition,) = loader.plan(of_sqlite(tmp_path)).load
    batches = loader.batches(of_sqlite(tmp_path), partition)
    next(batches)
    shop.execute("DELETE FROM t")
    assert sum(each.rows_read for each in batches) == 2_000


@pytest.mark.parametrize(
    ("values", "later", "lookback"),
    [
        (("2026-01-01 00:00:00", "2026-01-01 00:05:00"), "2026-01-01 00:04:00", timedelta(minutes=2)),
        (("2026-01-01T00:00:00.5Z", "2026-01-01T00:05:00.0Z"), "2026-01-01T00:04:00.0Z", timedelta(minutes=2)),
        ((100, 400), 390, 20),
        ((100, 400), 390, timedelta(seconds=20)),
    ],
)
def test_sqlite_looks_back(
    shop: sqlite3.Connection,
    tmp_path: Path,
    loader: Loader,
    values: tuple[object, ...],
    later: object,
    lookback: object,
):
    """Times are texts or seconds there; the lookback is counted in the same way."""
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at NOT NULL)")
    shop.executemany("INSERT INTO t (at) VALUES (?)", [(each,) for each in values])
    source, loaded = of_sqlite(tmp_path, incremental=Increment("at", lookback=lookback)), {}  # type: ignore[arg-type]
    assert loader.load(source, loaded).ids == [1, 2]
    shop.execute("INSERT INTO t (at) VALUES (?)", [later])
    assert loader.load(source, loaded).ids == [3]
    assert loader.plan(source, loaded).to_read == ()
