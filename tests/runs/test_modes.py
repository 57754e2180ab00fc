"""Write modes, duplicates, drift, rollback of earlier runs, and what verify finds: the account and the table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clickhouse_connect.driver.client import Client

from rowkeeper.destinations.embedded.client import engine_client
from rowkeeper.protocols import Site
from tests.arena import Arena
from tests.keys import disk_keys_of

PIPELINE = """
import rowkeeper as rk
import time
from pydantic import BaseModel
from typing import Optional

class Item(BaseModel):
    id: int
    version: int
    text: str
    {field}

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*", on_change="reload"),
    contract=Item,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}),
    {more}
)
"""
FIRST = "id,version,text\n1,1,a\n2,5,b\n2,4,bb\n"
SECOND = "id,version,text\n2,3,c\n3,1,d\n3,1,dd\n"


def declare(arena: Arena, name: str, options: str = "", more: str = "", field: str = "") -> str:
    text = PIPELINE.format(name=name, options=options, more=more, field=field)
    arena.write(f"{name}.py", text)
    return f"{name}.py"


def line(report: dict[str, dict[str, int]]) -> tuple[int, ...]:
    return tuple(report["account"].values())


MODES = [
    # options, account of each run (read, committed, quarantined, duplicate, filtered), what the table holds at the end
    ("", (3, 3, 0, 0, 0), (3, 3, 0, 0, 0), "a b bb c d dd"),
    ('key=["id"], duplicates="skip"', (3, 2, 0, 1, 0), (3, 1, 0, 2, 0), "a b d"),
    ('key=["id"], duplicates="quarantine"', (3, 2, 1, 0, 0), (3, 1, 2, 0, 0), "a b d"),
    ('key=["id"], duplicates="replace"', (3, 2, 0, 1, 0), (3, 2, 0, 1, 0), "a c dd"),
    ('key=["id"], write="merge"', (3, 2, 0, 1, 0), (3, 2, 0, 1, 0), "a c dd"),
    ('key=["id"], write="merge", version="version"', (3, 2, 0, 1, 0), (3, 1, 0, 2, 0), "a b dd"),
    ('write="replace"', (3, 3, 0, 0, 0), (6, 6, 0, 0, 0), "a b bb c d dd"),
]


@pytest.mark.in_turns("modes", 2)
@pytest.mark.parametrize("number", range(len(MODES)))
def test_what_each_mode_commits_and_counts(arena: Arena, number: int):
    """The account of both runs, the table, and verify; rolled back, the table is as after the first run."""
    options, first, second, texts = MODES[number]
    name = f"mode_{number}"
    file = declare(arena, name, options)
    arena.write(f"{name}/a.csv", FIRST)
    assert line(arena.ok("run", file)) == first
    before = arena.rows(name)
    arena.write(f"{name}/b.csv", SECOND)
    report = arena.ok("run", file)
    assert line(report) == second
    assert " ".join(sorted(row[2] for row in arena.rows(name))) == texts
    assert arena.ok("verify", file)["sound"]
    arena.ok("rollback", str(report["run"]))
    assert arena.rows(name) == before
    assert arena.ok("verify", file)["sound"]
    assert line(arena.ok("run", file)) == second


def test_quarantined_duplicates_are_shown_with_their_values(arena: Arena):
    """Where they stand, why they are there, and what they are."""
    file = declare(arena, "shown", 'key=["id"], duplicates="quarantine"')
    arena.write("shown/a.csv", FIRST)
    run = arena.ok("run", file)["run"]
    (row,) = arena.ok("quarantine", "show", str(run))["rows"]
    assert row["place"].endswith("a.csv, row 3")
    assert row["errors"][0]["type"] == "rk_duplicate"
    assert '"bb"' in row["text"]


def test_an_earlier_run_that_only_added_rows_can_be_taken_back(arena: Arena):
    """Its rows go, those of later runs stay, and its file counts as not loaded."""
    file = declare(arena, "earlier")
    arena.write("earlier/a.csv", FIRST)
    first = arena.ok("run", file)["run"]
    arena.write("earlier/b.csv", SECOND)
    arena.ok("run", file)
    arena.ok("rollback", str(first))
    assert sorted(row[2] for row in arena.rows("earlier")) == ["c", "d", "dd"]
    assert arena.ok("verify", file)["sound"]
    assert line(arena.ok("run", file)) == (3, 3, 0, 0, 0)


def test_an_earlier_run_that_replaced_rows_cannot(arena: Arena):
    """What it replaced is kept only until the next run: one clear error, nothing changed."""
    file = declare(arena, "merged", 'key=["id"], write="merge"')
    arena.write("merged/a.csv", FIRST)
    arena.ok("run", file)
    arena.write("merged/b.csv", SECOND)
    second = arena.ok("run", file)["run"]
    arena.write("merged/c.csv", "id,version,text\n9,1,z\n")
    arena.ok("run", file)
    outcome = arena.run("rollback", str(second))
    assert outcome.status == 1
    assert "replaced rows of earlier runs" in outcome.stderr
    assert arena.ok("verify", file)["sound"]


@pytest.mark.in_turns("kinds of files", 1)
@pytest.mark.parametrize(("suffix", "value"), [("csv", "x"), ("ndjson", '"x"')])
def test_drift_evolve_adds_a_nullable_column(arena: Arena, suffix: str, value: str):
    """Former rows are null there; the next file without the column still loads; hashes of former rows stay."""
    name = f"drift_{suffix}"
    file = declare(arena, name, more='drift="evolve",')
    rows = {
        "csv": (FIRST, "id,version,text,more\n7,1,e,x\n", "id,version,text\n8,1,f\n"),
        "ndjson": (
            '{"id": 1, "version": 1, "text": "a"}\n',
            '{"id": 7, "version": 1, "text": "e", "more": "x"}\n',
            '{"id": 8, "version": 1, "text": "f"}\n',
        ),
    }[suffix]
    for number, content in enumerate(rows):
        arena.write(f"{name}/{number}.{suffix}", content)
        arena.ok("run", file)
    result = arena.ok("query", f"SELECT id, more FROM {name} WHERE id > 6 ORDER BY id")
    assert result["columns"][1]["type"] == "Nullable(String)"
    assert result["rows"] == [[7, value], [8, None]]
    assert arena.ok("verify", file)["sound"]


def test_a_new_optional_field_is_added_to_the_table(arena: Arena):
    """The contract grows by an optional field; a required one is a clear error."""
    file = declare(arena, "grown")
    arena.write("grown/a.csv", FIRST)
    arena.ok("run", file)
    declare(arena, "grown", field="more: Optional[int] = None")
    arena.write("grown/b.csv", "id,version,text,more\n4,1,x,7\n")
    assert line(arena.ok("run", file)) == (1, 1, 0, 0, 0)
    assert arena.ok("query", "SELECT sum(more), count() FROM grown")["rows"] == [[7, 4]]
    assert arena.ok("verify", file)["sound"]
    declare(arena, "grown", field="more: Optional[int] = None\n    needed: int = 0")
    outcome = arena.run("run", file)
    assert outcome.status == 2
    assert "has no column needed" in outcome.stderr


def test_many_partitions_in_one_batch(arena: Arena):
    """ClickHouse allows 100 partitions per block by default; 400 of them load all the same."""
    file = declare(arena, "parts", 'partition_by="id % 400"')
    rows = "".join(f"{number},1,t\n" for number in range(2000))
    arena.write("parts/a.csv", "id,version,text\n" + rows)
    outcome = arena.run("run", file, "--json", env={"ROWKEEPER_BATCH_ROWS": "500"})
    assert outcome.json["account"]["committed"] == 2000
    assert arena.ok("verify", file)["sound"]


# --------------------------------------------------------------------------------------------- tampering


@contextmanager
def writer(arena: Arena) -> Iterator[Client]:
    """Somebody who writes to the tables behind Rowkeeper's back."""
    client = engine_client(Site(arena.home, disk_keys_of(arena.home), ledger_id=""), writes=True)
    yield client
    client.close()


