"""Killed anywhere, or refused by the server, a restore of tables on a server leaves the old state or the new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.arena import KILLED
from tests.operations.restoring.history import copied, csv, end_engine
from tests.operations.restoring.servers import FILE, Far, began

pytestmark = [pytest.mark.of_sqlite("a backup is of a ledger in SQLite"), pytest.mark.timeout(1800)]
BEFORE = (
    "restore.after_tables_laid",
    "restore.after_table_made",
    "restore.after_piece",
    "restore.after_table",
    "restore.after_record",
    "restore.after_proof",
    "restore.before_swap",
)
AFTER = ("restore.after_swap", "restore.after_aside", "restore.after_exchange", "restore.after_table_aside")
DENIED = {"status": 500, "code": 497, "text": "Code: 497. DB::Exception: Not enough privileges (ACCESS_DENIED)"}
FULL = {"status": 500, "code": 243, "text": "Code: 243. DB::Exception: no space (NOT_ENOUGH_SPACE)"}
BACK = ("restore", "--to", "1", "--force")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with began(tmp_path_factory.mktemp("far")) as made:
        made.runs(("merged", "m.csv", csv(0, 20)), ("merged", "n.csv", csv(10, 20, fare=9.5)))
        made.back_up()
        end_engine(made.arena)
        yield made


def again_as_it_was(far: Far, home: Path, kept: Path) -> None:
    """Puts the state folder back, and the table on the server as the second run left it."""
    end_engine(far.arena)
    shutil.rmtree(home, ignore_errors=True)
    copied(kept, home)
    shutil.rmtree(kept.with_name("scratch"), ignore_errors=True)
    for name in sorted(far.on_server()):
        if "__rk_" in name and name != "merged__rk_first":
            far.front.ask(f"DROP TABLE shop.{name} SYNC")
    far.front.ask("DROP TABLE shop.merged SYNC")
    far.front.ask("CREATE TABLE shop.merged CLONE AS shop.merged__rk_first")
    comment = far.front.ask("SELECT comment FROM system.tables WHERE name = 'merged__rk_first'").strip()
    far.front.ask(f"ALTER TABLE shop.merged MODIFY COMMENT '{comment}'")


def test_killed_anywhere(far: Far):
    """At each point: readers see the old table until the step was taken; the next command ends what was decided, or
    finds all as it was; and the same restore given again ends well.
    """
    home, kept = far.arena.home, far.arena.home.with_name("kept")
    copied(home, kept)
    comment = far.front.ask("SELECT comment FROM system.tables WHERE name = 'merged'").strip()
    far.front.ask("CREATE TABLE shop.merged__rk_first CLONE AS shop.merged")
    far.front.ask(f"ALTER TABLE shop.merged__rk_first MODIFY COMMENT '{comment}'")
    points = (*BEFORE, *AFTER)
    for point in points if extent.whole else extent.sample("kills of restores on servers", points, 2, AFTER):
        again_as_it_was(far, home, kept)
        assert far.arena.run(*BACK, failpoints=f"{point}=kill").status == KILLED, point
        decided = point in AFTER
        recovered = far.arena.run("recover")
        assert recovered.status == 0, (point, recovered)
        assert far.look() == far.left[1 if decided else 2], point
        assert not list((home / "restored").glob("*")), point
        end_engine(far.arena)
        far.arena.ok(*BACK)
        assert far.look() == far.left[1], point
        left = {name.split("__rk_")[1].split("_")[0] for name in far.on_server() if "__rk_" in name}
        assert left <= {"aside", "kept", "first"}, (point, left)


def test_the_server_refuses_the_last_step(far: Far):
    """The state folder is restored, the command says what is not in its place yet, and the next run puts it there
    before it does anything else.
    """
    end_engine(far.arena)
    far.runs(("merged", "o.csv", csv(300, 5)))
    end_engine(far.arena)
    far.front.arm(r"EXCHANGE TABLES", **DENIED)
    outcome = far.arena.run("restore", "--to", "2", "--force")
    assert outcome.status == 1, outcome
    assert "RK-7009" in outcome.stderr
    assert "not in its place yet" in far.arena.run("doctor").stdout
    far.arena.write("merged/p.csv", csv(400, 5))
    report, _ = far.arena.answers(("run", f"{FILE}:merged"), ("verify", FILE))
    assert report["status"] == "published"
    assert not list((far.arena.home / "restored").glob("*"))


def test_the_server_has_no_room_for_what_is_restored(far: Far):
    """Nothing is restored, one clear error says why, and what was begun on the server is taken away."""
    end_engine(far.arena)
    before = far.look()
    end_engine(far.arena)
    far.front.arm(r"^INSERT INTO .*__rk_refilling", **FULL)
    outcome = far.arena.run("restore", "--to", "1", "--force")
    assert outcome.status == 1, outcome
    assert "Traceback" not in outcome.stderr
    assert "no room left on its disk" in outcome.stderr
    assert far.front.left() == []
    assert not [name for name in far.on_server() if "refilling" in name or "restored" in name]
    assert far.look() == before
