"""MySQL and MariaDB: values, one snapshot, what is new, and faults. Skipped where no server is installed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import count

import pytest

import rowkeeper as rk
from rowkeeper.errors import CursorUnfit, LoginRefused, RightsMissing, StatementRefused, TableMissing
from rowkeeper.sources import Increment
from tests.sources.database.conftest import Loader
from tests.sources.database.servers import PASSWORD, MySQL

numbers = count()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)


def source(mysql: MySQL, **more: object) -> rk.sources.DatabaseSource:
    url = f"mysql+pymysql://reader@127.0.0.1:{mysql.port}/shop"
    return rk.sources.database(url, password="env:DB_PASSWORD", **more)  # type: ignore[arg-type]


@pytest.fixture
def name(mysql: MySQL) -> str:
    return f"my_{next(numbers)}"


VALUES = [
    ("BIGINT UNSIGNED", "18446744073709551615", 2**64 - 1),
    ("TINYINT(1)", "1", 1),
    ("DECIMAL(30, 6)", "123456789012345678901234.123456", Decimal("123456789012345678901234.123456")),
    ("DECIMAL(65, 30)", "1.5", Decimal("1.500000000000000000000000000000")),
    ("FLOAT", "0.1", 0.10000000149011612),
    ("DOUBLE", "0.1", 0.1),
    ("DATE", "'2026-11-26'", dt.date(2026, 11, 26)),
    ("DATE", "'0000-00-00'", "0000-00-00"),
    ("DATETIME(6)", "'2026-11-26 12:34:56.123456'", dt.datetime(2026, 11, 26, 12, 34, 56, 123456)),
    ("TIMESTAMP(6) NULL", "'2026-11-26 12:34:56.5'", dt.datetime(2026, 11, 26, 12, 34, 56, 500000, dt.UTC)),
    ("TIME(3)", "'-838:59:59'", "-838:59:59.000"),
    ("YEAR", "2026", 2026),
    ("BIT(8)", "b'101'", 5),
    ("BIT(64)", "~0", 2**64 - 1),
    ("VARCHAR(20)", "'Ærø 東 \\\\ ''x'''", "Ærø 東 \\ 'x'"),
    ("VARCHAR(20) CHARACTER SET latin1", "'Ærø'", "Ærø"),
    ("VARBINARY(4)", "x'00ff'", b"\x00\xff"),
    ("LONGBLOB", "x''", b""),
    ("JSON", "'{\"a\": 1.10}'", '{"a": 1.10}'),
    ("ENUM('a', 'so, so')", "'so, so'", "so, so"),
    ("SET('a', 'b')", "'a,b'", "a,b"),
    ("TEXT", "''", ""),
]


@pytest.mark.parametrize(("kind", "value", "expected"), VALUES, ids=[f"{kind} {value}" for kind, value, _ in VALUES])
def test_a_value_arrives_as_it_is(mysql: MySQL, name: str, loader: Loader, kind: str, value: str, expected: object):
    """And null beside it stays null."""
    mysql.do("SET SESSION sql_mode = '', time_zone = '+00:00'")
    mysql.do(f"CREATE TABLE {name} (id INT PRIMARY KEY, x {kind})")
    mysql.do(f"INSERT INTO {name} VALUES (1, {value}), (2, NULL)")
    found = loader.values(source(mysql, table=name))["x"]
    assert found == [expected, None]
    assert type(found[0]) is type(expected)


def filled(mysql: MySQL, name: str, rows: int) -> None:
    mysql.do(
        f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, name VARCHAR(40), at DATETIME(6) NOT NULL DEFAULT '2026-01-01')"
    )
    with mysql.owner.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} (id, name) VALUES (%s, 'x')", [(each,) for each in range(1, rows + 1)])


def test_pages_are_of_one_moment(mysql: MySQL, name: str, loader: Loader):
    """What is committed between two pages is not seen."""
    filled(mysql, name, 3_500)
    (partition,) = loader.plan(source(mysql, table=name)).load
    batches = loader.batches(source(mysql, table=name), partition)
    found = next(batches).table["id"].to_pylist()
    mysql.do(f"DELETE FROM {name} WHERE id > 10")
    for batch in batches:
        found += batch.table["id"].to_pylist() if batch.rows_read else []
    assert found == list(range(1, 3_501))


def test_a_lost_connection_is_another_snapshot_in_which_the_rows_are_compared(mysql: MySQL, name: str, loader: Loader):
    """The server ends it in the middle; the rows come all the same, each once."""
    filled(mysql, name, 3_500)
    (partition,) = loader.plan(source(mysql, table=name)).load
    found: list[int] = []
    for number, batch in enumerate(loader.batches(source(mysql, table=name), partition)):
        if number == 1:
            with mysql.owner.cursor() as cursor:
                cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'reader'")
                for (connection,) in cursor.fetchall():
                    cursor.execute(f"KILL {connection}")
        found += batch.table["id"].to_pylist() if batch.rows_read else []
    assert found == list(range(1, 3_501))


@pytest.mark.parametrize("key", ["composite", "binary", "text", "none"])
def test_any_key_or_none_will_do(mysql: MySQL, name: str, loader: Loader, key: str):
    """Each row once, whatever tells rows apart."""
    columns = {
        "composite": "a INT, b DATETIME(6), id INT, PRIMARY KEY (a, b)",
        "binary": "k BINARY(16) PRIMARY KEY, id INT",
        "text": "k VARCHAR(40) PRIMARY KEY, id INT",
        "none": "id INT",
    }[key]
    row = {
        "composite": "seq % 7, '2026-01-01' + INTERVAL seq MICROSECOND, seq",
        "binary": "UNHEX(MD5(seq)), seq",
        "text": "CONCAT('it''s \\\\', seq), seq",
        "none": "seq",
    }[key]
    mysql.do(f"CREATE TABLE {name} ({columns})")
    mysql.do(f"INSERT INTO {name} SELECT {row} FROM seq_1_to_2500")
    assert sorted(loader.load(source(mysql, table=name)).ids) == list(range(1, 2_501))


def test_each_run_reads_what_is_new(mysql: MySQL, name: str, loader: Loader):
    """Late rows within the lookback are found; nothing comes twice."""
    filled(mysql, name, 10)
    made, loaded = source(mysql, table=name, incremental=Increment("at", lookback=dt.timedelta(minutes=10))), {}
    assert loader.load(made, loaded).ids == list(range(1, 11))
    assert loader.plan(made, loaded).to_read == ()
    mysql.do(f"INSERT INTO {name} VALUES (11, 'late', '2025-12-31 23:55:00'), (12, 'new', '2026-01-02')")
    found = loader.load(made, loaded)
    assert (found.ids, found.duplicates) == ([11, 12], 10)
    assert loader.plan(made, loaded).to_read == ()


def test_what_cannot_be_read_is_one_clear_error(mysql: MySQL, name: str, loader: Loader, monkeypatch):
    """Of its own kind each."""
    filled(mysql, name, 3)
    for given, error in (
        ({"table": "not_there"}, TableMissing),
        ({"query": "SELECT FROM"}, StatementRefused),
        ({"query": "SELECT * FROM mysql.user"}, RightsMissing),
        ({"table": name, "incremental": Increment("id", lookback=dt.timedelta(1))}, CursorUnfit),
    ):
        with pytest.raises(error):
            loader.load(source(mysql, **given))
    monkeypatch.setenv("DB_PASSWORD", "wrong")
    with pytest.raises(LoginRefused):
        loader.load(source(mysql, table=name))


def test_tls_is_demanded_where_it_is_declared(mysql: MySQL, name: str, loader: Loader):
    """A server that offers none is refused before it is told who we are."""
    filled(mysql, name, 1)
    with pytest.raises(rk.errors.FrameworkError) as caught:
        loader.load(source(mysql, table=name, tls=rk.TLS()))
    assert "SSL" in str(caught.value.what) or caught.value.code.startswith(("RK-604", "RK-212"))
