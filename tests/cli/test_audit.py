"""`rowkeeper audit`, as a person types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.arena import Arena
from tests.ledger.audit.witnessing import Shelf, Witness, serving

PIPELINE = """
from pydantic import BaseModel, Field
import rowkeeper as rk

class Row(BaseModel):
    id: int = Field(gt=0)

audited = rk.Pipeline(
    "audited",
    source=rk.sources.files("audited/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("audited", order_by=["id"]),
)
"""


@pytest.fixture(scope="module")
def loaded(arena: Arena) -> Arena:
    """A run, a look at its table and its quarantine, and its rollback."""
    arena.write("p.py", PIPELINE)
    arena.write("audited/a.csv", "id\n1\n2\n-3\n")
    arena.ok("run", "p.py")
    arena.ok("query", "SELECT * FROM audited WHERE id = 424242")
    arena.ok("quarantine", "show", "1")
    arena.ok("quarantine", "export", "1", "--to", "out.ndjson")
    arena.ok("rollback", "1")
    return arena


def actions(arena: Arena, *options: str) -> list[str]:
    return [entry["action"] for entry in arena.ok("audit", "list", *options)["entries"]]


def test_each_change_and_each_access_is_an_entry(loaded: Arena):
    """What was loaded, queried, shown, taken out and rolled back is in the trail, in that order."""
    assert actions(loaded) == [
        "audit.begin",
        "run.start",
        "run.publish",
        "data.query",
        "quarantine.show",
        "quarantine.export",
        "run.start",
        "run.rollback",
    ]


def test_an_entry_tells_who_what_and_how_it_ended(loaded: Arena):
    """The account of the run is in its entry, and the user of the operating system by an id and a name."""
    (entry,) = loaded.ok("audit", "list", "--action", "run.publish")["entries"]
    assert (entry["on"]["pipeline"], entry["outcome"]) == ("audited", "done")
    assert entry["detail"]["account"] == {
        "read": 3,
        "committed": 2,
        "quarantined": 1,
        "duplicate": 0,
        "filtered": 0,
    }
    assert entry["who"].startswith("p_")
    assert entry["name"].startswith("os:")


@pytest.mark.of_sqlite("reads its bytes")
def test_a_query_is_in_the_trail_by_its_hash(loaded: Arena):
    """Typed SQL may name a person: the ledger's file does not hold it."""
    stored = b"".join(path.read_bytes() for path in loaded.home.glob("ledger.sqlite*"))
    assert b"424242" not in stored


def test_the_trail_is_sound(loaded: Arena):
    """It verifies against the checkpoint that lies outside the database."""
    verdict = loaded.ok("audit", "verify")
    assert verdict["sound"]
    assert list(verdict["against"]) == [str(loaded.home / "audit" / "checkpoint")]


def test_a_proof_is_checked_where_there_is_no_ledger(loaded: Arena, tmp_path: Path):
    """In an empty folder, with nothing but the proof and the public key."""
    proof = loaded.run("audit", "prove", "2")
    assert proof.status == 0
    (tmp_path / "p.tlog-proof").write_text(proof.stdout)
    key = loaded.ok("audit", "key")["key"]
    words = [sys.executable, "-m", "rowkeeper.cli", "audit", "check-proof", "p.tlog-proof", "--key", key]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run.publish" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.tlog-proof"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("audit", "prove", "99"), "there is no audit entry 99"),
        (("audit", "check-proof", "p.py", "--key", "x"), "--key: the key is not NAME+ID+BASE64"),
        (("audit", "verify", "--since", "nowhere"), "nowhere cannot be read"),
        (("audit", "accept", "--reason", " "), "the reason is empty"),
    ],
)
def test_wrong_usage_is_one_sentence(loaded: Arena, words: tuple[str, ...], said: str):
    """What is wrong, and the next step; status 2."""
    done = loaded.run(*words)
    assert (done.status, said in done.stderr, "next:" in done.stderr) == (2, True, True), done


def test_a_damaged_proof_proves_nothing(loaded: Arena):
    """Status 1 and one sentence."""
    key = loaded.ok("audit", "key")["key"]
    done = loaded.run("audit", "check-proof", "p.py", "--key", key)
    assert (done.status, "p.py proves nothing: it is no proof" in done.stderr) == (1, True), done


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("UPDATE runs SET rows_committed = 3 WHERE run = 1", "run 1: the ledger's account or fingerprint is not"),
        ("UPDATE runs SET publish_order = NULL WHERE run = 1", "run 1 was published, says the trail"),
    ],
)
def test_a_run_that_was_changed_in_the_tables_is_found(loaded: Arena, change: str, finding: str):
    """The trail vouches for what was published: whoever edits the books only is told."""
    with loaded.by_hand() as hand:
        committed, order = hand.execute("SELECT rows_committed, publish_order FROM runs WHERE run = 1").fetchone()
        hand.execute(change)
    done = loaded.run("audit", "verify")
    with loaded.by_hand() as hand:
        hand.execute(f"UPDATE runs SET rows_committed = {committed}, publish_order = {order} WHERE run = 1")
    assert (done.status, finding in done.stdout) == (1, True), done


