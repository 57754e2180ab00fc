"""A ledger whose PostgreSQL has a standby, which is promoted when the primary is gone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import verifying
from tests.arena import Arena
from tests.auditing import AUDITING
from tests.ledger.standby import Standby
from tests.ledger.steps import TARGET, publish
from tests.ledgers import Server, served
from tests.runs.scenarios import PIPELINE, trips


@pytest.fixture
def primary() -> Iterator[Server]:
    with served() as made:
        yield made


@pytest.fixture
def standby(primary: Server) -> Iterator[Standby]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Standby(primary, Path(folder))
        yield made
        made.close()


def test_a_synchronous_standby_that_is_promoted_has_all_of_it(primary: Server, standby: Standby, tmp_path: Path):
    """The primary crashes between two steps of an open ledger: it goes on at the standby, and the trail is whole."""
    primary.by_hand("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.by_hand("SELECT pg_reload_conf()")
    with Ledger.open(standby.url, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        runs = [publish(ledger, lease, 3) for _ in range(3)]
        primary.stop()
        standby.promote()
        ledger.renew_lease(lease, 30)
        runs.append(publish(ledger, lease, 3))
        assert [each.run for each in ledger.runs(limit=9)] == runs[::-1]
        verdict = verifying.verify(ledger.audit, {})
        assert verdict.sound, verdict.findings


def test_of_a_standby_that_lacks_commits_nothing_is_doubled(primary: Server, standby: Standby, tmp_path: Path):
    """The ledger is an older one: told by the trail (RK-5005) until it is accepted, and for good by a table that was
    loaded meanwhile (RK-5002); tables that were not are gone on with.
    """
    arena = Arena(tmp_path / "arena", {"ROWKEEPER_LEDGER_URL": standby.url})
    try:
        for name in ("meanwhile", "before"):
            arena.write(f"{name}.py", PIPELINE.format(name=name, options="", gates="", on_error="stop"))
            arena.write(f"{name}/a.csv", trips(0, 40))
            arena.ok("run", f"{name}.py")
        standby.wait_until("(SELECT count(*) = 2 FROM runs WHERE status = 'published')")
        standby.cut_off()
        for name in ("meanwhile", "before"):
            arena.write(f"{name}/b.csv", trips(40, 40))
        arena.ok("run", "meanwhile.py")
        table = arena.rows("meanwhile")
        primary.stop()
        standby.promote()
        refused = arena.run("run", "before.py", "--json")
        assert (refused.status, refused.json["error"]["code"]) == (1, "RK-5005"), refused
        arena.ok("audit", "accept", "--reason", "the standby lacked the last commits")
        assert arena.ok("run", "before.py")["account"]["read"] == 40
        assert arena.ok("verify", "before.py")["sound"]
        refused = arena.run("run", "meanwhile.py", "--json")
        assert (refused.status, refused.json["error"]["code"]) == (1, "RK-5002"), refused
        assert arena.rows("meanwhile") == table
    finally:
        arena.kill_host()
