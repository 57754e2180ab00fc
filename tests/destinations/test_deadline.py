"""A deadline reaches the engine: its statements, and the socket behind them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import peer_pid
from rowkeeper.destinations.mergetree.statements import Statements
from rowkeeper.errors import DeadlineExceeded
from rowkeeper.protocols import Site
from rowkeeper.resilience.deadline import deadline
from tests.keys import random_disk_keys

# Counts for minutes, and looks at the clock after each block.
LONG = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) % 7 = 1"
# Three seconds in one block: the engine does not look at the clock in between.
STUBBORN = "SELECT sleep(3)"
SLACK_SECONDS = 0.25


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statements]:
    site = Site(
        home=tmp_path_factory.mktemp("home"), disk_keys=random_disk_keys(), ledger_id="", engine_idle_seconds=20
    )
    made = Statements(EngineConnection(site, writes=True), "t")
    made.ask("SELECT 1")
    yield made
    made.close()
    os.kill(peer_pid(EnginePlaces(site.home / "engine")), 9)


@pytest.mark.parametrize("sql", [LONG, STUBBORN])
def test_a_statement_ends_at_the_deadline(statements: Statements, sql: str):
    """Whether the engine minds `max_execution_time` or not, the caller is back in time, and told why."""
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded), deadline(0.8):
        statements.ask(sql)
    assert 0.5 < time.monotonic() - began < 0.8 + SLACK_SECONDS


def test_the_engine_itself_stops(statements: Statements):
    """The statement does not go on behind the back of a caller who has left."""
    with pytest.raises(DeadlineExceeded), deadline(0.5):
        statements.ask(LONG)
    time.sleep(0.3)
    assert statements.number("SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%'") <= 1  # this one


def test_nothing_is_sent_once_it_has_passed(statements: Statements):
    """A statement without time left is not begun: nobody need ask whether it happened."""
    with deadline(0.01):
        time.sleep(0.02)
        with pytest.raises(DeadlineExceeded):
            statements.do("CREATE TABLE too_late (x Int8) ENGINE = MergeTree ORDER BY x")
    assert statements.number("SELECT count() FROM system.tables WHERE name = 'too_late'") == 0


def test_without_one_nothing_changes(statements: Statements):
    """No deadline, no limit: a statement may take as long as it needs."""
    assert statements.ask("SELECT sleep(1), getSetting('max_execution_time')") == [(0, 0)]


def test_the_limit_of_the_statement_is_a_little_less_than_what_is_left(statements: Statements):
    """So that the engine's own answer, which is certain, comes before the socket gives up, which is not."""
    with deadline(20):
        limit = statements.number("SELECT getSetting('max_execution_time') * 1000")
    assert 19_000 < limit < 20_000


def test_the_connection_is_of_use_afterwards(statements: Statements):
    """A statement that was cut off leaves no half-read answer for the next one."""
    for _ in range(3):
        with pytest.raises(DeadlineExceeded), deadline(0.2):
            statements.ask(STUBBORN)
        assert statements.number("SELECT 42") == 42
