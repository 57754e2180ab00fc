"""Every error has one outcome, and what nobody knows is permanent."""

from __future__ import annotations

import errno
import http.client
import importlib
import socket
import sqlite3
import threading
import urllib.error
from datetime import UTC, datetime
from email.message import Message
from email.utils import format_datetime
from pathlib import Path

import pytest
import sqlalchemy
import urllib3
from clickhouse_connect.driver.exceptions import DatabaseError as ClickHouseDatabaseError

from rowkeeper.errors import AmbiguousError, ConfigurationError, DeadlineExceeded, EngineDied
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.rules import clickhouse, network, sql
from rowkeeper.resilience.rules import http as http_rules

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def judged(error: BaseException, effect: Effect = Effect.WRITE) -> Outcome:
    return DEFAULT.judge(error, effect).outcome


def raised(action: object) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is is the question
        action()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), Outcome.TRANSIENT),
        (OSError(errno.EHOSTUNREACH, ""), Outcome.TRANSIENT),
        (OSError(errno.EMFILE, ""), Outcome.TRANSIENT),
        (ConnectionResetError(errno.ECONNRESET, ""), Outcome.AMBIGUOUS),
        (BrokenPipeError(errno.EPIPE, ""), Outcome.AMBIGUOUS),
        (TimeoutError(), Outcome.AMBIGUOUS),
        (OSError(errno.ETIMEDOUT, ""), Outcome.AMBIGUOUS),
        (http.client.RemoteDisconnected(""), Outcome.AMBIGUOUS),
        (http.client.IncompleteRead(b""), Outcome.AMBIGUOUS),
        (socket.gaierror(socket.EAI_AGAIN, ""), Outcome.TRANSIENT),
        (socket.gaierror(socket.EAI_NONAME, ""), Outcome.PERMANENT),
        (OSError(errno.ENOSPC, ""), Outcome.PERMANENT),
        (PermissionError(errno.EACCES, ""), Outcome.PERMANENT),
        (FileNotFoundError(errno.ENOENT, "", "orders.csv"), Outcome.PERMANENT),
        (ValueError(), Outcome.PERMANENT),
        (KeyError("x"), Outcome.PERMANENT),
        (DeadlineExceeded("late"), Outcome.AMBIGUOUS),
        (AmbiguousError("who knows"), Outcome.AMBIGUOUS),
        (EngineDied("gone"), Outcome.AMBIGUOUS),
        (ConfigurationError("wrong"), Outcome.PERMANENT),
    ],
)
def test_errors_of_the_system_and_our_own(error: BaseException, outcome: Outcome):
    """By what they say about whether it happened."""
    assert judged(error) is outcome


def test_a_read_is_never_ambiguous():
    """Reading twice does no harm: what would be ambiguous is transient."""
    assert judged(TimeoutError(), Effect.READ) is Outcome.TRANSIENT


def test_explicit_causes_are_followed_and_others_are_not():
    """`raise Wrapped from error` is judged by the error; a bug in an error's handler is a bug."""
    wrapped = RuntimeError()
    wrapped.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "")
    assert judged(wrapped) is Outcome.TRANSIENT
    bug = ValueError()
    bug.__context__ = ConnectionRefusedError(errno.ECONNREFUSED, "")
    assert judged(bug) is Outcome.PERMANENT


def test_a_circle_of_causes_ends():
    """Causes that lead back to themselves do not hang the judge."""
    one, two = RuntimeError(), RuntimeError()
    one.__cause__, two.__cause__ = two, one
    assert judged(one) is Outcome.PERMANENT


def test_a_connector_s_own_rule_comes_first():
    """Connectors know their errors better than we do."""
    mine = DEFAULT.with_rules(lambda error: Judgement(Outcome.THROTTLED, 3) if isinstance(error, KeyError) else None)
    assert mine.judge(KeyError(), Effect.WRITE) == Judgement(Outcome.THROTTLED, 3)
    assert mine.judge(ValueError(), Effect.WRITE).outcome is Outcome.PERMANENT


@pytest.mark.parametrize(
    ("code", "after", "outcome"),
    [
        (429, None, Outcome.THROTTLED),
        (503, "3", Outcome.THROTTLED),
        (503, None, Outcome.TRANSIENT),
        (408, None, Outcome.TRANSIENT),
        (500, None, Outcome.AMBIGUOUS),
        (502, None, Outcome.AMBIGUOUS),
        (504, None, Outcome.AMBIGUOUS),
        (400, None, Outcome.PERMANENT),
        (401, None, Outcome.PERMANENT),
        (404, None, Outcome.PERMANENT),
        (409, None, Outcome.PERMANENT),
        (501, None, Outcome.PERMANENT),
    ],
)
def test_http_answers(code: int, after: str | None, outcome: Outcome):
    """A refusal before the work is transient or throttled; a break in mid-work is ambiguous; the rest is permanent."""
    headers = Message()
    if after:
        headers["Retry-After"] = after
    judgement = DEFAULT.judge(urllib.error.HTTPError("http://x", code, "", headers, None), Effect.WRITE)
    assert judgement == Judgement(outcome, float(after) if after else None)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        (format_datetime(NOW, usegmt=True), NOW),
        ("Mon, 23 Nov 2026 12:00:00 -0000", NOW),
        ("Mon, 23 Nov 2026 13:00:00 +0100", NOW),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, meant: float | datetime | None):
    """Seconds or a date, as RFC 9110 has it; anything else is as if it were not there."""
    assert http_rules.retry_after(value) == meant


