"""Values are revealed for a reason, to whom may see them, and on the record; or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.access import of_column
from rowkeeper.errors import RevealRefused
from rowkeeper.runs.access import Look
from rowkeeper.settings import Settings
from tests.arena import Arena

PIPELINE = """
from datetime import date
from decimal import Decimal
from typing import Annotated
from uuid import UUID
from pydantic import BaseModel, Field
import rowkeeper as rk

class Row(BaseModel):
    id: int
    ref: Annotated[str, rk.Classified("a"), rk.EncryptJoinable()]
    serial: Annotated[int, rk.Classified("b"), rk.FormatPreserving()]
    born: Annotated[date, rk.Classified("c"), rk.Encrypt()]
    pay: Annotated[Decimal, Field(max_digits=9, decimal_places=2), rk.Classified("d"), rk.Encrypt()]
    uid: Annotated[UUID | None, rk.Classified("e"), rk.Encrypt()] = None
    raw: Annotated[bytes, rk.Classified("f"), rk.Encrypt()] = b""
    gone: Annotated[str, rk.Classified("g"), rk.Pseudonymise()]

kept = rk.Pipeline("kept", source=rk.sources.files("kept/*.csv"), contract=Row,
    destination=rk.destinations.clickhouse("kept", order_by=["id"]))
