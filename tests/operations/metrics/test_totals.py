"""Totals: each end of a run counts once, in its transaction, and they outlive the runs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import delete

from rowkeeper import metering
from rowkeeper.ledger import Ledger, RunStatus
from rowkeeper.ledger.database import MIGRATIONS, writing
from rowkeeper.ledger.schema import runs
from rowkeeper.ledger.totals import Total
from tests.auditing import AUDITING
from tests.ledger.steps import TARGET, batch, publish, start, take_back

ERROR = {"code": "RK-2101", "what": "nothing is there", "hint": ""}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, auditing=AUDITING) as opened:
        yield opened


def totals(ledger: Ledger, total: Total, **labels: str) -> dict[str, float]:
    """The values of a metric, those of other labels left out; by the rest of their labels, as text."""
    found = {}
    for each, own, value in ledger.totals.read():
        if each is total and labels.items() <= own.items():
            rest = {name: text for name, text in own.items() if name not in labels and name != "pipeline"}
            found[",".join(f"{name}={text}" for name, text in sorted(rest.items()))] = value
    return found


def ends(ledger: Ledger) -> dict[str, int]:
    """How often loads ended, by status, without zeros."""
    counted = totals(ledger, Total.RUNS, kind="load")
    return {name.removeprefix("status="): int(count) for name, count in counted.items() if count}


def test_each_way_to_end_counts_once(ledger: Ledger):
    """Published, failed, interrupted and gone on with, unchanged: each adds one, and an error its code."""
    lease = ledger.acquire_lease(TARGET, 30)
    publish(ledger, lease, 10)
    failed = start(ledger, lease).run
    ledger.fail_run(lease, failed, ERROR)
    stopped = start(ledger, lease).run
    ledger.interrupt_run(lease, stopped, ERROR)
    ledger.resume_run(lease, stopped)
    ledger.interrupt_run(lease, stopped, {**ERROR, "code": "RK-2001"})
    given = {"pipeline": "p", "target": TARGET, "definition": "d", "source": {}, "destination": {}}
    ledger.record_unchanged(lease, **given, note="nothing new")
    assert ends(ledger) == {"published": 1, "failed": 1, "interrupted": 2, "unchanged": 1}
    assert totals(ledger, Total.ERRORS) == {"code=RK-2101": 2, "code=RK-2001": 1}


def test_rows_are_counted_by_line_when_they_are_published(ledger: Ledger):
    """Once, even if the step is taken again; what was never published is in no line."""
    lease = ledger.acquire_lease(TARGET, 30)
    number = publish(ledger, lease, 10)
    ledger.record_published(lease, number, seconds=1.0)
    ledger.note_batch(lease, batch(start(ledger, lease).run, 0, 5), partition_complete=True)
    assert totals(ledger, Total.ROWS, line="committed") == {"": 10}
    assert ends(ledger) == {"published": 1}


def test_a_rollback_is_a_run_of_its_own_kind(ledger: Ledger):
    """The run that it takes back stays counted: a counter never becomes smaller."""
    lease = ledger.acquire_lease(TARGET, 30)
    take_back(ledger, lease, publish(ledger, lease, 10))
    assert ends(ledger) == {"published": 1}
    assert totals(ledger, Total.RUNS, kind="rollback", status="published") == {"": 1}


def test_a_refused_end_counts_nothing(ledger: Ledger):
    """Whoever lost the lease changes no total."""
    lease = ledger.acquire_lease(TARGET, 30)
    number = start(ledger, lease).run
    ledger.release_lease(lease)
    ledger.acquire_lease(TARGET, 30)
    with pytest.raises(Exception, match="lease"):
        ledger.fail_run(lease, number, ERROR)
    assert ends(ledger) == {}


def test_whether_the_last_run_ended_well(ledger: Ledger):
    """1 after a success, 0 after a failure, 1 again after the next success."""
    lease, seen = ledger.acquire_lease(TARGET, 30), []
    for well in (True, False, True):
        if well:
            number = publish(ledger, lease, 1)
        else:
            ledger.fail_run(lease, start(ledger, lease).run, ERROR)
        seen += totals(ledger, Total.LAST_WELL).values()
    assert seen == [1, 0, 1]
    before = totals(ledger, Total.LAST_SUCCESS)
    take_back(ledger, lease, number)
    assert totals(ledger, Total.LAST_SUCCESS) == before  # a rollback is no success of the pipeline


def test_what_was_measured_is_noted_once_and_added_up(ledger: Ledger):
    """A run that is gone on with has the figures of both its ends; the histogram has seen two."""
    lease = ledger.acquire_lease(TARGET, 30)
    with metering.metering():
        number = start(ledger, lease).run
        metering.measured_run(number)
        metering.took("read", rows=10, bytes=80, seconds=2.0, room_wait_seconds=0.5)
        ledger.interrupt_run(lease, number, ERROR)
        ledger.resume_run(lease, number)
        metering.took("read", rows=5, bytes=40, seconds=20.0)
        metering.retried()
        ledger.interrupt_run(lease, number, ERROR)
    found = ledger.totals.of_run(number)
    assert found is not None
    (stage,) = found.stages
    assert (stage.stage, stage.rows, stage.bytes, stage.seconds, stage.room_wait_seconds) == ("read", 15, 120, 22, 0.5)
    assert (found.retries, found.peak_memory_bytes > 1_000_000) == (1, True)
    assert totals(ledger, Total.STAGE_ROWS, stage="read") == {"": 15}
    assert totals(ledger, Total.STAGE_WAITS, stage="read") == {"wait=room": 0.5}
    seconds = totals(ledger, Total.STAGE_SECONDS, stage="read")
    assert seconds == {"": 22, "le=5.0": 1, "le=60.0": 1}


def test_what_was_measured_goes_to_no_other_run(ledger: Ledger):
    """A run that is settled meanwhile, for another process that died, gets none of it."""
    lease = ledger.acquire_lease(TARGET, 30)
    dead, own = start(ledger, lease).run, start(ledger, lease).run
    with metering.metering():
        metering.measured_run(own)
        metering.took("read", rows=10)
        ledger.interrupt_run(lease, dead, ERROR)
        ledger.interrupt_run(lease, own, ERROR)
    assert ledger.totals.of_run(dead) is None
    assert ledger.totals.of_run(own) is not None


def test_what_a_run_took_goes_with_the_run(ledger: Ledger):
    """Whoever forgets runs need not know of it."""
    lease = ledger.acquire_lease(TARGET, 30)
    number = start(ledger, lease, files=0).run
    with metering.metering():
        metering.measured_run(number)
        metering.took("read", rows=1)
        ledger.fail_run(lease, number, ERROR)
    assert ledger.totals.of_run(number) is not None
    with writing(ledger.audit.engine, "forget") as connection:
        connection.execute(delete(runs).where(runs.c.run == number))
    assert ledger.totals.of_run(number) is None
    assert ends(ledger) == {"failed": 1}


@pytest.mark.of_sqlite("takes rows out of its file by hand")
def test_totals_outlive_the_runs(tmp_path: Path):
    """They are the same when every run is forgotten, and go on from there."""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        publish(ledger, lease, 10)
        ledger.release_lease(lease)
        before = ledger.totals.read()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as hand:
        for table in ("postings", "schema_versions", "batches", "run_partitions", "runs"):
            hand.execute(f"DELETE FROM {table}")
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        assert ledger.totals.read() == before
        publish(ledger, ledger.acquire_lease(TARGET, 30), 5)
        assert totals(ledger, Total.ROWS, line="committed") == {"": 15}


DYING = """
import sys
from pathlib import Path
from rowkeeper.ledger import Ledger
from tests.auditing import AUDITING
from tests.ledger.steps import TARGET, publish
with Ledger.open(None, Path(sys.argv[1]), auditing=AUDITING) as ledger:
    publish(ledger, ledger.acquire_lease(TARGET, 30), 10)
