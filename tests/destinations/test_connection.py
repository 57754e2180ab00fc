"""The engine goes away: what may be said again is, what may not is looked up, and what it refuses is final."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import peer_pid
from rowkeeper.destinations.mergetree.arriving import addresses, arrived
from rowkeeper.destinations.mergetree.destination import clickhouse
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.mergetree.statements import REPEATABLE
from rowkeeper.errors import DatabaseError, DeclarationError, EngineDied
from rowkeeper.protocols import Change, Site, StagedRows
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.course import Attempt
from rowkeeper.resilience.outcomes import Happened
from rowkeeper.resilience.policy import Resilience
from tests.keys import random_disk_keys

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])


class Watched:
    """A site whose calls are noted."""

    def __init__(self, home: object) -> None:
        self.tries: list[Attempt] = []
        self.site = Site(
            home=home,  # type: ignore[arg-type]
            disk_keys=random_disk_keys(),
            ledger_id="",
            engine_idle_seconds=20,
            calls=Calls(observers=[self.tries.append]),
        )

    @property
    def host(self) -> int:
        return peer_pid(EnginePlaces.under(self.site.home))

    def kill(self) -> None:
        os.kill(self.host, signal.SIGKILL)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("home"))
    yield made
    made.kill()


@pytest.fixture
def session(watched: Watched) -> Iterator[TableSession]:
    made = clickhouse("t", order_by=["id"]).connect(watched.site, SCHEMA)
    made.prepare()
    made.stage_open(1, 1)
    watched.tries.clear()
    yield made
    made.close()


def rows(first: int, count: int, ordinal: int = 0) -> pa.Table:
    numbers = range(first, first + count)
    ids = pa.array([ordinal << 40 | number for number in numbers], pa.uint64())
    return pa.table({"id": pa.array(numbers, pa.int64()), ROW_ID: ids})


def staged(session: TableSession) -> int:
    return session.rows(session.names.staging(1, 1))


def test_a_question_is_asked_again(watched: Watched, session: TableSession):
    """The host is killed between two questions: the second is answered by the next host."""
    session.stage(rows(0, 10))
    watched.kill()
    assert staged(session) == 10
    assert [each.outcome for each in watched.tries if each.name.operation == "read"][-2:] == ["transient", None]


def test_an_insert_that_did_not_arrive_is_sent_again(watched: Watched, session: TableSession):
    """The host is killed while it has the insert before it: every row is staged once, and the seal says so."""
    session.stage(rows(0, 10))
    host = watched.host
    os.kill(host, signal.SIGSTOP)
    killer = threading.Timer(0.5, os.kill, (host, signal.SIGKILL))
    killer.start()
    session.stage(rows(10, 5))
    killer.join()
    assert "ambiguous" in [each.outcome for each in watched.tries if each.name.operation == "write"]
    assert staged(session) == 15
    sealed = session.seal([StagedRows(0, 15, 15)], Change())
    assert sealed.fingerprint.rows == 15


def test_an_insert_that_arrived_is_not_sent_again(session: TableSession):
    """All of its rows are there; those of other inserts, and of other partitions, are not taken for them."""
    session.stage(rows(0, 10))
    session.stage(rows(10, 5))
    session.stage(rows(10, 5, ordinal=1))
    assert arrived(session, rows(10, 5)) == Happened(None)
    assert arrived(session, rows(20, 5)) is None
    assert staged(session) == 20


def test_an_insert_that_arrived_in_part_is_taken_out(session: TableSession):
    """Three of five rows are there: they go, so that the insert may be sent again."""
    session.stage(rows(0, 10))
    session.stage(rows(10, 3))
    assert arrived(session, rows(10, 5)) is None
    assert staged(session) == 10


def test_addresses_lie_together_in_each_partition():
    """One range for each partition of the insert."""
    both = pa.concat_tables([rows(5, 3), rows(0, 2, ordinal=3)])
    assert addresses(both) == f"{ROW_ID} BETWEEN 5 AND 7 OR {ROW_ID} BETWEEN {3 << 40} AND {(3 << 40) + 1}"


def test_a_change_that_nobody_can_look_up_is_not_said_again(watched: Watched, session: TableSession):
    """Whether the table was renamed is not known: EngineDied, which leaves the run to be gone on with."""
    session.statements.do("CREATE TABLE once (x Int8) ENGINE = MergeTree ORDER BY x")
    watched.kill()
    watched.tries.clear()
    with pytest.raises(EngineDied):
        session.statements.do("RENAME TABLE once TO twice")
    assert [each.outcome for each in watched.tries if each.name.operation == "write"] == ["ambiguous"]
    assert session.exists("once")  # and the connection is of use again


def test_what_is_refused_is_not_asked_again(watched: Watched, session: TableSession):
    """Once, whatever the policy: neither the retry budget nor the breaker has anything to do with it."""
    with pytest.raises(DatabaseError, match="refused"):
        session.statements.ask("SELECT no_such_column FROM system.one")
    assert [each.outcome for each in watched.tries] == ["permanent"]


@pytest.mark.parametrize(
    ("sql", "repeatable"),
    [
        ("DROP TABLE IF EXISTS `default`.`t`", True),
        ("DELETE FROM `default`.`t` WHERE 1", True),
        ("ALTER TABLE `default`.`t` ADD COLUMN IF NOT EXISTS `x` Int8", True),
        ("DROP TABLE `default`.`t`", False),
        ("CREATE TABLE IF NOT EXISTS `a` CLONE AS `b`", False),
        ("EXCHANGE TABLES `a` AND `b`", False),
        ("RENAME TABLE `a` TO `b`", False),
        ("INSERT INTO `a` SELECT 1", False),
        ("ALTER TABLE `a` ATTACH PARTITION ALL FROM `b`", False),
    ],
)
def test_which_changes_may_be_said_twice(sql: str, repeatable: bool):
    """Those after which everything is as if they had been said once; a clone that broke off is not."""
    assert bool(REPEATABLE.match(sql)) == repeatable


def test_what_cannot_be_asked_of_a_destination():
    """A policy that is none, and a second request where there is nobody else to ask."""
    with pytest.raises(DeclarationError, match="no policy for calls"):
        clickhouse("t", order_by=["id"], resilience=3)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="hedge_after_seconds"):
        clickhouse("t", order_by=["id"], resilience=Resilience(hedge_after_seconds=1))


def test_a_policy_is_no_part_of_what_a_run_is_a_run_of(watched: Watched):
    """A changed policy does not make a run that died start over; and a destination can be rebuilt without it."""
    plain = clickhouse("t", order_by=["id"])
    patient = clickhouse("t", order_by=["id"], resilience=Resilience(deadline_seconds=5))
    assert plain.describe() == patient.describe()
    assert type(plain).from_description(plain.describe()) == plain.placed()
    engine = EngineConnection(watched.site, writes=False)
    assert engine.read(lambda client: client.command("SELECT 1")) == 1
    engine.close()