"""
ROWS = """id,ref,serial,born,pay,uid,raw,gone
1,canary-ref,1234567,1999-05-17,12.50,12345678-1234-5678-1234-567812345678,bytes,x
2,other's \\ref,7654321,2001-01-01,-3.00,,more,y
bad,canary-ref,1234567,1999-05-17,1,,,canary-gone
"""


@pytest.fixture(scope="module", autouse=True)
def run(arena: Arena) -> int:
    arena.write("kept.py", PIPELINE)
    arena.write("kept/a.csv", ROWS)
    return arena.ok("run", "kept.py")["run"]


def reveal(arena: Arena, column: str, *more: str) -> list[dict]:
    return arena.ok("reveal", "kept", "--column", column, "--reason", "ticket 1", *more)["rows"]


def test_every_type_is_revealed(arena: Arena):
    """Text, whole numbers, dates, decimals, UUIDs, bytes; null is null."""
    assert [row["ref"] for row in reveal(arena, "ref")] == ["canary-ref", "other's \\ref"]
    assert [row["serial"] for row in reveal(arena, "serial")] == [1234567, 7654321]
    assert [row["born"] for row in reveal(arena, "born")] == ["1999-05-17", "2001-01-01"]
    assert [row["pay"] for row in reveal(arena, "pay")] == ["12.5", "-3"]
    assert [row["uid"] for row in reveal(arena, "uid")] == ["12345678-1234-5678-1234-567812345678", None]
    assert [row["raw"] for row in reveal(arena, "raw")] == ["b'bytes'", "b'more'"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("id=2", ["2001-01-01"]),
        ("ref=other's \\ref", ["2001-01-01"]),
        ("serial=1234567", ["1999-05-17"]),
        ("gone=x", ["1999-05-17"]),
        ("ref=' OR 1=1 --", []),
        ("id=1 OR 1=1", []),
    ],
)
def test_rows_are_found_by_clear_values(arena: Arena, where: str, found: list[str]):
    """Of columns that join, and of those that nothing protects; SQL in a value is a value."""
    assert [row["born"] for row in reveal(arena, "born", "--where", where)] == found


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["kept", "--column", "ref"], "RK-1102"),
        (["kept", "--column", "ref", "--reason", " "], "RK-1102"),
        (["kept", "--column", "gone", "--reason", "r"], "RK-6033"),
        (["kept", "--column", "id", "--reason", "r"], "RK-6033"),
        (["kept", "--column", "none", "--reason", "r"], "RK-6033"),
        (["nowhere", "--column", "ref", "--reason", "r"], "RK-1000"),
        (["kept", "--column", "ref", "--where", "born=1999-05-17", "--reason", "r"], "RK-1102"),
        (["kept", "--column", "ref", "--where", "serial=none", "--reason", "r"], "RK-1102"),
        (["kept", "--column", "ref", "--where", "serial=12", "--reason", "r"], "RK-1102"),
        (["kept", "--column", "ref", "--where", "strange=1", "--reason", "r"], "RK-1102"),
        (["kept", "--column", "ref", "--where", "strange", "--reason", "r"], "RK-1102"),
    ],
)
def test_what_cannot_be_revealed_is_refused(arena: Arena, words: list[str], code: str):
    """With one clear error, nothing shown, and nothing noted as shown."""
    before = noted(arena)
    outcome = arena.run("reveal", *words, "--json")
    assert outcome.status == 2, outcome
    assert outcome.json["error"]["code"] == code
    assert outcome.json["error"]["hint"]
    assert noted(arena) == before


def noted(arena: Arena) -> list[tuple]:
    """What the audit trail has of reveals, the oldest first: action, on what, how it ended, rows, why."""
    entries = arena.ok("audit", "list", "--limit", "1000")["entries"]
    return [
        (each["action"], each["on"], each["outcome"], each.get("detail", {}).get("rows"), each.get("reason"))
        for each in sorted(entries, key=lambda each: each["number"])
        if each["action"].endswith(".reveal")
    ]


def test_who_saw_what_and_why_is_kept(arena: Arena, run: int):
    """In the audit trail with the reason beside it, in the log without it."""
    reveal(arena, "ref", "--limit", "1")
    arena.ok("quarantine", "show", str(run), "--reveal", "--reason", "canary-reason")
    assert noted(arena)[-2:] == [
        ("data.reveal", {"run": run, "table": "kept", "column": "ref"}, "done", 1, "ticket 1"),
        ("quarantine.reveal", {"run": run, "pipeline": "kept"}, "done", 1, "canary-reason"),
    ]
    assert arena.ok("audit", "verify")["sound"]
    log = (arena.home / "logs" / "rowkeeper.log").read_text()
    assert "classified values revealed" in log
    assert "canary" not in log


@pytest.mark.parametrize(
    "words",
    [
        ["reveal", "kept", "--column", "ref", "--reason", "r"],
        ["quarantine", "show", "1", "--reveal", "--reason", "r"],
        ["quarantine", "export", "1", "--to", "unnoted.ndjson", "--reveal", "--reason", "r"],
    ],
)
def test_what_cannot_be_noted_is_not_shown(arena: Arena, words: list[str]):
    """The note comes first: where it fails, nothing has been printed or written."""
    outcome = arena.run(*words, failpoints="ledger.before_commit:audit=raise")
    assert outcome.status == 1, outcome
    assert "canary" not in outcome.stdout + outcome.stderr
    assert not (arena.folder / "unnoted.ndjson").exists()


def test_quarantine_is_shown_in_the_clear_for_a_reason_only(arena: Arena, run: int):
    """Without one nothing is; with one all is."""
    assert arena.run("quarantine", "show", str(run), "--reveal").status == 2
    (row,) = arena.ok("quarantine", "show", str(run), "--reveal", "--reason", "r")["rows"]
    assert row["row"]["gone"] == "canary-gone"
    (row,) = arena.ok("quarantine", "show", str(run))["rows"]
    assert row["row"]["gone"] == "[classified]"


def test_an_export_is_in_the_clear_when_that_is_asked_for(arena: Arena, run: int):
    """With a reason, which is noted, as the export is."""
    refused = arena.run("quarantine", "export", str(run), "--to", "clear.ndjson", "--reveal")
    assert refused.status == 2
    assert not (arena.folder / "clear.ndjson").exists()
    arena.ok("quarantine", "export", str(run), "--to", "clear.ndjson", "--reveal", "--reason", "r")
    assert "canary-gone" in (arena.folder / "clear.ndjson").read_text()
    assert noted(arena)[-1][0] == "quarantine.reveal"


def test_a_changed_value_is_refused(arena: Arena):
    """A foreign hand in the table: the value does not open, and no word of it is told."""
    arena.write("forged.py", PIPELINE.replace("kept", "forged"))
    arena.write("forged/a.csv", ROWS)
    arena.ok("run", "forged.py")
    with rk.Workspace.open(Settings(home=arena.home)) as space:
        from rowkeeper.destinations.embedded.connection import EngineConnection

        engine = EngineConnection(space.site, writes=True)
        engine.read(
            lambda client: client.command("INSERT INTO forged SELECT * REPLACE ('forgery' AS born) FROM forged")
        )
        engine.close()
    outcome = arena.run("reveal", "forged", "--column", "born", "--reason", "r", "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-6034"), outcome
    assert "forgery" not in outcome.stdout + outcome.stderr
    assert "1999" not in outcome.stdout


def test_only_the_owner_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The one seam at which it is decided who sees clear values; that somebody else asked is on the record."""
    with rk.Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key")) as space:
        column, on = of_column("default.t", "c"), {"table": "t"}
        Look(space, "data.reveal", column, reason="why", command="reveal", on=on)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(RevealRefused):
            Look(space, "data.reveal", column, reason="why", command="reveal", on=on)
        (entry,) = space.ledger.audit.newest(1, None)
        assert (entry.event.action, entry.event.outcome, entry.event.reason) == ("data.reveal", "refused", "why")
