"""`rowkeeper keys`: rotation while runs go on, keys wrapped anew without touching data, revocation that asks first."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.arena import KILLED, Arena

PIPELINE = """
from typing import Annotated
from pydantic import BaseModel, Field
import rowkeeper as rk

class Row(BaseModel):
    id: int
    name: Annotated[str, Field(max_length=20)]

people = rk.Pipeline(
    "people",
    source=rk.sources.files("in/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("people", order_by=["id"]),
)
"""
BAD = "a name that is much too long to be accepted"


@pytest.fixture
def loaded(own_arena: Arena) -> Arena:
    own_arena.write("p.py", PIPELINE)
    own_arena.env["ROWKEEPER_ENGINE_IDLE_SECONDS"] = "20"
    add(own_arena, 0)
    own_arena.ok("run", "p.py")
    return own_arena


def add(arena: Arena, first: int, rows: int = 100) -> None:
    """A file with so many good rows and one bad one."""
    lines = "".join(f"{first + n},name {n}\n" for n in range(rows))
    arena.write(f"in/{first}.csv", f"id,name\n{lines}{first + rows},{BAD}\n")


def keys(arena: Arena) -> dict[tuple[str, str], dict[str, object]]:
    return {(each["purpose"], each["status"]): each for each in arena.ok("keys", "list")["keys"]}


def end_host(arena: Arena) -> None:
    """The engine's host is gone when this returns."""
    pid = arena.host_pid()
    assert pid is not None
    host = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    host.wait(30)


def hashes(arena: Arena, *leave_out: str) -> dict[str, str]:
    return {
        str(path.relative_to(arena.home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in arena.home.rglob("*")
        if path.is_file() and not path.is_socket() and not any(part in path.parts for part in leave_out)
    }


def test_keys_are_listed(loaded: Arena):
    """Each with its purpose, its state, and how many files are sealed with it; the words for people say the same."""
    found = keys(loaded)
    assert {purpose for purpose, _ in found} == {"audit", "engine", "quarantine", "samples", "spool"}
    assert found["quarantine", "primary"]["files"] == 1
    assert found["engine", "primary"]["files"] > 0
    told = loaded.run("keys", "list")
    assert told.status == 0
    assert str(found["quarantine", "primary"]["id"]) in told.stdout
    assert "wrapped with file:" in told.stdout


@pytest.mark.in_turns("steps of a run", 1)
@pytest.mark.parametrize("point", ["run.after_stage", "run.after_quarantine", "run.after_publish"])
def test_rotation_goes_on_beside_a_run(loaded: Arena, point: str):
    """Runs before, during (stopped in the middle, gone on after it) and after a rotation: all rows are there, old and
    new quarantine reads, and the books balance.
    """
    add(loaded, 1000)
    during = loaded.start("run", "p.py", "--json", failpoints=f"{point}=stop")
    during.wait_stopped()
    before = {purpose: each["id"] for (purpose, status), each in keys(loaded).items() if status == "primary"}
    rotated = loaded.ok("keys", "rotate", "--all")["keys"]
    assert {each["purpose"]: each["id"] for each in rotated}.keys() == before.keys()
    during.go_on()
    assert during.wait().status == 0
    end_host(loaded)  # the next one has the new key of the disk
    add(loaded, 2000)
    loaded.ok("run", "p.py")
    assert len(loaded.rows("people")) == 300
    for run in (1, 2, 3):
        assert BAD in json.dumps(loaded.ok("quarantine", "show", str(run)))
    assert loaded.ok("verify", "p.py")["sound"]
    found = keys(loaded)
    assert {purpose: found[purpose, "reads"]["id"] for purpose in before} == before
    assert {purpose: found[purpose, "primary"]["id"] for purpose in before} == {
        each["purpose"]: each["id"] for each in rotated
    }
    assert found["quarantine", "primary"]["files"] + found["quarantine", "reads"]["files"] == 3
    assert found["engine", "primary"]["files"] > 0 < found["engine", "reads"]["files"]


def test_rotation_names_its_keysets(loaded: Arena):
    """One of them alone; a wrong name, and none, are refused with nothing changed."""
    before = hashes(loaded, "logs")
    assert loaded.run("keys", "rotate").status == 2
    wrong = loaded.run("keys", "rotate", "samples", "quarantin", "--json")
    assert (wrong.status, "did you mean quarantine" in wrong.json["error"]["hint"]) == (2, True)
    assert hashes(loaded, "logs")["keys.json"] == before["keys.json"]
    assert [each["purpose"] for each in loaded.ok("keys", "rotate", "quarantine")["keys"]] == ["quarantine"]
    (entry,) = loaded.ok("audit", "list", "--action", "key")["entries"]
    assert (entry["action"], entry["on"]) == ("key.rotate", {"purpose": "quarantine"})


def test_rewrap_touches_no_data(loaded: Arena):
    """Another key wraps the keysets; of the state folder only keys.json is another, and all is read as before."""
    end_host(loaded)
    before = hashes(loaded, "logs", "ledger.sqlite", "audit")
    old_key = next((loaded.folder / "config").rglob("*.key"))
    new_key = loaded.folder / "elsewhere" / "new.key"
    done = loaded.run("keys", "rewrap", "--to", f"file:{new_key}", "--json")
    assert done.json["after"] == f"file:{new_key}"
    assert "Keep a copy" in done.stderr
    after = hashes(loaded, "logs", "ledger.sqlite", "audit")
    assert {name for name in after if after[name] != before.get(name)} == {"keys.json"}
    assert before.keys() == after.keys()
    old_key.unlink()
    assert len(loaded.rows("people")) == 100
    assert BAD in json.dumps(loaded.ok("quarantine", "show", "1"))
    assert {status for _, status in keys(loaded)} == {"primary"}


@pytest.mark.parametrize("failpoint", ["keys.json.before_replace", "keys.json.after_replace"])
def test_a_rewrap_that_dies_leaves_one_key_that_fits(loaded: Arena, failpoint: str):
    """SIGKILL on either side of the rename: the state folder opens, with the key that it names itself."""
    new_key = loaded.folder / "new.key"
    died = loaded.run("keys", "rewrap", "--to", f"file:{new_key}", failpoints=f"{failpoint}=kill")
    assert died.status == KILLED
    wrapped = loaded.ok("keys", "list")["wrapped_with"]
    assert (wrapped == f"file:{new_key}") == failpoint.endswith("after_replace")
    assert BAD in json.dumps(loaded.ok("quarantine", "show", "1"))


def test_a_run_goes_on_through_a_rewrap(loaded: Arena):
    """Stopped in the middle while another key comes to wrap the keysets, also one that it cannot have itself."""
    add(loaded, 1000)
    during = loaded.start("run", "p.py", failpoints="run.after_stage=stop")
    during.wait_stopped()
    key = {"NEW_KEK": os.urandom(32).hex()}
    rewrapped = loaded.run("keys", "rewrap", "--to", "env:NEW_KEK", env=key)
    assert rewrapped.status == 0, rewrapped
    during.go_on()
    assert during.wait().status == 0
    loaded.env |= key
    assert BAD in json.dumps(loaded.ok("quarantine", "show", "2"))


def test_a_rewrap_says_what_is_to_be_set(loaded: Arena):
    """Where the setting leads to the former key, it is told; used after all, it is refused with the way out."""
    loaded.env["ROWKEEPER_KEY"] = f"file:{next((loaded.folder / 'config').rglob('*.key'))}"
    told = loaded.run("keys", "rewrap", "--to", f"file:{loaded.folder}/new.key")
    assert (told.status, "set ROWKEEPER_KEY to file:" in told.stderr) == (0, True)
    refused = loaded.run("runs", "--json")
    assert (refused.status, refused.json["error"]["code"]) == (1, "RK-6002")
    assert f"file:{loaded.folder}/new.key" in refused.json["error"]["hint"]
    loaded.env["ROWKEEPER_KEY"] = f"file:{loaded.folder}/new.key"
    assert loaded.run("keys", "rewrap").status == 2  # a file has no newer version of itself
    assert loaded.run("keys", "rewrap", "--to", f"file:{loaded.home}/new.key").status == 1
    assert BAD in json.dumps(loaded.ok("quarantine", "show", "1"))


def test_revoke_asks_first(loaded: Arena):
    """A key that something is sealed with is kept, and it is said how much; with force and a reason it is destroyed."""
    loaded.ok("keys", "rotate", "quarantine")
    found = keys(loaded)
    first, primary = str(found["quarantine", "reads"]["id"]), str(found["quarantine", "primary"]["id"])
    before = (loaded.home / "keys.json").read_bytes()
    refused = loaded.run("keys", "revoke", first, "--json")
    assert refused.json["error"]["code"] == "RK-6022"
    assert "1 file is still sealed with" in refused.json["error"]["what"]
    assert loaded.run("keys", "revoke", first, "--force").status == 2  # no reason
    assert loaded.run("keys", "revoke", primary, "--force", "--reason", "x").status == 1
    assert loaded.run("keys", "revoke", "00000009").status == 2
    assert (loaded.home / "keys.json").read_bytes() == before
    gone = loaded.ok("keys", "revoke", first, "--force", "--reason", "it was seen on a slide")
    assert (gone["key"]["status"], gone["key"]["files"]) == ("revoked", 1)
    lost = loaded.run("quarantine", "show", "1", "--json")
    assert (lost.status, lost.json["error"]["code"]) == (1, "RK-6021")
    assert keys(loaded)["quarantine", "revoked"]["reason"] == "it was seen on a slide"
    logged = (loaded.home / "logs" / "rowkeeper.log").read_text()
    line = next(json.loads(each) for each in logged.splitlines() if '"key revoked"' in each)
    assert (line["purpose"], line["key"], line["note"]) == ("quarantine", first, "it was seen on a slide")


def test_a_key_that_nothing_is_sealed_with_is_revoked(loaded: Arena):
    """Without force, and the others go on."""
    loaded.ok("keys", "rotate", "quarantine")
    loaded.ok("keys", "rotate", "quarantine")
    unused = [each for each in loaded.ok("keys", "list")["keys"] if each["status"] == "reads" and not each["files"]]
    assert loaded.ok("keys", "revoke", unused[0]["id"])["status"] == "revoked"
    assert loaded.run("keys", "revoke", unused[0]["id"], "--json").json["error"]["code"] == "RK-6021"
    assert BAD in json.dumps(loaded.ok("quarantine", "show", "1"))


def test_the_key_of_the_trail_is_revoked_when_no_checkpoint_hangs_on_it(loaded: Arena):
    """Rotated, the trail goes on with the new key; the former one, which signs no checkpoint now, needs no force."""
    (first,) = [each for each in loaded.ok("keys", "list")["keys"] if each["purpose"] == "audit"]
    assert first["files"] >= 1
    kept = loaded.home / "audit" / "checkpoint"
    old = kept.read_text()
    loaded.ok("keys", "rotate", "audit")
    found = keys(loaded)
    assert (found["audit", "reads"]["files"], found["audit", "primary"]["files"]) == (0, 1)
    kept.write_text(old)
    refused = loaded.run("keys", "revoke", str(first["id"]), "--json")
    assert refused.json["error"]["what"] == f"1 checkpoint is still signed with key {first['id']} of audit"
    loaded.ok("query", "SELECT 1")
    loaded.ok("keys", "revoke", str(first["id"]))
    assert loaded.ok("audit", "verify")["sound"]


def test_the_key_of_the_certificates_is_counted(loaded: Arena):
    """The authority's own key is sealed with it: one file, and none with a key that was rotated in since."""
    loaded.ok("certs", "init")
    loaded.ok("keys", "rotate", "certificates")
    found = keys(loaded)
    assert (found["certificates", "reads"]["files"], found["certificates", "primary"]["files"]) == (1, 0)
    refused = loaded.run("keys", "revoke", str(found["certificates", "reads"]["id"]), "--json")
    assert "1 file is still sealed with" in refused.json["error"]["what"]
    loaded.ok("keys", "rotate", "certificates")
    unused = [each for each in loaded.ok("keys", "list")["keys"] if each["purpose"] == "certificates"][1]
    assert loaded.ok("keys", "revoke", unused["id"])["status"] == "revoked"


def test_the_engines_key_is_revoked_only_while_it_is_down(loaded: Arena):
    """An engine that is up writes with it; one that is down has files with it, which are counted by their headers; and
    when the key is gone, the engine says which one it misses.
    """
    loaded.ok("keys", "rotate", "engine")
    first = str(keys(loaded)["engine", "reads"]["id"])
    up = loaded.run("keys", "revoke", first, "--force", "--reason", "test", "--json")
    assert (up.json["error"]["code"], "engine is up" in up.json["error"]["what"]) == ("RK-6022", True)
    end_host(loaded)
    refused = loaded.run("keys", "revoke", first, "--json")
    on_disk = sum(path.is_file() for path in (loaded.home / "engine" / "disk" / "enc").rglob("*"))
    assert f"{on_disk:,} files are still sealed" in refused.json["error"]["what"]
    loaded.ok("keys", "revoke", first, "--force", "--reason", "test")
    down = loaded.run("query", "SELECT 1", "--json")
    assert (down.status, down.json["error"]["code"]) == (1, "RK-6021"), down


def test_a_quick_look_leaves_tink_alone(loaded: Arena):
    """Commands that open no keyset do not pay for the import of Tink."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from rowkeeper.security.statefolder import open_state_folder as o;"
        "o(Path(sys.argv[1])); assert 'tink' not in sys.modules and 'google.protobuf' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(loaded.home))], check=True)