"""


@pytest.mark.of_sqlite("opens its file in two processes")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_leaves_run_and_totals_together(tmp_path: Path, when: str):
    """SIGKILL before the commit of a publish, or after it: published and counted, or neither."""
    point = f"ledger.{when}_commit:record_published=kill"
    env = {"ROWKEEPER_FAILPOINTS": point, "PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(tmp_path)}
    died = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=False, env=env, timeout=60)
    assert died.returncode == -9
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        published = ledger.run(1).status is RunStatus.PUBLISHED
        assert published is (when == "after")
        assert ends(ledger) == ({"published": 1} if published else {})
        assert bool(totals(ledger, Total.ROWS)) is published


def test_an_older_ledger_starts_with_what_its_runs_came_to(tmp_path: Path):
    """The migration counts the runs that are there: the totals are those that counting from the start had made."""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        take_back(ledger, lease, publish(ledger, lease, 10))
        publish(ledger, lease, 5)
        ledger.fail_run(lease, start(ledger, lease).run, ERROR)
        wanted = {key: value for key, value in counted(ledger).items() if value}
        with writing(ledger.audit.engine, "older") as connection:
            for table in ("run_stages", "run_performance", "totals"):
                connection.exec_driver_sql(f"DROP TABLE {table}")
            step = ScriptDirectory(str(MIGRATIONS)).get_revision("0019")
            with Operations.context(MigrationContext.configure(connection)):
                step.module.upgrade()
        assert {key: value for key, value in counted(ledger).items() if value} == wanted


def counted(ledger: Ledger) -> Mapping[tuple[str, str], float]:
    kept = (Total.RUNS, Total.ROWS)
    found = ledger.totals.read()
    return {(total, json.dumps(dict(labels), sort_keys=True)): value for total, labels, value in found if total in kept}
