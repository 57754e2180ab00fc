"""A ledger on a PostgreSQL server: a real one, which is slow, stopped and started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.errors import DatabaseError, DeadlineExceeded
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.database import writing
from rowkeeper.ledger.grants import RowFilter
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.course import Attempt
from rowkeeper.resilience.deadline import deadline
from tests.access.asking import NOON, to_role, to_user
from tests.auditing import AUDITING
from tests.ledgers import Server, served

SLACK_SECONDS = 0.25


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    with served() as made:
        yield made


def test_roles_and_grants_are_kept_there(server: Server, tmp_path: Path):
    """A grant, a role and a row filter come back as they were given; another process sees that they came."""
    with (
        Ledger.open(server.url, tmp_path, auditing=AUDITING) as ledger,
        Ledger.open(server.url, tmp_path, auditing=AUDITING) as other,
    ):
        before = other.grants.version.number()
        ledger.users.add("ann")
        ledger.grants.add_role("analyst", "looks", (to_role("analyst", "data.query"),))
        made = ledger.grants.add(to_user("run.show", ("pipeline", "flights"), purpose="x", expires_at=NOON))
        ledger.grants.filter_rows(RowFilter("analyst", "shop.orders", "a = 1"))
        ledger.grants.filter_rows(RowFilter("analyst", "shop.orders", "a = 2"))
        state = other.grants.state()
        assert (state.number, state.grants[-1]) == (before + 5, made)
        assert [each.condition for each in state.row_filters] == ["a = 2"]
        other.grants.remove(made.id)
        assert other.grants.remove_role("analyst") == 0
        assert ledger.grants.state().grants == ()


def test_a_statement_ends_at_the_deadline(server: Server, tmp_path: Path):
    """The server itself ends it, in time, and the transaction is undone; the next one is as usual."""
    with Ledger.open(server.url, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease("slow", 30)
        overruns = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded), deadline(0.5), writing(ledger._engine, "slow") as connection:
                connection.exec_driver_sql("SELECT pg_sleep(5)")
            overruns.append(time.monotonic() - began - 0.5)
        assert min(overruns) < SLACK_SECONDS
        ledger.release_lease(lease)


def test_a_lock_is_waited_for_until_the_deadline(server: Server, tmp_path: Path):
    """Another transaction has the row: whoever waits for it is told that the time is over."""
    with Ledger.open(server.url, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease("locked", 30)
        with writing(ledger._engine, "lock") as connection:
            connection.exec_driver_sql("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DeadlineExceeded), deadline(0.5):
                ledger.renew_lease(lease, 30)
        ledger.release_lease(lease)


def test_a_server_that_comes_back_is_waited_for(server: Server, tmp_path: Path):
    """It is down, and up again when the first try has failed: what is asked is answered at the second."""
    tries: list[Attempt] = []

    def observe(attempt: Attempt) -> None:
        tries.append(attempt)
        if attempt.outcome is not None:
            server.start()

    with Ledger.open(server.url, tmp_path, calls=Calls(observers=[observe]), auditing=AUDITING) as ledger:
        assert ledger.runs(limit=1) == []
        tries.clear()
        server.stop()
        assert ledger.runs(limit=1) == []
    assert [(each.name.operation, each.outcome) for each in tries] == [("connect", "transient"), ("connect", None)]


def test_a_server_that_stays_away_is_an_error(server: Server, tmp_path: Path):
    """In time, in our words, and without what the URL holds."""
    server.stop()
    try:
        url = server.url.replace("postgres:@", "postgres:canary-password@")
        began = time.monotonic()
        with (
            pytest.raises((DatabaseError, DeadlineExceeded)) as caught,
            deadline(2),
            Ledger.open(url, tmp_path, auditing=AUDITING),
        ):
            pass
        assert time.monotonic() - began < 2 + SLACK_SECONDS
        assert "canary" not in f"{caught.value} {caught.value.hint} {caught.value.context}"
    finally:
        server.start()
