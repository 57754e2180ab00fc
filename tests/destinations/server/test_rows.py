"""Rows of a table on a server, fetched in pieces and put into another table: all of them, each once, as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree import exporting, refilling
from rowkeeper.destinations.mergetree.exporting import among, held_by_run, pieces, shape_of
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.saving import save
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.errors import DatabaseError, TableMoved
from rowkeeper.protocols import Change, CommitRecord, Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from tests import extent
from tests.destinations.server.serving import PASSWORDS, Front
from tests.destinations.server.tables import load, session
from tests.keys import random_disk_keys

RUNS = 3
ROWS = 20_000


@pytest.fixture(scope="module")
def steady(front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableSession]:
    """A site that reaches the front, for as long as the module lasts; and a table of three runs, in a part each."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PASSWORDS.items():
            patch.setenv(name, value)
        site = Site(
            home=tmp_path_factory.mktemp("home"),
            disk_keys=random_disk_keys(),
            ledger_id="the ledger",
            calls=Calls(),
            way_out=Gateway(Egress((), "enforce")),
        )
        with session(site, front.url(), "steady") as table:
            for run in range(1, RUNS + 1):
                table.publish(load(table, run, run * ROWS, ROWS), Change())
            yield table


@pytest.fixture(scope="module")
def saved(steady: TableSession) -> str:
    """The name of a clone that stands still."""
    return save(steady, RUNS).table


@pytest.fixture
def changing(site: Site, front: Front, request: pytest.FixtureRequest) -> Iterator[TableSession]:
    """A table of one run, for one test."""
    with session(site, front.url(), f"of_{request.node.name.split('[')[0][:40]}") as table:
        table.publish(load(table, 1, 1, ROWS), Change())
        yield table


def refilled(table: TableSession, source: str, runs: set[int]) -> TableSession:
    """Another table with the rows of some runs, fetched from a table that stands still."""
    shape = shape_of(table, source)
    there = held_by_run(table, source, shape.columns)
    other = dataclasses.replace(table.destination, table=f"{table.names.table}_again").connect(table.engine._site, None)
    refilling.make(other, shape)
    with table.engine.staying():
        for piece in pieces(table, source, shape.columns, among(set(there), there)):
            refilling.fill(other, piece, shape.columns, runs, there)
    return other


@pytest.mark.parametrize("bytes_max", [32 << 20, 50_000])
def test_some_runs_go_from_table_to_table(
    steady: TableSession, saved: str, monkeypatch: pytest.MonkeyPatch, bytes_max: int
):
    """In one piece, or in very many: every row is there once, with its run, its address and its hash."""
    monkeypatch.setattr(exporting, "PIECE_BYTES", bytes_max)
    other = refilled(steady, saved, {1, 3})
    books = {run: held for run, held in held_by_run(steady, saved, shape_of(steady, saved).columns).items() if run != 2}
    found = other.verify(books)
    other.close()
    assert {each.run: each.found for each in found} == books
    assert all(each.sound for each in found)
    assert sum(books.values(), Fingerprint()).rows == 2 * ROWS


def test_pieces_are_bounded(steady: TableSession, saved: str, monkeypatch: pytest.MonkeyPatch):
    """No piece is much larger than is said, however large a part is; and small parts come together."""
    shape = shape_of(steady, saved)
    monkeypatch.setattr(exporting, "PIECE_BYTES", 100_000)
    with steady.engine.staying():
        sizes = [len(piece) for piece in pieces(steady, saved, shape.columns, "1")]
    assert max(sizes) < 150_000
    monkeypatch.setattr(exporting, "PIECE_BYTES", 32 << 20)
    with steady.engine.staying():
        assert len(list(pieces(steady, saved, shape.columns, "1"))) == 1


def test_a_saved_table_never_merges(saved: str, front: Front):
    """Its parts are told apart by their names: also what a server merges by itself leaves them as they are."""
    assert "max_bytes_to_merge_at_max_space_in_pool = 1" in front.ask(f"SHOW CREATE TABLE {saved}")
    parts = f"SELECT count() FROM system.parts WHERE active AND table = '{bare(saved)}'"
    assert front.ask(parts).strip() == str(RUNS)


