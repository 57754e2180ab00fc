"""Where a backup cannot be made: one clear error, and nothing that was there is touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine, create_mock_engine

from rowkeeper.errors import BackupUnsuited
from rowkeeper.ledger.copying import refuse_unsuited
from tests.arena import Arena, Outcome
from tests.operations.backups.furnished import furnish, load


@pytest.fixture(scope="module")
def furnished(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    furnish(arena, place)
    load(arena, 1, names=("added",))
    arena.ok("backup", "create")
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(outcome: Outcome) -> str:
    """One error, told and not traced."""
    assert outcome.status in (1, 2), outcome
    assert "Traceback" not in outcome.stderr, outcome
    return " ".join(outcome.stderr.split())


def test_it_is_to_be_said_where_backups_go(own_arena: Arena):
    """Each of the three commands says which setting is missing."""
    for words in (("create",), ("list",), ("verify",)):
        said = told(own_arena.run("backup", *words))
        assert "it is not set where backups are" in said
        assert "ROWKEEPER_BACKUP_TO" in said


def test_a_place_inside_the_state_folder_is_refused(arena: Arena, furnished: Path):
    """A backup beside what it is of helps nobody, and would hold itself."""
    said = told(arena.run("backup", "create", "--to", str(arena.home / "backups")))
    assert "inside the state folder that they are of" in said
    assert not (arena.home / "backups").exists()


@pytest.mark.parametrize("place", ["https://example.com/backups", "ftp://example.com/x", "s3://"])
def test_a_place_that_there_cannot_be_is_refused(arena: Arena, furnished: Path, place: str):
    """Before anything is connected to."""
    assert "RK-1" in told(arena.run("backup", "create", "--to", place))


def test_a_bucket_without_a_word_on_who_we_are_is_refused(arena: Arena, furnished: Path):
    """Nothing is taken from the environment by itself; and what the access does not take is named."""
    assert "needs access=rk.S3" in told(arena.run("backup", "list", "--to", "s3://bucket/x"))
    unknown = {"ROWKEEPER_BACKUP_ACCESS": '{"password": "env:X"}'}
    wrong = arena.run("backup", "list", "--to", "s3://bucket/x", env=unknown)
    assert "rk.S3 does not take" in told(wrong)
    assert "secret_key" in told(wrong)


def test_a_place_that_cannot_be_written_is_said_so(arena: Arena, furnished: Path, tmp_path: Path):
    """A file where its folder should be: no folder can be made of it, whoever asks."""
    (tmp_path / "file").write_text("in the way")
    said = told(arena.run("backup", "create", "--to", str(tmp_path / "file" / "backups")))
    assert str(tmp_path / "file") in said
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB with a backup on it that is none of its last."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_place_is_said_so_and_what_was_there_stays(arena: Arena, furnished: Path, small_disk: Path):
    """A backup that does not fit is none, leaves nothing, and the one before it is sound."""
    made = arena.ok("backup", "create", "--to", str(small_disk))
    (small_disk / "other").write_bytes(bytes(900_000 - made["size"]))
    before = contents(small_disk)
    lines = "".join(f"{each},{os.urandom(40).hex()}\n" for each in range(20_000))
    arena.write("added/full.csv", f"id,name\n{lines}")
    arena.ok("run", "p.py:added")
    said = told(arena.run("backup", "create", "--to", str(small_disk)))
    assert "No space left" in said
    assert contents(small_disk) == before
    assert arena.ok("backup", "verify", "--to", str(small_disk))["sound"]
    assert arena.ok("backup", "create")["kind"] == "incremental"


def test_a_place_of_another_installation_is_refused(own_arena: Arena, furnished: Path):
    """By all three; and it is not written to."""
    furnish(own_arena, furnished)
    load(own_arena, 1, names=("added",))
    before = contents(furnished)
    for words in (("create",), ("create", "--full"), ("list",), ("verify",)):
        said = told(own_arena.run("backup", *words))
        assert "is another installation's" in said
        assert "RK-7004" in said
    assert contents(furnished) == before


def test_what_another_installation_has_begun_is_not_taken_away(own_arena: Arena, tmp_path: Path):
    """Its first backup, which has no manifest yet, is no leftover of ours."""
    furnish(own_arena, tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "20260101T000000Z-full.begun").write_text("f" * 32)
    (tmp_path / "20260101T000000Z-full").mkdir()
    (tmp_path / "20260101T000000Z-full" / "tables-000001").write_bytes(b"of somebody else")
    before = contents(tmp_path / "20260101T000000Z-full")
    said = told(own_arena.run("backup", "create"))
    assert "another installation is making a backup" in said
    assert contents(tmp_path / "20260101T000000Z-full") == before
    assert len(list((tmp_path / "manifests").iterdir())) == 1


def test_a_wrong_master_key_opens_nothing(arena: Arena, furnished: Path, tmp_path: Path):
    """The state folder says so before the place is looked at."""
    key = tmp_path / "other.key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    before = contents(furnished)
    said = told(arena.run("backup", "create", env={"ROWKEEPER_KEY_FILE": str(key)}))
    assert "RK-6002" in said
    assert contents(furnished) == before


def test_a_backup_that_is_not_there_cannot_be_verified(arena: Arena, furnished: Path):
    """Its name is told, and where one finds those that there are."""
    said = told(arena.run("backup", "verify", "20200101T000000Z-full"))
    assert "there is no backup 20200101T000000Z-full" in said
    assert "rowkeeper backup list" in said


def test_after_the_ledger_has_gone_another_way_a_full_backup_is_made(arena: Arena, tmp_path: Path):
    """What was restored from an older copy does not go on from a backup of what it has never been."""
    place = tmp_path / "place"
    arena.ok("backup", "create", "--to", str(place))
    with arena.by_hand() as hand:
        hand.execute("UPDATE runs SET publish_order = publish_order + 100")
    try:
        made = arena.ok("backup", "create", "--to", str(place))
    finally:
        with arena.by_hand() as hand:
            hand.execute("UPDATE runs SET publish_order = publish_order - 100")
    assert made["kind"] == "full"
    assert "another way" in made["why_full"]


def test_a_ledger_in_another_database_is_refused_before_anything_is_written():
    """With what to do instead; nothing is connected to."""
    engine = create_mock_engine("mysql://keeper@books.example/rowkeeper", lambda *_: None)
    with pytest.raises(BackupUnsuited, match="the ledger is in mysql"):
        refuse_unsuited(cast("Engine", engine))
