"""How new the rows of a table in a database are: the same answers from PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from rowkeeper.destinations.relational.session import DatabaseSession
from rowkeeper.errors import DeclarationError
from rowkeeper.protocols import Dated, Newest
from tests.destinations.database.working import Runs

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rows(*known: tuple[str | None, datetime | None]) -> pa.Table:
    times = [at for _, at in known]
    plain = [None if at is None else at.replace(tzinfo=None) for at in times]
    return pa.table(
        {
            "id": pa.array(range(len(known)), pa.int64()),
            "key": pa.array([key for key, _ in known], pa.string()),
            "at": pa.array(times, pa.timestamp("us", "UTC")),
            "naive": pa.array(plain, pa.timestamp("us")),
            "day": pa.array([None if at is None else at.date() for at in times], pa.date32()),
        }
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseSession]:
    """Two runs; a null key, a null time, a time in the future."""
    folder = tmp_path_factory.mktemp("dated")
    url = f"sqlite:///{folder}/t.db" if request.param == "sqlite" else request.getfixturevalue("server").url
    runs = Runs(folder, url, "dated")
    runs.load(rows(("AA", NOW - HOUR), ("AA", NOW - 9 * HOUR), ("BB", NOW - 30 * HOUR), (None, NOW)))
    runs.load(rows(("BB", None), ("CC", NOW + 8 * HOUR)))
    session = runs.session(None)
    yield session
    session.close()


@pytest.mark.parametrize("column", ["at", "naive"])
def test_each_key_has_its_newest_event_and_its_last_run(table: DatabaseSession, column: str):
    """What is later than the instant is counted apart; null keys are left out, null times count for nothing."""
    assert isinstance(table, Dated)
    assert table.newest(column, "key", NOW, 10) == [
        Newest("AA", NOW - HOUR, 1, 0, None),
        Newest("BB", NOW - 30 * HOUR, 2, 0, None),
        Newest("CC", None, 2, 1, NOW + 8 * HOUR),
    ]


def test_the_table_as_a_whole_and_the_runs_alone(table: DatabaseSession):
    """Without a key, and without a column; no more keys than are asked for, and one."""
    assert table.newest("at", None, NOW, 1) == [Newest("", NOW, 2, 1, NOW + 8 * HOUR)]
    assert [(each.key, each.run) for each in table.newest(None, "key", NOW, 10)] == [("AA", 1), ("BB", 2), ("CC", 2)]
    assert len(table.newest("at", "key", NOW, 1)) == 2


def test_a_date_is_its_first_instant(table: DatabaseSession):
    """In UTC."""
    newest = {each.key: each.at for each in table.newest("day", "key", NOW, 10)}
    assert newest["AA"] == datetime(2026, 3, 29, tzinfo=UTC)
    assert newest["BB"] == datetime(2026, 3, 28, tzinfo=UTC)


@pytest.mark.parametrize("column", ["at", "naive"])
def test_days_are_those_of_the_zone(table: DatabaseSession, column: str):
    """In Berlin 03:00 UTC of the 28th is the 28th; from New York it is the 27th that has rows."""
    assert table.days(column, date(2026, 3, 1), "Europe/Berlin") == {date(2026, 3, 28), date(2026, 3, 29)}
    far = table.days(column, date(2026, 3, 1), "Pacific/Kiritimati")
    assert far == {date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)}
    assert table.days("day", date(2026, 3, 29), "Europe/Berlin") == {date(2026, 3, 29)}


@pytest.mark.parametrize(("column", "by"), [("et", None), ("at", "kee"), ("id", None)])
def test_a_wrong_column_is_told(table: DatabaseSession, column: str, by: str | None):
    """With what was probably meant, or that it is no time."""
    with pytest.raises(DeclarationError) as refused:
        table.newest(column, by, NOW, 10)
    assert refused.value.hint
