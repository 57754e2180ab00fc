"""A ledger behind PgBouncer, whose connections are other ones from transaction to transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import verifying
from tests import extent
from tests.auditing import AUDITING
from tests.ledger.crowd import Crowd, found, judge
from tests.ledger.pgbouncer import WHY_NONE, Pool, pgbouncer
from tests.ledger.steps import TARGET, publish
from tests.ledgers import Server, served

PROCESSES = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if pgbouncer() is None:
        pytest.skip(WHY_NONE)
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def pool(server: Server) -> Iterator[Pool]:
    """Two connections to the server for everybody. For root it runs as another user, who may not enter our folders."""
    program = pgbouncer()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Pool(program, server, Path(folder), 2)
        yield made
        made.close()


def test_steps_of_two_ledgers_by_turns_on_the_same_connections(server: Server, pool: Pool, tmp_path: Path):
    """Nothing of a session is relied upon: runs of two processes' engines, are as they must be."""
    server.by_hand("CREATE DATABASE turns")
    url = pool.url("turns")
    with Ledger.open(url, tmp_path, auditing=AUDITING) as one, Ledger.open(url, tmp_path, auditing=AUDITING) as other:
        runs = []
        for number in range(8):
            for ledger in (one, other):
                lease = ledger.acquire_lease(TARGET, 30)
                runs.append(publish(ledger, lease, number + 1))
                ledger.release_lease(lease)
        assert [each.run for each in one.runs(limit=99)] == runs[::-1]
        verdict = verifying.verify(one.audit, {})
        assert verdict.sound, verdict.findings


def test_a_crowd_shares_two_connections(server: Server, pool: Pool, tmp_path: Path):
    """Six processes: none doubled, each slot once, the trail is one tree."""
    server.by_hand("CREATE DATABASE crowd")
    url = pool.url("crowd")
    found(url, tmp_path)
    told = Crowd.of(url, tmp_path, PROCESSES, rounds=extent.examples(8, 100)).told()
    assert judge(url, tmp_path, told) == []
    assert {error for each in told for error in each.failures} <= {"somebody else has it"}