def test_an_edited_entry_stops_every_change_but_no_look(loaded: Arena):
    """With a forged head nothing is run; what happened can still be listed and verified."""
    with loaded.by_hand() as hand:
        (saved,) = hand.execute("SELECT checkpoint FROM audit_head").fetchone()
        hand.execute("UPDATE audit_head SET checkpoint = replace(checkpoint, '\n8\n', '\n7\n')")
    refused, listed, verified = loaded.run("run", "p.py"), loaded.run("audit", "list"), loaded.run("audit", "verify")
    with loaded.by_hand() as hand:
        hand.execute(f"UPDATE audit_head SET checkpoint = '{saved}'")
    assert (refused.status, "RK-5005" in refused.stderr) == (1, True), refused
    assert (listed.status, verified.status) == (0, 1)
    assert loaded.run("audit", "verify").status == 0


def test_entries_are_found_by_what_is_asked_for(loaded: Arena):
    """Who, on what, when and how it ended can be asked for, together; a moment that is none is refused."""
    assert actions(loaded, "--on", "run:1", "--action", "quarantine") == ["quarantine.show", "quarantine.export"]
    assert set(actions(loaded, "--on", "run:2")) == {"run.start", "run.rollback"}
    assert actions(loaded, "--who", "nobody-of-this-name") == []
    assert len(actions(loaded, "--who", loaded.ok("audit", "list", "--limit", "1")["entries"][0]["name"])) >= 8
    assert actions(loaded, "--outcome", "refused") == []
    assert actions(loaded, "--since", "1h", "--limit", "2") == actions(loaded, "--limit", "2")
    assert actions(loaded, "--until", "2026-01-01") == []
    assert loaded.run("audit", "list", "--since", "last week").status == 2


def test_the_trail_as_security_events(loaded: Arena):
    """Listed, and exported as JSON lines to a file that is new and private."""
    listed = loaded.ok("events", "list", "--class", "datastore_activity")["events"]
    assert [each["message"] for each in listed][:5] == [
        "run.publish: done",
        "data.query: done",
        "quarantine.show: done",
        "quarantine.export: done",
        "run.rollback: done",
    ]
    exported = loaded.ok("events", "export", "--to", "events.ndjson")
    path = loaded.folder / "events.ndjson"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == exported["events"] >= 8
    assert [each for each in lines if each["class_uid"] == 6005] == listed
    assert path.stat().st_mode & 0o077 == 0
    again = loaded.run("events", "export", "--to", "events.ndjson", "--json")
    assert (again.status, again.json["error"]["code"]) == (1, "RK-6100")
    printed = loaded.run("events", "export", "--since", "1h").stdout.splitlines()
    assert json.loads(printed[0]) == lines[0]
    assert "quarantine.show: done" in loaded.run("events", "list").stdout


@pytest.mark.of_sqlite("puts it back from a copy")
def test_a_witness_is_asked_when_the_trail_is_verified(own_arena: Arena, tmp_path: Path):
    """Sent when a command ends; verified against; a state folder that was put back is not sound, and says why."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    witness, shelf = Witness("witness.example/w1", tmp_path), Shelf("t0ken")
    witness.logs.append(own_arena.ok("audit", "key")["key"])
    with serving(authority, witness, shelf) as url:
        own_arena.env |= {
            "ROWKEEPER_TLS_CA": str(tmp_path / "ca.pem"),
            "ROWKEEPER_AUDIT_URL": f"{url}/kept",
            "ROWKEEPER_AUDIT_URL_TOKEN": "env:SHELF",
            "SHELF": "t0ken",
            "ROWKEEPER_AUDIT_WITNESSES": f"{url}/w1 {witness.vkey}",
        }
        own_arena.ok("query", "SELECT 1")
        whole = own_arena.ok("audit", "verify")
        assert (whole["sound"], whole["unreachable"]) == (True, {})
        assert whole["against"]["witness witness.example/w1"] == whole["against"][f"{url}/kept"] == whole["entries"]
        shutil.copy(own_arena.home / "ledger.sqlite", tmp_path / "old")
        shutil.copytree(own_arena.home / "audit", tmp_path / "old-audit")
        own_arena.ok("query", "SELECT 2")
        sent = own_arena.ok("audit", "send")["sent"]
        assert [(each["entries"], each["lag"], each["error"]) for each in sent] == [(whole["entries"] + 1, 0, None)] * 2
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (own_arena.home / name).unlink(missing_ok=True)
        shutil.copy(tmp_path / "old", own_arena.home / "ledger.sqlite")
        shutil.rmtree(own_arena.home / "audit")
        shutil.copytree(tmp_path / "old-audit", own_arena.home / "audit")
        found = own_arena.run("audit", "verify", "--json")
        assert found.status == 1
        assert "put back from an older copy" in " ".join(found.json["findings"])
        assert f"{url}/kept: it is of {whole['entries'] + 1} entries" in " ".join(found.json["findings"])
        failed = own_arena.run("audit", "send", "--json")
        assert (failed.status, failed.json["sent"][1]["error"]["code"]) == (1, "RK-5007")
        assert own_arena.ok("audit", "verify", "--offline")["sound"]
    away = own_arena.run("audit", "verify", "--json")
    assert away.status == 0, "who cannot be asked is told, and is no fault of the trail"
    assert len(away.json["unreachable"]) == 2
