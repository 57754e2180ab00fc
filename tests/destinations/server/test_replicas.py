"""Two replicas of one server: one is chosen, a run stays with it, and when it dies the other one takes over.

The replicas are two ports of one engine, which see the same tables as replicas of a cluster come to do; see front.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.destinations.mergetree import replicas
from rowkeeper.errors import LayoutError, ReplicasDiffer, ServerAway, ServerDown
from rowkeeper.protocols import Change, CommitRecord, Site, StagedRows
from tests.destinations.server.serving import Front, serving
from tests.destinations.server.tables import load, rows, session, staged

OPTIONS = {"replicated": True, "cluster": "main", "quorum": "auto"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Front]:
    """Three ports: two replicas, and one for the tests' own talk."""
    with serving(tmp_path / "front", ports=3) as made:
        yield made


def both(front: Front) -> dict[str, object]:
    return {**OPTIONS, "replicas": [f"http://127.0.0.1:{front.ports[1]}"]}


def port_of(table: object) -> int:
    return int(table.engine._place.port)  # type: ignore[attr-defined]


def number_of(front: Front, port: int) -> int:
    return front.ports.index(port)


def test_a_replica_that_dies_between_statements_is_followed_by_the_other(pair: Front, site: Site):
    """The run goes on at the other replica, with what was staged at the first, to its publish; nothing is doubled."""
    with session(site, pair.url(), "orders", **both(pair)) as table:
        table.prepare()
        table.stage_open(1, 1)
        table.stage(rows(0, 30))
        first = port_of(table)
        pair.arm("^SELECT count", dies=True, port=number_of(pair, first))
        assert staged(table) == 30  # the question broke off with the replica, and the other one was asked
        assert port_of(table) != first
        table.stage(rows(30, 20))
        assert staged(table) == 50
        sealed = table.seal([StagedRows(0, 50, 50)], Change())
        record = CommitRecord("the ledger", 1, 1, sealed.fingerprint)
        table.publish(record, Change())
        assert table.commit_record() == record
        assert table.rows(table.names.live) == 50
        assert "SYSTEM SYNC REPLICA `shop`.`orders__rk_staging_1_1` STRICT" in pair.said()


def test_a_write_that_a_dying_replica_heard_is_not_said_to_the_other(pair: Front, site: Site):
    """Its outcome is the dead replica's secret: the run ends, and the next one fences it off and finds out."""
    with session(site, pair.url(), "heard", **both(pair)) as table:
        record = load(table, 5, 0, 25)
        first = port_of(table)
        pair.arm("^EXCHANGE TABLES", dies=True, port=number_of(pair, first))
        with pytest.raises(ServerAway):
            table.publish(record, Change())
        assert [each for each in pair.said() if each.startswith("EXCHANGE")] == []
    with session(site, pair.url(), "heard", **both(pair)) as other:
        assert port_of(other) != first
        assert not other.settle(5)
        assert other.commit_record() is None
        again = load(other, 6, 0, 25)
        other.publish(again, Change())
        assert other.commit_record() == again
        assert other.rows(other.names.live) == 25


def test_no_replica_is_one_clear_error(site: Site):
    """Each is tried, and the server's own name is told."""
    options = {"replicas": ["http://127.0.0.1:10"], **OPTIONS}
    with pytest.raises(ServerDown, match=r"127\.0\.0\.1:9 "), session(site, "http://u@127.0.0.1:9/s", "t", **options):
        pass


def test_both_replicas_are_used(pair: Front, site: Site):
    """Sessions spread over the replicas; each stays with its own."""
    used = set()
    for _ in range(20):
        with session(site, pair.url(), "spread", **both(pair)) as table:
            used.add(port_of(table))
        if len(used) == 2:
            break
    assert used == set(pair.ports[:2])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"replicated": True}, "nobody would make the tables"),
        ({"replicated": True, "cluster": "nowhere"}, "there is no cluster nowhere"),
        ({"replicated": True, "cluster": "sharded"}, "has 2 shards"),
    ],
)
def test_layouts_in_which_no_publish_is_one_step_are_refused(pair: Front, site: Site, options: dict, why: str):
    """Before a table is made: tables that only one replica would have, clusters that are not there, several shards."""
    with session(site, pair.url(), "refused", **options) as table:
        with pytest.raises(LayoutError, match=why):
            table.prepare()
        assert not table.exists("refused")


def test_replicas_that_hold_the_same_rows_on_their_own_are_refused(pair: Front, site: Site):
    """Several servers without replication hold what each was told: that is no table."""
    other = [f"http://127.0.0.1:{pair.ports[1]}"]
    told = pytest.raises(LayoutError, match="what one holds the others do not")
    with session(site, pair.url(), "alone", replicas=other) as table, told:
        table.prepare()


def test_nothing_is_published_to_a_replica_that_lags(pair: Front, site: Site, monkeypatch: pytest.MonkeyPatch):
    """A replica without the parts of what will be live keeps the publish from taking effect."""
    monkeypatch.setattr(replicas, "LAG_SECONDS_MAX", 0.3)
    monkeypatch.setattr(replicas, "rows_by_replica", lambda *_: "SELECT 'ch2', 3")
    with session(site, pair.url(), "lagging", **both(pair)) as table:
        record = load(table, 3, 0, 10)
        with pytest.raises(ReplicasDiffer, match="ch2 did not catch up"):
            table.publish(record, Change())
        assert table.commit_record() is None
        assert table.rows(table.names.live) == 0


def test_the_table_is_made_everywhere(pair: Front, site: Site):
    """What is said to the cluster is said ON CLUSTER, with replicated tables and durable parts, and a quorum."""
    with session(site, pair.url(), "everywhere", **both(pair)) as table:
        pair.disarm()
        record = load(table, 4, 0, 10)
        table.publish(record, Change())
        said = pair.said()
        table.publish(load(table, 5, 10, 5), Change(drop_rows=((4, 0),)))  # hidden rows stay in the parts
        assert table.rows(table.names.live) == 5
    made = [each for each in said if each.startswith(("CREATE TABLE", "EXCHANGE", "RENAME", "DROP TABLE"))]
    assert made
    assert all("ON CLUSTER `main`" in each for each in made)
    definition = next(each for each in made if "_rk_hash" in each)
    assert "ENGINE = ReplicatedMergeTree" in definition
    assert "fsync_after_insert = 1" in definition
    assert not any("CLONE AS" in each for each in said)
