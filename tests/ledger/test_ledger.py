"""The ledger: one transaction a step, leases with fencing tokens, books that add up."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.errors import ConfigurationError, IntegrityError, LeaseError, StateError
from rowkeeper.ledger import BatchRecord, Lease, Ledger, RunKind, RunRecord, RunStatus
from rowkeeper.ledger.commits import Commits
from rowkeeper.ledger.schema import leases, metadata
from rowkeeper.protocols import Posting
from tests.auditing import AUDITING

TARGET = "clickhouse:test/t"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, clock, auditing=AUDITING) as opened:
        yield opened


def start(ledger: Ledger, lease: Lease, files: int = 1, kind: RunKind = RunKind.LOAD, **more: object) -> RunRecord:
    given = {"replaces_all": False, "drop_rows": (), "reverses": None, **more}
    return ledger.start_run(
        lease,
        pipeline="p",
        target=TARGET,
        kind=kind,
        definition="d",
        source={},
        destination={"kind": "clickhouse"},
        partitions=[(Partition(f"f{number}", "i"), False) for number in range(files)],
        **given,  # type: ignore[arg-type]
    )


def batch(run: int, first: int, end: int, ordinal: int = 0) -> BatchRecord:
    return BatchRecord(run, ordinal, first, end, end - first, 0, 0, None, None, {}, NOW)


def publish(ledger: Ledger, lease: Lease, rows: int, hash_sum: int = 7, **more: object) -> int:
    run = start(ledger, lease, **more).run
    ledger.note_batch(lease, batch(run, 0, rows), partition_complete=True)
    mark = Fingerprint(rows, hash_sum)
    ledger.prepare_run(
        lease,
        run,
        accounts={0: Account(read=rows, committed=rows)},
        fingerprints={0: mark},
        postings=[Posting(run, mark)],
        columns=[("a", "Int64")],
    )
    ledger.record_published(lease, run, seconds=1.0)
    return run


def take_back(ledger: Ledger, lease: Lease, number: int) -> None:
    entry = start(ledger, lease, files=0, kind=RunKind.ROLLBACK, reverses=number).run
    reverse = [Posting(each.about_run, -each.change) for each in ledger.postings(number)]
    ledger.prepare_run(lease, entry, accounts={}, fingerprints={}, postings=reverse, columns=[("a", "Int64")])
    ledger.record_published(lease, entry, seconds=0.1)


def test_a_commit_survives_a_power_cut(tmp_path: Path):
    """WAL and synchronous=FULL are really on: NORMAL keeps none of 100 commits."""
    from rowkeeper.ledger.database import connect

    with connect(None, tmp_path).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_migrations_and_schema_agree(ledger: Ledger):
    """A ledger made by the migrations has exactly the tables that the code expects."""
    with ledger._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path):
    """Its schema is not known, so nothing is read or written."""
    with Ledger.open(None, tmp_path, auditing=AUDITING):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
    with pytest.raises(StateError, match="newer version"), Ledger.open(None, tmp_path, auditing=AUDITING):
        pass


def test_the_ledger_is_private(tmp_path: Path):
    """0600 whatever the umask."""
    before = os.umask(0)
    try:
        with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
            publish(ledger, ledger.acquire_lease(TARGET, 10), 1)
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(before)


def test_tokens_rise_for_ever(ledger: Ledger):
    """A lease given back and taken again has a greater token."""
    first = ledger.acquire_lease(TARGET, 10)
    ledger.release_lease(first)
    assert ledger.acquire_lease(TARGET, 10).token == first.token + 1


def test_a_held_lease_is_refused_until_it_expires(ledger: Ledger, clock: Clock):
    """This process is alive, so only time takes the lease from it; then its writes are refused."""
    old = ledger.acquire_lease(TARGET, 10)
    run = start(ledger, old).run
    with pytest.raises(LeaseError, match="is held by another run"):
        ledger.acquire_lease(TARGET, 10)
    clock.now += timedelta(seconds=11)
    new = ledger.acquire_lease(TARGET, 10)
    for write in (
        lambda: ledger.note_batch(old, batch(run, 0, 1), partition_complete=True),
        lambda: ledger.renew_lease(old, 10),
        lambda: start(ledger, old),
    ):
        with pytest.raises(LeaseError, match="was lost"):
            write()
    ledger.release_lease(old)
    ledger.renew_lease(new, 10)


def test_a_dead_holder_is_recognised(tmp_path: Path):
    """A process of this machine that was killed holds nothing any more, however long its lease."""
    code = (
        "import os, sys; from pathlib import Path; from rowkeeper.ledger import Ledger\n"
        "from tests.auditing import AUDITING\n"
        f"with Ledger.open(None, Path(sys.argv[1]), auditing=AUDITING) as ledger:\n"
        f"    ledger.acquire_lease({TARGET!r}, 1000); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        assert ledger.acquire_lease(TARGET, 10).token == 2


def test_a_race_for_a_lease_has_one_winner(tmp_path: Path):
    """Of many processes that want the same lease at once exactly one gets it."""
    with Ledger.open(None, tmp_path, auditing=AUDITING):
        pass
    code = (
        "import sys; from pathlib import Path; from rowkeeper.ledger import Ledger\n"
        "from tests.auditing import AUDITING\n"
        "from rowkeeper.errors import LeaseError\n"
        "with Ledger.open(None, Path(sys.argv[1]), auditing=AUDITING) as ledger:\n"
        "    try:\n"
        f"        print(ledger.acquire_lease({TARGET!r}, 1000).token, flush=True)\n"
        "        sys.stdin.readline()\n"
        "    except LeaseError:\n"
        "        print('refused', flush=True)\n"
    )
    argv = [sys.executable, "-c", code, tmp_path]
    racers = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    answers = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(answers) == ["1", "refused", "refused", "refused", "refused"]


def test_a_batch_is_noted_once_and_in_order(ledger: Ledger):
    """A batch that was noted, or that leaves a gap, is refused."""
    lease = ledger.acquire_lease(TARGET, 10)
    run = start(ledger, lease).run
    ledger.note_batch(lease, batch(run, 0, 5), partition_complete=False)
    for wrong in (batch(run, 0, 5), batch(run, 6, 9), batch(run, 5, 5)):
        with pytest.raises(IntegrityError, match="does not follow"):
            ledger.note_batch(lease, wrong, partition_complete=False)
    ledger.note_batch(lease, batch(run, 5, 9), partition_complete=True)
    assert [part.next_row for part in ledger.partitions(run)] == [9]


@pytest.mark.parametrize(
    "accounts",
    [{}, {0: Account(read=9, committed=9)}, {0: Account(read=5, committed=4)}, {0: Account(5, 5), 1: Account()}],
)
def test_an_account_that_does_not_balance_is_refused(ledger: Ledger, accounts: dict[int, Account]):
    """Missing, of another number of rows than were read, not adding up, or of a partition that is not there."""
    lease = ledger.acquire_lease(TARGET, 10)
    run = start(ledger, lease).run
    ledger.note_batch(lease, batch(run, 0, 5), partition_complete=True)
    with pytest.raises(IntegrityError, match="does not balance"):
        ledger.prepare_run(lease, run, accounts=accounts, fingerprints={}, postings=[], columns=[])
    assert ledger.run(run).status is RunStatus.STAGING


def test_steps_follow_one_another_only_as_they_should(ledger: Ledger):
    """Publishing what is not prepared, preparing what is published, resuming what has failed: refused."""
    lease = ledger.acquire_lease(TARGET, 10)
    run = start(ledger, lease).run
    with pytest.raises(IntegrityError, match="is staging"):
        ledger.record_published(lease, run, seconds=0)
    ledger.fail_run(lease, run, {"type": "t", "what": "w", "hint": "h"})
    with pytest.raises(IntegrityError, match="is failed"):
        ledger.resume_run(lease, run)
    done = publish(ledger, lease, 3)
    with pytest.raises(IntegrityError, match="is published"):
        ledger.prepare_run(lease, done, accounts={}, fingerprints={}, postings=[], columns=[])
    assert ledger.record_published(lease, done, seconds=9).seconds == 1.0, "recording twice changes nothing"


def test_reopening_takes_back_what_prepare_wrote(ledger: Ledger):
    """A run that was found unpublished has no account, no postings and no schema version."""
    lease = ledger.acquire_lease(TARGET, 10)
    run = start(ledger, lease).run
    ledger.note_batch(lease, batch(run, 0, 2), partition_complete=True)
    own = [Posting(run, Fingerprint(2, 5))]
    ledger.prepare_run(lease, run, accounts={0: Account(2, 2)}, fingerprints={}, postings=own, columns=[("a", "T")])
    ledger.reopen_run(lease, run)
    assert (ledger.postings(run), ledger.schema_versions(TARGET), ledger.run(run).account) == ([], [], Account())
    assert [each.run for each in ledger.unfinished(TARGET)] == [run]


def test_what_is_loaded_follows_rollbacks_and_replacements(ledger: Ledger):
    """The newest published run counts; one that was taken back does not; a replacement ends what was before it."""
    lease = ledger.acquire_lease(TARGET, 10)
    first, second = publish(ledger, lease, 1), publish(ledger, lease, 2)
    assert ledger.loaded("p", TARGET)["f0"].run == second
    take_back(ledger, lease, second)
    assert ledger.loaded("p", TARGET)["f0"].run == first
    third = publish(ledger, lease, 3, replaces_all=True)
    assert {each.run for each in ledger.loaded("p", TARGET).values()} == {third}


def test_an_unknown_run_is_a_clear_error(ledger: Ledger):
    """With the newest number."""
    with pytest.raises(ConfigurationError, match="there is no run 9; there is none yet"):
        ledger.run(9)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2**64 - 1), st.booleans()), max_size=5))
def test_the_books_add_up(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]):
    """After any order of publishes and rollbacks the balance is the sum of what was published and not taken back."""
    expected = {}
    with Ledger.open(None, tmp_path_factory.mktemp("books"), auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 100)
        for rows, hash_sum, undone in steps:
            run = publish(ledger, lease, rows, hash_sum)
            if undone:
                take_back(ledger, lease, run)
            else:
                expected[run] = Fingerprint(rows, hash_sum)
        assert ledger.balance(TARGET) == expected


def test_the_runs_that_are_alive_are_those_of_this_machine_in_order(ledger: Ledger, clock: Clock):
    """Leases of schedules, of dead processes and of other machines do not count."""
    last = ledger.acquire_lease("clickhouse:b", 60)
    clock.now += timedelta(seconds=1)
    ledger.acquire_lease("clickhouse:a", 60)
    ledger.acquire_lease("schedule:p", 60)
    ledger.acquire_lease("clickhouse:elsewhere", 60)
    ledger.acquire_lease("clickhouse:dead", 60)
    with ledger._engine.begin() as connection:
        change = sqlalchemy.update(leases)
        connection.execute(change.where(leases.c.name == "clickhouse:elsewhere").values(host="other:1:2"))
        connection.execute(change.where(leases.c.name == "clickhouse:dead").values(process_started=1.0))
    assert [each.name for each in ledger.runs_alive()] == ["clickhouse:b", "clickhouse:a"]
    ledger.release_lease(last)
    assert [each.name for each in ledger.runs_alive()] == ["clickhouse:a"]


def test_an_export_is_kept(ledger: Ledger):
    """Who took rejected rows out, when, where to; the run stays as it is."""
    lease = ledger.acquire_lease(TARGET, 60)
    run = start(ledger, lease).run
    before = ledger.run(run)
    ledger.note_export(run, who="ada", path="/tmp/a", rows=3)
    (found,) = ledger.exports(run)
    assert (found.who, found.path, found.rows, found.exported_at) == ("ada", "/tmp/a", 3, NOW)
    assert ledger.run(run) == before


def test_whatever_is_committed_has_another_number(ledger: Ledger, tmp_path: Path):
    """By this process or another; without a commit it stays, and a database without it says so."""
    before = ledger.commits.number()
    ledger.runs()
    assert ledger.commits.number() == before is not None
    ledger.acquire_lease(TARGET, 60)
    assert ledger.commits.number() != before
    gone = Commits(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/no/such/folder"))
    elsewhere = Commits(sqlalchemy.create_engine("postgresql+psycopg://nobody@localhost/none"))
    assert (gone.number(), elsewhere.number(), elsewhere.counted) == (None, None, False)
