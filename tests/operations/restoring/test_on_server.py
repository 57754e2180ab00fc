"""A ledger in PostgreSQL, backed up and restored with the tables: over a live one, into an empty one, half done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests import extent
from tests.arena import KILLED, Arena, Outcome
from tests.ledgers import Server, served
from tests.operations.restoring.history import FILE, Past, began, csv, end_engine, left_in, restored_arena, steps

BEFORE = ("restore.after_promise", "restore.before_ledger_commit")
AFTER = ("restore.after_ledger_commit", "restore.before_swap", "restore.after_swap", "restore.after_aside")
CANARY = "canary-of-the-ledger"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It lets `postgres` in as it is, and `keeper` by a password alone."""
    with served() as made:
        made.by_hand(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{CANARY}'")
        made.by_hand("CREATE ROLE looker LOGIN")
        ((rules,),) = made.by_hand("SHOW hba_file")
        keeper = "local all keeper scram-sha-256\nlocal all all trust\n"
        Path(str(rules)).write_text(keeper)
        made.by_hand("SELECT pg_reload_conf()")
        yield made


@pytest.fixture(scope="module")
def past(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Two runs and a backup; the engine is ended."""
    made = began(tmp_path_factory.mktemp("server"), ROWKEEPER_LEDGER_URL=server.schema())
    next(steps(made, whole=False))
    made.back_up()
    end_engine(made.arena)
    yield made
    end_engine(made.arena)


def url_of(past: Past, user: str = "postgres", schema: str = "") -> str:
    """Of the past's server."""
    place = make_url(past.arena.env["ROWKEEPER_LEDGER_URL"]).set(username=user)
    return (place.update_query_dict({"options": f"-csearch_path={schema}"}) if schema else place).render_as_string()


def one_error(outcome: Outcome, code: str) -> str:
    assert outcome.status in (1, 2), outcome
    assert f"({code})" in outcome.stderr, outcome
    assert outcome.stderr.count("error:") == 1, outcome
    assert "Traceback" not in outcome.stderr, outcome
    return " ".join(outcome.stderr.split())


def there_is(arena: Arena) -> dict[str, str]:
    """The tables as they are, which the books agree with; the trail is sound, and nothing is left beside the state."""
    found = left_in(arena)
    assert arena.ok("audit", "verify")["sound"]
    end_engine(arena)
    return found


def beside(past: Past) -> list[str]:
    return sorted(path.name for path in past.arena.folder.glob("state*") if ".before-restore-" not in path.name)


def test_killed_anywhere_there_is_the_old_state_or_the_new_one(past: Past):
    """Up to the commit in PostgreSQL the old one, from then on the new one, whoever looks first; the same command again
    ends well, there and back.
    """
    second = past.runs[-1]
    points = [*BEFORE, *AFTER]
    tried = points if extent.whole else extent.sample("kills over a server", points, 2, ["restore.after_ledger_commit"])
    was = past.left[second]
    for number, point in enumerate(tried):
        to = past.runs[number % 2]
        command = ("restore", "--to", str(to), "--force")
        assert past.arena.run(*command, failpoints=f"{point}=kill").status == KILLED, point
        assert there_is(past.arena) == (was if point in BEFORE else past.left[to]), point
        assert past.arena.run(*command).status == 0, point
        assert there_is(past.arena) == past.left[to], point
        assert beside(past) == ["state"], point
        was = past.left[to]
        for path in past.arena.folder.glob("state.before-restore-*"):
            shutil.rmtree(path)
    assert past.arena.run("restore", "--to", str(second), "--force").status == 0
    assert there_is(past.arena) == past.left[second]


def test_an_empty_machine_and_an_empty_database(past: Past, server: Server, tmp_path: Path):
    """Both get what the backup has, and no ledger lies in the folder; killed between the two, the next command finishes
    it. With the folder alone lost, the ledger that is there is gone on with, and only with --force.
    """
    _, second = past.runs
    other = restored_arena(past, tmp_path / "machine", ROWKEEPER_LEDGER_URL=server.schema())
    assert other.run("restore", failpoints="restore.after_ledger_commit=kill").status == KILLED
    assert there_is(other) == past.left[second]
    assert not list(other.home.glob("ledger.sqlite*"))
    assert not list(tmp_path.glob("machine.*"))

    other.write("added/later.csv", csv(500, 9))
    later = other.ok("run", f"{FILE}:added")["run"]
    (other.folder / "added" / "later.csv").unlink()
    end_engine(other)
    shutil.rmtree(other.home)
    assert "--force" in one_error(other.run("restore"), "RK-7021")
    told = other.ok("restore", "--force")
    assert (told["ledger"], told["undone"]) == ("live", [later])
    assert there_is(other) == past.left[second]


@pytest.mark.of_sqlite("begins with its file")
def test_a_ledger_moves_by_a_backup(server: Server, tmp_path: Path):
    """From SQLite to an empty PostgreSQL by the setting alone, and back without it: tables, runs and trail with it."""
    moved = began(tmp_path / "moved")
    next(steps(moved, whole=False))
    moved.back_up()
    end_engine(moved.arena)
    there = restored_arena(moved, moved.arena.home, ROWKEEPER_LEDGER_URL=server.schema())
    told = there.ok("restore", "--force")
    assert told["ledger"] == "backup"
    assert "its ledger is not where ROWKEEPER_LEDGER_URL leads to" in told["notes"][0]
    assert not list(there.home.glob("ledger.sqlite*"))
    there.write("added/later.csv", csv(500, 9))
    there.ok("run", f"{FILE}:added")
    later = there_is(there)
    there.ok("backup", "create")
    end_engine(there)
    moved.arena.ok("restore", "--force")
    assert there_is(moved.arena) == later


def test_a_look_beside_leaves_the_server_alone(past: Past, tmp_path: Path):
    """`--into` makes a state folder with a ledger of its own, a file; a drill does nothing else."""
    first, second = past.runs
    before = past.arena.ok("audit", "list")["entries"]
    past.arena.ok("restore", "--to", str(first), "--into", str(tmp_path / "look"))
    assert past.arena.ok("audit", "list")["entries"] == before
    there = restored_arena(past, tmp_path / "look")
    assert there_is(there) == past.left[first]
    assert past.arena.ok("backup", "drill")["run"] == second
    end_engine(past.arena)


def test_a_server_that_dies_while_a_backup_is_made(past: Past, server: Server):
    """One error, and nothing of the backup stays; the next one is whole."""
    before = sorted(past.store.rglob("*"))
    making = past.arena.start("backup", "create", failpoints="backup.after_moment=stop")
    making.wait_stopped()
    server.stop("immediate")
    making.go_on()
    outcome = making.wait()
    server.start()
    assert "ledger" in one_error(outcome, "RK-5010")
    assert sorted(past.store.rglob("*")) == before
    made, checked = past.arena.answers(("backup", "create"), ("backup", "verify"))
    assert checked["sound"], made
    end_engine(past.arena)


def test_a_server_that_dies_at_the_commit_of_a_restore(past: Past, server: Server):
    """Whether it was committed is not known then, and is told so; when the server is back all is as it was, and the
    same command ends well.
    """
    first, second = past.runs
    command = ("restore", "--to", str(first), "--force")
    restoring = past.arena.start(*command, failpoints="restore.before_ledger_commit=stop")
    restoring.wait_stopped()
    server.stop("immediate")
    restoring.go_on()
    outcome = restoring.wait()
    assert "rowkeeper doctor" in one_error(outcome, "RK-5011")
    one_error(past.arena.run("runs"), "RK-5011")  # nobody goes on before that is known
    server.start()
    assert there_is(past.arena) == past.left[second]
    past.arena.ok(*command)
    assert there_is(past.arena) == past.left[first]
    assert beside(past) == ["state"]
    past.arena.ok("restore", "--to", str(second), "--force")


def test_places_that_cannot_take_a_ledger(past: Past, server: Server, tmp_path: Path):
    """Somebody else's tables, another installation's ledger, no right, a wrong password, no server: one error each,
    without a secret, and nothing is there that was not before.
    """
    server.by_hand("CREATE SCHEMA elses")
    server.by_hand("CREATE TABLE elses.users AS SELECT 1 AS number")
    server.by_hand("CREATE SCHEMA closed")
    another = Arena(tmp_path / "another", {"ROWKEEPER_LEDGER_URL": server.schema()})
    another.ok("runs")
    machine = restored_arena(past, tmp_path / "machine", ROWKEEPER_LEDGER_URL="set below")
    password = {"ROWKEEPER_LEDGER_PASSWORD": "env:PGPASS_OF_TESTS", "PGPASS_OF_TESTS": f"{CANARY}-wrong"}
    for url, code, more in (
        (url_of(past, schema="elses"), "RK-7026", {}),
        (another.env["ROWKEEPER_LEDGER_URL"], "RK-7004", {}),
        (url_of(past, "looker", "closed"), "RK-5014", {}),
        (url_of(past, "keeper"), "RK-5014", password),
        ("postgresql+psycopg://postgres@127.0.0.1:9/postgres", "RK-5009", {}),
    ):
        env = {"ROWKEEPER_LEDGER_URL": url, **more}
        told = one_error(machine.run("restore", "--force", env=env), code)
        assert CANARY not in told
        assert not list(tmp_path.glob("machine*")), url
    assert server.by_hand("SELECT number FROM elses.users") == [(1,)]
    assert another.ok("runs") == {"runs": []}


def test_who_holds_a_lease_keeps_the_ledger_from_being_replaced(past: Past):
    """Wherever he is, as long as he may be alive; then what he knows is worth nothing any more, and he fails."""
    first, second = past.runs
    past.arena.write("added/z.csv", csv(300, 12))
    env = {"ROWKEEPER_LEASE_SECONDS": "600"}
    zombie = past.arena.start("run", f"{FILE}:added", "--json", failpoints="publish.before_exchange=stop", env=env)
    zombie.wait_stopped()
    past.arena.kill_host()  # whose parent it is, so nobody takes note of its end
    past.arena.home.rename(past.arena.home.with_name("lost"))
    refused = past.arena.run("restore", "--to", str(first), "--force")
    assert "the ledger is in use" in one_error(refused, "RK-7022")
    assert not past.arena.home.exists()
    with past.arena.by_hand() as hand:  # time goes by
        hand.execute("UPDATE leases SET expires_at = now()")
    past.arena.ok("restore", "--to", str(first), "--force")
    zombie.go_on()
    assert zombie.wait().status == 1
    assert there_is(past.arena) == past.left[first]
    (past.arena.folder / "added" / "z.csv").unlink()
    past.arena.ok("restore", "--to", str(second), "--force")
    assert there_is(past.arena) == past.left[second]