TAMPERINGS = [
    # statement, missing, added, changed
    ("ALTER TABLE {t} UPDATE text = 'evil' WHERE id = 1", 0, 0, 1),
    ("DELETE FROM {t} WHERE id = 2", 2, 0, 0),
    ("INSERT INTO {t} (id, version, text) VALUES (9, 9, 'x')", 0, 1, 0),
    (
        "INSERT INTO {t} (id, version, text, _rk_run, _rk_row, _rk_hash) "
        "SELECT id, version, text, _rk_run, _rk_row, _rk_hash FROM {t} WHERE id = 1",
        0,
        1,
        0,
    ),
]


@pytest.mark.in_turns("tamperings", 1)
@pytest.mark.parametrize("number", range(len(TAMPERINGS)))
def test_verify_tells_added_missing_and_changed_rows_apart(arena: Arena, number: int):
    """By run, and exit status 1."""
    statement, *found = TAMPERINGS[number]
    name = f"tampered_{number}"
    file = declare(arena, name)
    arena.write(f"{name}/a.csv", FIRST)
    run = arena.ok("run", file)["run"]
    with writer(arena) as client:
        client.command(statement.format(t=name))
    outcome = arena.run("verify", file, "--json")
    assert outcome.status == 1
    report = outcome.json
    assert [report["missing"], report["added"], report["changed"]] == found
    wrong = [each["run"] for each in report["runs"] if not each["sound"]]
    assert wrong == ([0] if "VALUES" in statement else [run])


