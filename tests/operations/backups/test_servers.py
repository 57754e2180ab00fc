"""A backup holds the rows of tables on ClickHouse servers: once, sealed, and as the ledger of the same moment says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import extent
from tests.arena import KILLED
from tests.operations.restoring.history import csv
from tests.operations.restoring.servers import Far, began

pytestmark = [pytest.mark.of_sqlite("a backup is of a ledger in SQLite"), pytest.mark.timeout(1800)]
SECRET = b"Wilhelmina"
OWN = ("backup.after_clones", "backup.after_ledger", "backup.after_piece", "backup.after_send")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with began(tmp_path_factory.mktemp("far")) as made:
        rows = csv(0, 300).replace("Oslo", SECRET.decode())
        made.runs(("added", "a.csv", rows), ("merged", "m.csv", csv(0, 20)))
        made.back_up()
        yield made


def fetched(far: Far) -> list[str]:
    """The statements by which rows were fetched since the front was told to forget."""
    return [sql for sql in far.front.said() if sql.startswith("SELECT") and "_rk_hash FROM" in sql and "_part" in sql]


def rubbish(far: Far) -> set[str]:
    """Tables on the server that a backup makes and has to take away."""
    return {name for name in far.on_server() if "__rk_saved" in name}


def test_what_the_base_has_is_not_fetched_again(far: Far):
    """Of a table that was added to, the new run's rows alone; of one that nobody changed, none; a full one has all."""
    far.runs(("added", "b.csv", csv(1000, 30)))
    far.front.disarm()
    made = far.back_up()
    assert made["kind"] == "incremental"
    (statement,) = fetched(far)
    assert "`added__rk_saved_3` WHERE (_rk_run BETWEEN 3 AND 3)" in statement
    assert rubbish(far) == set()
    far.front.disarm()
    far.back_up("--full")
    assert len(fetched(far)) == 2


def test_no_value_of_a_row_is_readable(far: Far):
    """Neither a row's values nor the names of columns; the manifest names tables and runs."""
    files = [path for path in far.store.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert SECRET not in path.read_bytes(), path
        assert b"fare" not in path.read_bytes(), path


def test_every_flipped_bit_is_found(far: Far):
    """In whatever file of a backup it is."""
    files = sorted(path for path in far.store.rglob("*") if path.is_file() and path.suffix != ".begun")
    for path in files if extent.whole else extent.sample("flipped files of rows", files, 3):
        sound = path.read_bytes()
        at = extent.chance(path.name).randrange(len(sound))
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
        outcome = far.arena.run("backup", "verify", "--json")
        path.write_bytes(sound)
        assert outcome.status == 1, path
        assert not json.loads(outcome.stdout).get("sound"), path


def test_killed_anywhere_the_next_one_is_whole(far: Far):
    """What was there is as it was; what the dead one left here and on the server goes with the next."""
    for number, point in enumerate(OWN if extent.whole else extent.sample("kills of backups of servers", OWN, 2)):
        far.runs(("merged", f"k{number}.csv", csv(10 * number, 15, fare=number + 0.5)))
        before = {path: path.read_bytes() for path in far.store.rglob("*") if path.is_file()}
        assert far.arena.run("backup", "create", failpoints=f"{point}=kill").status == KILLED, point
        assert {path: path.read_bytes() for path in before} == before, point
        made, checked = far.arena.answers(("backup", "create"), ("backup", "verify"))
        assert len(made["removed"]) == 1, point
        assert checked["sound"], point
        assert rubbish(far) == set(), point


def test_a_publish_of_another_machine_meanwhile_is_noticed(far: Far):
    """It knows nothing of our lock: the commit record on the server tells, and no backup is made of two moments."""
    before = sorted(far.store.rglob("*"))
    running = far.arena.start("backup", "create", failpoints="backup.after_clones=stop")
    running.wait_stopped()
    comment = far.front.ask("SELECT comment FROM system.tables WHERE database = 'shop' AND name = 'added'").strip()
    record = json.loads(comment)
    record["rowkeeper"]["run"] = 999
    far.front.ask(f"ALTER TABLE shop.added MODIFY COMMENT '{json.dumps(record)}'")
    running.go_on()
    outcome = running.wait()
    far.front.ask(f"ALTER TABLE shop.added MODIFY COMMENT '{comment}'")
    assert outcome.status == 1, outcome
    assert "RK-5002" in outcome.stderr
    assert sorted(far.store.rglob("*")) == before


def test_a_table_that_is_not_what_the_books_say_is_not_backed_up(far: Far):
    """It could not be restored: so it is said now, and not on the day when it is needed."""
    before = sorted(far.store.rglob("*"))
    far.front.ask("INSERT INTO shop.added (id, city, fare, _rk_run, _rk_hash) VALUES (1, 'x', 1, 1, 1)")
    outcome = far.arena.run("backup", "create")
    far.front.ask("DELETE FROM shop.added WHERE city = 'x'")
    assert outcome.status == 1, outcome
    assert "RK-5002" in outcome.stderr
    assert "rowkeeper verify" in outcome.stderr
    assert sorted(far.store.rglob("*")) == before


def test_a_server_that_goes_away_is_one_clear_error(far: Far):
    """While rows are fetched: nothing of the backup stays, here or in the place."""
    before = sorted(far.store.rglob("*"))
    far.front.arm("_part_offset|_part IN", times=1_000, status=503, text="no healthy upstream")
    outcome = far.arena.run("backup", "create", "--full")
    far.front.disarm()
    assert outcome.status == 1, outcome
    assert "RK-311" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert sorted(far.store.rglob("*")) == before
    assert list((far.arena.home / "engine" / "backups" / "work").iterdir()) == []
