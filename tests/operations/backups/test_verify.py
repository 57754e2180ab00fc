"""`backup verify` finds every bit that is not as it was written, and `list` what is missing."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rowkeeper.errors import BackupForeign
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.operations.backups.verifying import _checked, key_of_backups
from rowkeeper.runs.workspace import Workspace
from tests import extent
from tests.arena import Arena
from tests.operations.backups.furnished import furnish, load, opened

FLIPS = 40


@pytest.fixture(scope="module")
def place(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full backup and an incremental one on it."""
    made = tmp_path_factory.mktemp("place")
    furnish(arena, made)
    load(arena, 1)
    arena.ok("backup", "create")
    load(arena, 2)
    arena.ok("backup", "create")
    return made


def files_of(place: Path) -> list[Path]:
    """What backups are made of; that they were begun is noted besides."""
    return sorted(path for path in place.rglob("*") if path.is_file() and path.suffix != ".begun")


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(raw)


def is_sound(space: Workspace) -> bool:
    """What `verify` finds of the newest backup and all that it needs; of a manifest that is broken as well."""
    with backup_store(space) as store:
        return _checked(store, store.ids()[-1], key_of_backups(space), space.ledger.id, {}).sound


def test_random_bit_flips_are_all_found(arena: Arena, place: Path):
    """Some dozens here and 10,000 with --whole, each in a file and at a place of its own choice."""
    chance, slipped = extent.chance("bit flips in backups"), []
    files = files_of(place)
    weights = [path.stat().st_size for path in files]
    with opened(arena) as space:
        assert is_sound(space)
        for number in range(extent.examples(FLIPS, 10_000)):
            # As many by files, small ones too, as by bytes, of which most are in few files.
            path = chance.choice(files) if number % 2 else chance.choices(files, weights)[0]
            bit = chance.randrange(path.stat().st_size * 8)
            with flipped(path, bit), contextlib.suppress(BackupForeign):  # it names another ledger now
                if is_sound(space):
                    slipped.append((path, bit))
        assert is_sound(space)
    assert slipped == []


@pytest.mark.parametrize("which", ["pack", "index", "keys.json", "manifest"])
def test_a_flipped_bit_is_told_with_its_file(arena: Arena, place: Path, which: str):
    """Exit status 1, and which file of which backup; the backup that does not need it is sound."""
    first, second = sorted(path.stem for path in (place / "manifests").glob("*.json"))
    path = {
        "pack": next((place / second).glob("tables-*")),
        "index": place / second / "index",
        "keys.json": place / second / "keys.json",
        "manifest": place / "manifests" / f"{second}.json",
    }[which]
    with flipped(path, random.Random(which).randrange(path.stat().st_size * 8)):
        outcome = arena.run("backup", "verify", "--json")
    assert outcome.status == 1, outcome
    sound, damaged = outcome.json["backups"]
    assert (sound["id"], sound["sound"]) == (first, True)
    assert damaged["sound"] is False
    assert second in damaged["findings"][0]
    assert which == "manifest" or path.name in damaged["findings"][0]


def test_damage_in_the_base_is_damage_of_what_goes_on_from_it(arena: Arena, place: Path):
    """Neither of them is sound, `verify` of the second reads the first, and no new one goes on from them."""
    first, second = sorted(path.stem for path in (place / "manifests").glob("*.json"))
    with flipped(next((place / first).glob("tables-*")), 77):
        outcome = arena.run("backup", "verify", second, "--json")
        assert [each["id"] for each in outcome.json["backups"] if not each["sound"]] == [second]
        before = sorted(place.rglob("*"))
        refused = arena.run("backup", "create")
        assert refused.status == 1
        assert f"no backup can go on from {second}" in refused.stderr
        assert "RK-7006" in refused.stderr
        assert sorted(place.rglob("*")) == before


def test_after_damage_a_full_backup_can_be_made(arena: Arena, place: Path, tmp_path: Path):
    """Also where the newest manifest is broken, as the error says; and the next one goes on from that."""
    copy = shutil.copytree(place, tmp_path / "copy")
    _, second = sorted((copy / "manifests").glob("*.json"))
    second.write_bytes(second.read_bytes()[:-2])
    refused, made, on_it = arena.together(
        ("backup", "create", "--to", str(copy)),
        ("backup", "create", "--to", str(copy), "--full", "--json"),
        ("backup", "create", "--to", str(copy), "--json"),
    )
    assert refused.status == 1
    assert "--full" in refused.stderr
    assert made.json["kind"] == "full"
    assert on_it.json["base"] == made.json["id"]


def test_a_file_that_is_missing_is_found_by_list_as_well(arena: Arena, place: Path, tmp_path: Path):
    """And by a quick create; the chain that needs it is broken, and says why."""
    first, second = sorted(path.stem for path in (place / "manifests").glob("*.json"))
    path = place / first / "index"
    path.rename(tmp_path / "index")
    try:
        listed = arena.ok("backup", "list")["backups"]
        refused = arena.run("backup", "create", "--quick")
    finally:
        (tmp_path / "index").rename(path)
    assert [(each["id"], each["state"]) for each in listed] == [(first, "broken"), (second, "broken")]
    assert "index is not there" in listed[0]["told"]
    assert f"it needs {first}" in listed[1]["told"]
    assert refused.status == 1


def test_list_says_what_each_backup_holds(arena: Arena, place: Path):
    """Kind, base, size, and the runs that can be restored from it, for people as well."""
    full, incremental = arena.ok("backup", "list")["backups"]
    assert (full["kind"], full["base"], full["state"]) == ("full", None, "complete")
    assert (incremental["kind"], incremental["base"], incremental["state"]) == ("incremental", full["id"], "complete")
    assert incremental["points"] == [4, 5, 6]
    assert full["size"] > 1000
    said = arena.run("backup", "list").stdout
    assert "4-6" in said
    assert full["id"] in said


def test_a_chain_without_its_base_is_told_and_another_is_not_begun_on_it(arena: Arena, place: Path, tmp_path: Path):
    """One clear error that names what is missing, and nothing is touched."""
    first, second = sorted(path.stem for path in (place / "manifests").glob("*.json"))
    path = place / "manifests" / f"{first}.json"
    path.rename(tmp_path / "kept")
    try:
        before = sorted(each for each in place.rglob("*") if each.is_file())
        refused = arena.run("backup", "create")
        assert sorted(each for each in place.rglob("*") if each.is_file()) == before
    finally:
        (tmp_path / "kept").rename(path)
    assert refused.status == 1
    assert f"the backup {second} cannot be used: it goes on from {first}, which is not in" in refused.stderr
    assert "RK-7003" in refused.stderr