def test_a_materialised_view_is_named(arena: Arena):
    """Attached parts would pass it by: the next run refuses, and says which view."""
    file = declare(arena, "viewed")
    arena.write("viewed/a.csv", FIRST)
    arena.ok("run", file)
    with writer(arena) as client:
        client.command("CREATE MATERIALIZED VIEW seen ENGINE = MergeTree ORDER BY id AS SELECT id FROM viewed")
    arena.write("viewed/b.csv", SECOND)
    outcome = arena.run("run", file)
    assert outcome.status == 2
    assert "materialised view seen" in outcome.stderr


def test_rows_of_a_foreign_writer_are_not_lost(arena: Arena):
    """Somebody inserts between clone and exchange: the publish starts over with those rows in it."""
    file = declare(arena, "foreign")
    arena.write("foreign/a.csv", FIRST)
    running = arena.start("run", file, failpoints="publish.after_attach=stop")
    running.wait_stopped()
    with writer(arena) as client:
        client.command("INSERT INTO foreign (id, version, text) VALUES (9, 9, 'theirs')")
    running.go_on()
    assert running.wait().status == 0
    assert sorted(row[2] for row in arena.rows("foreign")) == ["a", "b", "bb", "theirs"]


def test_a_dropped_table_is_noticed(arena: Arena):
    """The ledger says loaded, the table is gone: an error, not `unchanged`."""
    file = declare(arena, "dropped")
    arena.write("dropped/a.csv", FIRST)
    arena.ok("run", file)
    with writer(arena) as client:
        client.command("DROP TABLE dropped")
    outcome = arena.run("run", file)
    assert outcome.status == 1
    assert "published last by no run" in outcome.stderr


def test_a_changed_file_is_no_duplicate_of_itself(arena: Arena):
    """Reloaded with duplicates="skip": the rows of its former version hold no place that its new rows would lose."""
    file = declare(arena, "itself", 'key=["id"], duplicates="skip"')
    arena.write("itself/a.csv", FIRST)
    arena.ok("run", file)
    arena.write("itself/a.csv", FIRST + "5,1,new\n")
    assert line(arena.ok("run", file)) == (4, 3, 0, 1, 0)
    assert sorted(row[2] for row in arena.rows("itself")) == ["a", "b", "new"]
    assert arena.ok("verify", file)["sound"]


def test_a_rollback_loses_no_row_of_another_writer(arena: Arena):
    """An append is taken back around them; a merge, which would lose them, is refused with nothing changed."""
    for name, options, status in (("mine", "", 0), ("ours", 'key=["id"], write="merge"', 1)):
        file = declare(arena, name, options)
        arena.write(f"{name}/a.csv", FIRST)
        arena.ok("run", file)
        arena.write(f"{name}/b.csv", SECOND)
        run = arena.ok("run", file)["run"]
        with writer(arena) as client:
            client.command(f"INSERT INTO {name} (id, version, text) VALUES (9, 9, 'theirs')")
        assert arena.run("rollback", str(run)).status == status
        assert "theirs" in {row[2] for row in arena.rows(name)}
        assert arena.run("verify", file, "--json").json["added"] == 1
        assert arena.run("verify", file, "--json").json["missing"] == 0


@pytest.mark.in_turns("steps of a rollback", 1)
@pytest.mark.parametrize("point", ["publish.before_clone", "publish.after_clone", "publish.before_exchange"])
def test_a_zombie_rollback_can_do_no_harm(arena: Arena, point: str):
    """Stopped before its commit point past its lease and settled by another command, it wakes up and fails."""
    name = "zombie_" + point.split(".")[1]
    file = declare(arena, name)
    arena.write(f"{name}/a.csv", FIRST)
    run = arena.ok("run", file)["run"]
    env = {"ROWKEEPER_LEASE_SECONDS": "3"}
    zombie = arena.start("rollback", str(run), failpoints=f"{point}=stop", env=env)
    zombie.wait_stopped()
    while "is held by another run" in (other := arena.run("recover")).stderr:
        time.sleep(0.25)  # until its lease has run out; a command takes the processor from other tests
    assert other.status == 0, other
    zombie.go_on()
    assert zombie.wait().status == 1
    assert len(arena.rows(name)) == 3
    assert arena.ok("verify", file)["sound"]
    assert arena.ok("run", file)["status"] == "unchanged"