def test_a_table_that_is_changed_meanwhile_is_not_taken(
    changing: TableSession, front: Front, monkeypatch: pytest.MonkeyPatch
):
    """Parts that came or went while it was read are noticed at the end."""
    monkeypatch.setattr(exporting, "PIECE_BYTES", 50_000)
    clone = save(changing, 1).table
    with changing.engine.staying():
        found = pieces(changing, clone, shape_of(changing, clone).columns, "1")
        next(found)
        front.ask(f"OPTIMIZE TABLE shop.{bare(clone)} FINAL")
        with pytest.raises(TableMoved):
            list(found)


def test_rows_that_no_run_brought_are_known_by_their_values(changing: TableSession, front: Front):
    """They have no hash of their own; one that is changed makes another fingerprint."""
    name, columns = changing.names.live, shape_of(changing, changing.names.live).columns
    front.ask(f"INSERT INTO shop.{changing.names.table} (id) VALUES (-1)")
    one = held_by_run(changing, name, columns)[0]
    front.ask(f"DELETE FROM shop.{changing.names.table} WHERE id = -1")
    front.ask(f"INSERT INTO shop.{changing.names.table} (id) VALUES (-2)")
    other = held_by_run(changing, name, columns)[0]
    assert (one.rows, other.rows) == (1, 1)
    assert one != other


def test_an_insert_that_is_not_answered_is_said_again_only_if_nothing_came(
    steady: TableSession, saved: str, front: Front
):
    """Cut off before it was run, it is said again; after it, the restore is given up, as nobody can tell what came."""
    front.arm(r"^INSERT INTO .*_again", cut="before")
    refilled(steady, saved, {1}).close()
    assert front.left() == []
    front.arm(r"^INSERT INTO .*_again", cut="after")
    with pytest.raises(DatabaseError, match="was not answered"):
        refilled(steady, saved, {1})
    front.disarm()


def test_a_restored_table_takes_its_place_once(changing: TableSession, front: Front):
    """However often it is asked for: the former table is set aside once, and a later publish is not taken back."""
    record = CommitRecord("the ledger", 7, 70, Fingerprint())
    filling = dataclasses.replace(changing.destination, table=bare(changing.names.refilling(7, 70)))
    other = filling.connect(changing.engine._site, None)
    refilling.make(other, shape_of(changing, changing.names.live), like=changing.names.live)
    other.close()
    refilling.complete(changing, 7, 70, record)
    asides = {changing.put_in_place(7, 70, 1234, there=True) for _ in range(2)}
    assert asides == {f"shop.{changing.names.table}__rk_aside_7_1234"}
    assert changing.commit_record() == record
    assert changing.rows(changing.names.live) == 0
    assert front.ask(f"SELECT count() FROM {asides.pop()}").strip() == str(ROWS)


@given(some.sets(some.integers(0, 30)), some.sets(some.integers(0, 30)))
@settings(max_examples=extent.examples(50, 5_000), deadline=None)
def test_stretches_of_runs_name_those_and_no_others(chosen: set[int], others: set[int]):
    """A condition that is short holds for exactly the runs that were asked for, among those that there are."""
    condition = among(chosen, chosen | others)
    assert condition.count("BETWEEN") <= len(chosen)
    python = condition.replace("_rk_run BETWEEN", "LOW").replace(" AND ", ",").replace(" OR ", " or ")
    for run in chosen | others:
        held = eval_condition(python, run)
        assert held == (run in chosen), (condition, run)


def eval_condition(condition: str, run: int) -> bool:
    """Reads `among`'s few words."""
    if condition in ("1", "(0)"):
        return condition == "1"
    stretches = (each.replace("LOW", "").strip("() ").split(",") for each in condition.split(" or "))
    return any(int(low) <= run <= int(high) for low, high in stretches)