def test_urllib3_itself():
    """A refused connection is transient, an answer that never comes ambiguous: real errors of the real library."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    pool = urllib3.PoolManager(retries=False)
    assert judged(raised(lambda: pool.request("GET", f"http://127.0.0.1:{port}"))) is Outcome.TRANSIENT
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = raised(lambda: pool.request("GET", f"http://127.0.0.1:{port}", timeout=0.05))
        assert judged(error) is Outcome.AMBIGUOUS

        def hang_up() -> None:
            silent.accept()
            silent.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert judged(raised(lambda: pool.request("GET", f"http://127.0.0.1:{port}"))) is Outcome.AMBIGUOUS


def test_sqlite_itself(tmp_path: Path):
    """A locked database is transient, a wrong statement permanent; through SQLAlchemy as well."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": 0})
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x UNIQUE)")
    holder.execute("BEGIN IMMEDIATE")

    def write(sql: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)

    locked = raised(lambda: write("INSERT INTO t VALUES (1)"))
    assert judged(locked) is Outcome.TRANSIENT
    assert judged(locked.orig) is Outcome.TRANSIENT  # type: ignore[attr-defined]
    holder.close()
    assert judged(raised(lambda: write("NONSENSE"))) is Outcome.PERMANENT
    write("INSERT INTO t VALUES (1)")
    assert judged(raised(lambda: write("INSERT INTO t VALUES (1)"))) is Outcome.PERMANENT
    engine.dispose()


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("40001", Outcome.TRANSIENT),
        ("40P01", Outcome.TRANSIENT),
        ("40003", Outcome.AMBIGUOUS),
        ("08001", Outcome.TRANSIENT),
        ("08006", Outcome.AMBIGUOUS),
        ("08007", Outcome.AMBIGUOUS),
        ("53300", Outcome.THROTTLED),
        ("53100", Outcome.PERMANENT),
        ("57P03", Outcome.TRANSIENT),
        ("57P01", Outcome.AMBIGUOUS),
        ("23505", Outcome.PERMANENT),
        ("42601", Outcome.PERMANENT),
    ],
)
def test_postgresql_by_its_states(state: str, outcome: Outcome):
    """psycopg has `sqlstate`, psycopg2 and asyncpg's wrappers `pgcode`: both are read."""
    for attribute in ("sqlstate", "pgcode"):
        error = type("Error", (Exception,), {attribute: state})()
        assert judged(error) is outcome
        assert judged(sqlalchemy.exc.OperationalError("q", None, error)) is outcome


def test_a_connection_that_sqlalchemy_lost_is_ambiguous():
    """Without a code, that the connection was invalidated is all there is to know."""
    error = sqlalchemy.exc.OperationalError("q", None, Exception(), connection_invalidated=True)
    assert judged(error) is Outcome.AMBIGUOUS


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (202, "", Outcome.THROTTLED),
        (252, "", Outcome.THROTTLED),
        (241, "Memory limit (total) exceeded", Outcome.THROTTLED),
        (241, "Memory limit (for query) exceeded", Outcome.PERMANENT),
        (242, "", Outcome.TRANSIENT),
        (319, "", Outcome.AMBIGUOUS),
        (159, "", Outcome.AMBIGUOUS),
        (60, "", Outcome.PERMANENT),
        (497, "", Outcome.PERMANENT),  # ACCESS_DENIED: no HTTP status, although it could be one
        (None, "Code: 202. DB::Exception", Outcome.THROTTLED),
    ],
)
def test_clickhouse_by_its_codes(code: int | None, said: str, outcome: Outcome):
    """Through the exception of the real driver."""
    assert judged(ClickHouseDatabaseError(said, code=code)) is outcome


def test_the_names_of_drivers_exist():
    """A class that a driver renamed would be judged permanent from then on, unnoticed: where it is installed, it is
    there."""
    names = {*network.BY_NAME, *sql.DBAPI, *sql.POOL, *sql.MYSQL_ERROR, *clickhouse.ERRORS}
    looked_at = 0
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            there = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        looked_at += 1
        assert f"{there.__name__}.{getattr(there, attribute).__qualname__}" == name
    assert looked_at >= 9
