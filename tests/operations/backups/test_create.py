"""What a backup holds, and that it holds it as it was between two runs."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from rowkeeper.errors import LeaseHeld
from rowkeeper.operations.backups.creating import create_backup
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.runs.boundary import between_runs, crossing
from tests.arena import Arena
from tests.operations.backups.furnished import SECRET, feed, furnish, load, opened, points_of, unpacked


@pytest.fixture(scope="module")
def kept(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, with a full backup after the first and incremental ones after more of them; one is taken back: run 1, whose
    rows are deleted, as another run came after it.
    """
    place = tmp_path_factory.mktemp("place")
    furnish(arena, place)
    numbers = iter((1, 2, 3))
    backup = ("backup", "create")
    for commands in ([backup], [("rollback", "1"), backup], [backup]):
        outcomes = arena.together(*feed(arena, next(numbers)), *commands)
        assert not [each for each in outcomes if each.status], outcomes
    return place


def stored(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_each_published_run_is_in_some_backup_with_its_fingerprint(arena: Arena, kept: Path):
    """Appended, merged, replaced and rolled back: since the first backup no state of a table is missing or differs."""
    with opened(arena) as space:
        found = points_of(space)
        wanted = {}
        for target in space.ledger.targets():
            history = space.ledger.history.published(target)
            wanted |= {(target.rpartition(".")[2], each.run): {str(each.after)} for each in history}
    assert found == wanted
    assert len(wanted) == 10


def test_nothing_of_a_row_is_readable_in_the_place(arena: Arena, kept: Path):
    """Values, definitions of tables and the key are in no file; keysets are there wrapped only. Manifests name tables,
    and nothing else does.
    """
    key = next((arena.folder / "config").rglob("*.key")).read_text().strip()
    for name, data in stored(kept).items():
        assert SECRET.encode() not in data, name
        table = () if name.startswith("manifests/") else (b"replaced",)
        for readable in (b"MergeTree", key.encode(), bytes.fromhex(key), *table):
            assert readable not in data, (name, readable)


def test_a_backup_holds_all_that_an_empty_machine_needs_besides_the_master_key(arena: Arena, kept: Path):
    """Ledger, sealed files, keysets and settings: what lies in the state folder is in the backup as it is there."""
    with opened(arena) as space, backup_store(space) as store:
        id = store.ids()[-1]
        reader = unpacked(space, store, id)
        index = reader.index()
        for path in arena.home.rglob("*.sealed"):
            assert reader.read(index[f"state/{path.relative_to(arena.home)}"]) == path.read_bytes()
        for name in ("home.json", "keys.json"):
            assert store.read(id, name) == (arena.home / name).read_bytes()
        copy = arena.folder / "copy.sqlite"
        copy.write_bytes(reader.read(index["state/ledger.sqlite"]))
        assert "settings/settings.json" in index
    ledger = sqlite3.connect(copy)
    (runs,) = ledger.execute("SELECT count(*) FROM runs WHERE publish_order IS NOT NULL").fetchone()
    assert runs == reader.manifest.order == 10


def test_an_incremental_backup_stores_what_is_new_alone(arena: Arena, kept: Path):
    """Without a run since its base it has no data of tables but what a clone is marked with, and no sealed file."""
    made = arena.ok("backup", "create")
    assert made["kind"] == "incremental"
    with opened(arena) as space, backup_store(space) as store:
        index = unpacked(space, store, made["id"]).index()
    own = [path for path, entry in index.items() if entry.backup == made["id"]]
    data = [path for path in own if path.startswith("native/data/") and "invalidated_system_columns" not in path]
    assert data == []
    assert [path for path in own if path.endswith(".sealed")] == []


def test_former_states_are_kept_until_a_backup_has_them_and_no_longer(own_arena: Arena, tmp_path: Path):
    """Of runs that take rows out, and of no others; without ROWKEEPER_BACKUP_TO of none, and what was kept goes."""
    kept_tables = "SELECT name FROM system.tables WHERE name LIKE '%__rk_kept%' ORDER BY name"
    furnish(own_arena, tmp_path / "place")
    load(own_arena, 1, 2, names=("added", "replaced"))
    before, _, after = own_arena.answers(("query", kept_tables), ("backup", "create"), ("query", kept_tables))
    assert [row[0] for row in before["rows"]] == ["replaced__rk_kept_2", "replaced__rk_kept_4"]
    assert after["rows"] == []
    load(own_arena, 3, names=("replaced",))
    del own_arena.env["ROWKEEPER_BACKUP_TO"]
    load(own_arena, 4, names=("replaced",))
    assert own_arena.ok("query", kept_tables)["rows"] == []


def test_a_backup_to_another_place_takes_nothing_from_those_that_are_set_up(arena: Arena, kept: Path, tmp_path: Path):
    """What is kept of former states is kept until a backup in the place of the settings has it."""
    load(arena, 40, names=("replaced",))
    elsewhere = arena.ok("backup", "create", "--to", str(tmp_path / "elsewhere"))
    before = arena.ok("backup", "create")
    load(arena, 41, names=("replaced",))
    run = arena.ok("runs")["runs"][0]["run"]
    assert arena.ok("backup", "create", "--to", str(tmp_path / "elsewhere"))["base"] == elsewhere["id"]
    names = "SELECT name FROM system.tables WHERE name LIKE '%__rk_kept%'"
    assert arena.ok("query", names)["rows"] == [[f"replaced__rk_kept_{run}"]]
    assert arena.ok("backup", "create")["base"] == before["id"]
    assert arena.ok("query", names)["rows"] == []


def test_a_backup_leaves_nothing_behind_in_the_installation(arena: Arena, kept: Path):
    """Neither clones of tables nor a file of its work."""
    assert arena.ok("query", "SELECT name FROM system.tables WHERE name LIKE '%__rk_saved%'")["rows"] == []
    arena.ok("backup", "create")
    work = arena.home / "engine" / "backups"
    assert list(work.rglob("*")) == [work / "work"]


def test_a_publish_waits_for_a_backup_to_have_its_moment_and_the_other_way_round(tmp_path: Path):
    """Who crosses a boundary shares the lock; who needs a moment between runs has it alone, or says that it has not."""
    target, entered = "clickhouse:embedded/default.t", threading.Event()
    refused = pytest.raises(LeaseHeld, match="without a moment")
    with crossing(tmp_path, target), crossing(tmp_path, target), refused, between_runs(tmp_path, 0.05):
        raise AssertionError

    def publish() -> None:
        with crossing(tmp_path, target):
            entered.set()

    with between_runs(tmp_path, 1):
        publishing = threading.Thread(target=publish)
        publishing.start()
        assert not entered.wait(0.1)
        with crossing(tmp_path, "postgresql:other"):  # what is elsewhere has no boundary here
            pass
    publishing.join()
    assert entered.is_set()


def test_a_run_that_publishes_meanwhile_is_in_the_backup_whole_or_not_at_all(arena: Arena, kept: Path):
    """A publish that stands still before its commit point: the backup waits for it, or gives up and touches nothing."""
    before = stored(kept)
    (command,) = feed(arena, 50, ("added",))
    running = arena.start(*command, failpoints="run.after_publish=stop")
    running.wait_stopped()
    refused = arena.run("backup", "create", "--wait", "0.2")
    assert refused.status == 1
    assert "runs have been publishing without a moment between them" in refused.stderr
    assert stored(kept) == before
    running.go_on()
    assert running.wait().status == 0
    made = arena.ok("backup", "create")
    last = arena.ok("runs")["runs"][0]["run"]
    assert made["run"] == last
    with opened(arena) as space:
        found = points_of(space)
        history = space.ledger.history.published("clickhouse:embedded/default.added")
    assert found["added", last] == {str(history[-1].after)}


def test_a_run_that_died_between_publish_and_record_is_settled_first(arena: Arena, kept: Path):
    """So that the backup's ledger knows of what its table holds."""
    (command,) = feed(arena, 60, ("added",))
    assert arena.run(*command, failpoints="run.after_publish=kill").status < 0
    made = arena.ok("backup", "create")
    assert made["run"] == arena.ok("runs")["runs"][0]["run"]
    assert made["tables"][0]["run"] == made["run"]


def test_names_sort_by_time_also_where_the_clock_went_back(arena: Arena, kept: Path):
    """The next one is always behind all others."""
    future = kept / "manifests" / "29990101T000000Z-full.begun"
    with opened(arena) as space:
        future.write_text(space.ledger.id)
    made = arena.ok("backup", "create")
    assert made["removed"] == ["29990101T000000Z-full"]
    assert made["id"] < "2999"  # a leftover that is gone takes no names along
    ids = [each["id"] for each in arena.ok("backup", "list")["backups"]]
    assert ids == sorted(ids)


def test_the_trail_says_who_made_and_who_verified(arena: Arena, kept: Path):
    """One entry each, with the backup's name."""
    made = arena.ok("backup", "create")
    arena.ok("backup", "verify", made["id"])
    entries = [each for each in arena.ok("audit", "list")["entries"] if each["action"].startswith("backup.")]
    assert [(each["action"], each["on"]["backup"], each["outcome"]) for each in entries[-2:]] == [
        ("backup.create", made["id"], "done"),
        ("backup.verify", made["id"], "done"),
    ]


def test_an_installation_in_which_nothing_was_published_is_backed_up(own_arena: Arena, tmp_path: Path):
    """Keysets and ledger are worth it; and the state folder is as private as before."""
    furnish(own_arena, tmp_path / "place")
    made = own_arena.ok("backup", "create")
    assert (made["tables"], made["run"]) == ([], None)
    assert own_arena.ok("backup", "create")["base"] == made["id"]
    assert own_arena.ok("backup", "verify")["sound"]
    load(own_arena, 1, names=("added",))
    assert own_arena.ok("backup", "create")["points"] == [1]


def test_a_table_that_was_dropped_is_said_to_be_missing(own_arena: Arena, tmp_path: Path):
    """The rest is backed up, and everybody is told."""
    furnish(own_arena, tmp_path / "place")
    load(own_arena, 1, names=("added", "merged"))
    with opened(own_arena) as space:
        from rowkeeper.runs.reconciling import destination_of

        session = destination_of(space.ledger.run(1)).connect(space.site, None)
        session.statements.do("DROP TABLE default.added")
        session.close()
        made = create_backup(space)
    assert [each.table for each in made.manifest.tables] == ["merged"]
    (why,) = made.manifest.left_out.items()
    assert why == ("clickhouse:embedded/default.added", "the table is not there: somebody dropped it")
