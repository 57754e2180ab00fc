"""A state folder of the version before keysets (layout 1) opens as it is, and goes on.

`layout1.tar.gz` was made by that version: a table with two rows, one row in quarantine, a gate's sample and a profile.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from rowkeeper.errors import KeyUnusable, WrongKey
from rowkeeper.security.statefolder import open_state_folder
from tests.arena import KILLED, Arena


@pytest.fixture
def old(own_arena: Arena) -> Arena:
    with tarfile.open(Path(__file__).parent.parent / "layout1.tar.gz") as archive:
        archive.extractall(own_arena.folder, filter="tar")  # which keeps modes
    certificate = own_arena.home / "home.json"
    made = json.loads(certificate.read_text())
    certificate.write_text(json.dumps({**made, "key_file": str(own_arena.folder / "the.key")}))  # as if made here
    return own_arena


def data(arena: Arena) -> dict[str, str]:
    """The sealed files and those of the engine's disk, by their hashes."""
    files = [path for part in ("quarantine", "samples", "engine/disk") for path in (arena.home / part).rglob("*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def test_everything_in_it_is_read(old: Arena):
    """Tables, quarantine, samples and profiles, all of them as they were; the data are not touched."""
    before = data(old)
    assert [each["status"] for each in old.ok("keys", "list")["keys"]] == ["primary"] * 4
    assert data(old) == before
    shown, queried, doctor = old.answers(
        ("quarantine", "show", "1"), ("query", "SELECT * FROM people ORDER BY id"), ("doctor",)
    )
    assert "an old canary" in json.dumps(shown)
    assert queried["rows"] == [[1, "Ada"], [2, "Ada"]]
    sealed = next(each for each in doctor["checks"] if each["name"] == "sealed files")
    assert (sealed["ok"], sealed["found"].split(" ")[0]) == (True, "3"), doctor
    counts = {each["purpose"]: each["files"] for each in old.ok("keys", "list")["keys"]}
    assert (counts["quarantine"], counts["samples"]) == (1, 2)
    assert counts["engine"] > 0


def test_it_goes_on_with_new_keys(old: Arena):
    """After a rotation a run adds to the table; old and new rows, tables and quarantine are read together."""
    old.ok("keys", "rotate", "--all")
    old.write("in/b.csv", "id,name\n4,Eve\n5,another that is much too long for it\n")
    old.ok("run", "p.py")
    assert old.rows("people") == [[1, "Ada"], [2, "Ada"], [4, "Eve"]]
    assert "an old canary" in json.dumps(old.ok("quarantine", "show", "1"))
    assert old.ok("verify", "p.py")["sound"]
    statuses = {(each["purpose"], each["status"]): each["files"] for each in old.ok("keys", "list")["keys"]}
    assert statuses["quarantine", "primary"] == statuses["quarantine", "reads"] == 1
    assert statuses["engine", "primary"] > 0 < statuses["engine", "reads"]


@pytest.mark.parametrize("failpoint", ["keys.json.before_replace", "home.before_layout", "home.json.before_replace"])
def test_whoever_dies_on_the_way_loses_nothing(old: Arena, failpoint: str):
    """SIGKILL at each step of bringing it forward: the next command does it."""
    assert old.run("keys", "list", failpoints=f"{failpoint}=kill").status == KILLED
    assert old.rows("people") == [[1, "Ada"], [2, "Ada"]]
    assert json.loads((old.home / "home.json").read_text())["layout"] == 2


def test_another_key_is_refused_before_anything_is_written(old: Arena):
    """The wrong key file brings nothing forward; nor does a key that is in no file."""
    (old.folder / "other.key").write_text(os.urandom(32).hex())
    (old.folder / "other.key").chmod(0o600)
    with pytest.raises(WrongKey, match=r"other\.key"):
        open_state_folder(old.home, f"file:{old.folder}/other.key")
    (old.folder / "the.key").rename(old.folder / "moved.key")
    with pytest.raises(KeyUnusable, match=r"the\.key"):
        open_state_folder(old.home)
    assert not (old.home / "keys.json").exists()
    assert open_state_folder(old.home, f"file:{old.folder}/moved.key").keysets.of("quarantine").primary.id == 2
