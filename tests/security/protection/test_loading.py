"""A clear value never reaches a disk: whole pipelines, bad rows, duplicates, gates, spool, and what is told of it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.arena import Arena
from tests.runs.outages import outage
from tests.security.protection.opening import everything, leaks

HEAD = """
from datetime import date
from typing import Annotated
from pydantic import BaseModel, Field, field_validator, model_validator
import rowkeeper as rk

Secret = rk.Classified

class Person(BaseModel):
    id: Annotated[int, Secret("pii.id"), rk.Pseudonymise()]
    mail: Annotated[str, Secret("pii.mail"), {method}]
    note: Annotated[str | None, Secret("pii.note"), rk.Encrypt()] = None
    city: str

    @field_validator("mail")
    @classmethod
    def has_at(cls, value):
        if value.startswith("bad"):
            raise ValueError(f"{{value}} is no address")
        return value

    @field_validator("city")
    @classmethod
    def looks_back(cls, value, info):
        if value == "Nowhere":
            raise ValueError(f"{{info.data['mail']}} lives nowhere")
        return value

    @model_validator(mode="after")
    def whole(self):
        if self.city == "Atlantis":
            raise ValueError(f"{{self.note}} drowned with {{self.mail}}")
        return self

def declare(name, **more):
    options = more.pop("options", {{}})
    return rk.Pipeline(
        name,
        source=rk.sources.files(f"{{name}}/*", format=more.pop("format", "auto")),
        contract=Person,
        destination=rk.destinations.clickhouse(name, order_by=["city"], **options),
        **more,
    )

{name} = declare("{name}", {arguments})
"""
METHODS = {
    "redact": "rk.Redact()",
    "mask": "rk.PartialMask(first=1, last=0)",
    "pseudonym": "rk.Pseudonymise()",
    "encrypt": "rk.Encrypt()",
    "joinable": "rk.EncryptJoinable()",
    "format": "rk.FormatPreserving(radix=36, separators='@.-')",
    "coarse": "rk.Generalise(truncate=1)",
}
CANARIES = {
    "id": "7318264950",
    "mail": "canary-at-home@mail.example",
    "note": "canary in a note",
    "bad mail": "bad-canary@mail.example",
    "broken": "canary-that-is-no-row",
    "nobody": "canary-nobody@mail.example",
    "drowned": "canary of the sea",
}
ROWS = f"""id,mail,note,city
{CANARIES["id"]},{CANARIES["mail"]},{CANARIES["note"]},Oslo
2,second@mail.example,,Rome
3,{CANARIES["bad mail"]},{CANARIES["note"]},Oslo
4,{CANARIES["broken"]},x,Oslo,and,more
5,{CANARIES["nobody"]},,Nowhere
6,someone@mail.example,{CANARIES["drowned"]},Atlantis
x,{CANARIES["mail"]},,Rome
{CANARIES["id"]},{CANARIES["mail"]},{CANARIES["note"]},Bern
"""


def declare(arena: Arena, name: str, rows: str | bytes, method: str = "rk.Encrypt()", arguments: str = "") -> None:
    arena.write(f"{name}.py", HEAD.format(name=name, method=method, arguments=arguments))
    arena.write(f"{name}/a.csv" if isinstance(rows, str) else f"{name}/a.parquet", rows)


@pytest.fixture(scope="module", autouse=True)
def loud(arena: Arena) -> None:
    """Whatever can be logged is logged."""
    arena.env["ROWKEEPER_LOG_LEVEL"] = "debug"


@pytest.mark.in_turns("methods", 2)
@pytest.mark.parametrize("word", METHODS)
def test_no_clear_value_is_left_anywhere(arena: Arena, word: str):
    """Not in table, quarantine, samples, profile, ledger, log, pages or what commands print; sealed files opened."""
    name = f"whole_{word}"
    gates = 'gates=[rk.complete("note", severity="warn"), rk.consistent("no", "city = \'x\'", severity="warn")],'
    arguments = gates + 'options={"key": ["id"], "duplicates": "quarantine"}'
    declare(arena, name, ROWS, METHODS[word], arguments)
    run = arena.ok("run", f"{name}.py")
    assert run["account"] == {"read": 8, "committed": 2, "quarantined": 6, "duplicate": 0, "filtered": 0}
    number = str(run["run"])
    for command in (
        ("show", number, "--html", f"{name}.html"),
        ("quarantine", "show", number),
        ("quarantine", "export", number, "--to", f"{name}.ndjson"),
        ("profile", f"{name}.py", "--html", f"{name}-profile.html"),
        ("bundle", number, "--output", f"{name}.zip"),
        ("explain", f"{name}.py"),
        ("doctor",),
    ):
        assert arena.run(*command).status == 0, command
    assert leaks(arena, CANARIES) == []
    for written in arena.folder.glob(f"{name}*[!y]"):
        if written.is_file():
            data = written.read_bytes()
            assert not [each for each, canary in CANARIES.items() if canary.encode() in data], written


def test_the_search_finds_what_is_there(arena: Arena):
    """The test above can fail: a value that nothing protects is found, in the table and in quarantine."""
    declare(arena, "control", ROWS)
    arena.ok("run", "control.py")
    found = [where for where, data in everything(arena) if b"Atlantis" in data]
    assert any("opened quarantine" in where for where in found)
    assert [where for where, data in everything(arena) if b'"Oslo"' in data and where == "table default.control"]


def test_quarantine_is_shown_masked_and_replayed_in_the_clear(arena: Arena):
    """A person sees the mask; the replay sees the value."""
    declare(arena, "replayed", ROWS, METHODS["mask"])
    number = str(arena.ok("run", "replayed.py")["run"])
    shown = {row["place"].split("row ")[1]: row for row in arena.ok("quarantine", "show", number)["rows"]}
    assert shown["3"]["row"] == {"id": "[classified]", "mail": "b***", "note": "[classified]", "city": "Oslo"}
    assert shown["4"]["text"] == "[classified]"
    assert shown["7"]["errors"][0]["msg"].startswith("Input should be a valid integer")
    assert shown["3"]["errors"][0]["msg"] == "what is wrong is not told: it may quote a classified value"
    assert shown["5"]["errors"][0]["msg"] == "what is wrong is not told: it may quote a classified value"
    arena.write("replayed.py", (arena.folder / "replayed.py").read_text().replace('startswith("bad")', "isdigit()"))
    replay = arena.ok("quarantine", "replay", number)
    assert replay["account"]["committed"] == 1
    table = arena.ok("query", "SELECT mail FROM replayed ORDER BY mail")["rows"]
    assert ["b***"] in table


def test_documents_are_masked_key_by_key_and_replayed(arena: Arena):
    """Of a JSON document only classified keys are withheld; what is no object is withheld whole."""
    lines = [
        {"id": 1, "mail": CANARIES["mail"], "city": "Oslo"},
        {"id": 2, "mail": CANARIES["bad mail"], "city": "Bern", "note": None},
        {"id": "x", "mail": CANARIES["mail"], "city": ["Rome"]},
        CANARIES["broken"],
        {"id": 4, "mial": CANARIES["mail"], "city": "Oslo"},
    ]
    arena.write("documents.py", HEAD.format(name="documents", method=METHODS["mask"], arguments='format="ndjson"'))
    arena.write("documents/a.ndjson", "\n".join(map(json.dumps, lines)))
    number = str(arena.ok("run", "documents.py")["run"])
    shown = [row["row"]["_rk_line"] for row in arena.ok("quarantine", "show", number)["rows"]]
    assert json.loads(shown[0]) == {"id": "[classified]", "mail": "b***", "city": "Bern", "note": None}
    assert json.loads(shown[1]) == {"id": "[classified]", "mail": "c***", "city": ["Rome"]}
    assert shown[2] == "[classified]"
    assert json.loads(shown[3]) == {"id": "[classified]", "mial": "[classified]", "city": "Oslo"}
    assert leaks(arena, CANARIES) == []
    mended = _exported(arena, number, "documents")
    assert set(mended[0]["row"]["mail"]) == {"_rk_sealed"}
    mended[1]["row"] |= {"id": 3, "city": "Rome"}
    replay = _replayed(arena, number, "documents", [mended[1]])
    assert replay["account"]["committed"] == 1
    assert arena.ok("query", "SELECT mail, city FROM documents ORDER BY city")["rows"][1] == ["c***", "Rome"]


def _exported(arena: Arena, number: str, name: str) -> list[dict]:
    path = arena.folder / f"{name}.ndjson"
    path.unlink(missing_ok=True)
    arena.ok("quarantine", "export", number, "--to", path.name)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _replayed(arena: Arena, number: str, name: str, rows: list[dict]) -> dict:
    arena.write(f"{name}-mended.ndjson", "\n".join(map(json.dumps, rows)))
    return arena.ok("quarantine", "replay", number, "--from", f"{name}-mended.ndjson")


def test_typed_cells_are_sealed_and_come_back(arena: Arena):
    """Of Parquet too: what is classified is a token in the export, and what it was in the replay."""
    table = pa.table(
        {
            "id": [1, 2],
            "mail": [CANARIES["mail"], CANARIES["bad mail"]],
            "note": pa.array([None, CANARIES["note"]]),
            "city": ["Oslo", "Bern"],
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    declare(arena, "typed", sink.getvalue().to_pybytes())
    number = str(arena.ok("run", "typed.py")["run"])
    (row,) = _exported(arena, number, "typed")
    assert set(row["row"]["id"]) == {"_rk_sealed"}
    assert row["row"]["city"] == "Bern"
    assert leaks(arena, CANARIES) == []
    row["row"]["mail"] = "good@mail.example"
    assert _replayed(arena, number, "typed", [row])["account"]["committed"] == 1
    revealed = arena.ok("reveal", "typed", "--column", "note", "--reason", "test")["rows"]
    assert [each["note"] for each in revealed] == [None, CANARIES["note"]]


def test_a_token_opens_in_its_own_place_alone(arena: Arena):
    """Moved to another row or column, or with a letter changed, it is refused, and nothing is replayed."""
    declare(arena, "moved", "id,mail,note,city\n1,bad-one@x.y,n1,Oslo\n2,bad-two@x.y,n2,Bern\n")
    number = str(arena.ok("run", "moved.py")["run"])
    first, second = _exported(arena, number, "moved")
    text = first["row"]["note"]["_rk_sealed"]
    for name, token in (
        ("note", second["row"]["note"]),
        ("note", first["row"]["mail"]),
        ("note", {"_rk_sealed": text[:-3] + ("A" if text[-3] != "A" else "B") + text[-2:]}),
        ("note", {"_rk_sealed": "none"}),
        ("city", first["row"]["note"]),
    ):
        row = {**first, "row": {**first["row"], name: token}}
        arena.write("moved-mended.ndjson", json.dumps(row))
        outcome = arena.run("quarantine", "replay", number, "--from", "moved-mended.ndjson")
        assert outcome.status == 1, (name, outcome)
        assert "RK-2004" in outcome.stderr


def test_samples_of_gates_show_no_classified_value(arena: Arena):
    """What nothing protects is withheld from samples too, and a query's rows altogether."""
    gates = """gates=[
        rk.accepted_values("city", ["Oslo"], severity="warn"),
        rk.sql("ours", "SELECT id AS harmless, note FROM {staged}", severity="warn")]"""
    body = HEAD.replace(", {method}]", "]").replace("{{staged}}", "{staged}")
    arena.write("sampled.py", body.format(name="sampled", method="", arguments=gates))
    arena.write("sampled/a.csv", f"id,mail,note,city\n1,{CANARIES['mail']},,Bern\n2,b@x.y,,Oslo\n")
    number = str(arena.ok("run", "sampled.py")["run"])
    opened = {where: data for where, data in everything(arena) if where.startswith("opened samples")}
    mine = {where: data for where, data in opened.items() if f"samples/{number}/" in where}
    assert [data for where, data in mine.items() if b"[classified]" in data]
    assert not [where for where, data in mine.items() if CANARIES["mail"].encode() in data]


def test_duplicates_in_quarantine_show_no_classified_value(arena: Arena):
    """Those of a column that nothing protects are sealed in quarantine, although the table has them in the clear."""
    arena.write(
        "twice.py",
        HEAD.replace(", {method}]", "]").format(
            name="twice", method="", arguments='options={"key": ["id"], "duplicates": "quarantine"}'
        ),
    )
    arena.write("twice/a.csv", f"id,mail,note,city\n1,first@x.y,,Oslo\n1,{CANARIES['mail']},,Bern\n")
    number = str(arena.ok("run", "twice.py")["run"])
    (row,) = arena.ok("quarantine", "show", number)["rows"]
    shown = json.loads(row["text"])
    assert (shown["mail"], shown["city"]) == ("[classified]", "Bern")
    assert len(shown["id"]) == 32
    (row,) = arena.ok("quarantine", "show", number, "--reveal", "--reason", "test")["rows"]
    assert json.loads(row["text"])["mail"] == CANARIES["mail"]


def test_what_waits_in_the_spool_is_protected(own_arena: Arena):
    """A run that the table cannot take is sealed away as it would have been staged, and drained as it is."""
    declare(own_arena, "spooled", ROWS, METHODS["pseudonym"], 'options={"fallback": "spool"}')
    own_arena.ok("query", "SELECT 1")
    with outage(own_arena):
        assert own_arena.ok("run", "spooled.py")["status"] == "spooled"
    assert leaks(own_arena, CANARIES) == []
    assert [where for where, _ in everything(own_arena) if where.startswith("opened spool")]
    assert own_arena.ok("spool", "drain")["status"] == "drained"
    (counts,) = own_arena.ok("query", "SELECT uniqExact(mail), countIf(length(mail) = 32) FROM spooled")["rows"]
    assert counts == [2, 3]
    assert leaks(own_arena, CANARIES) == []
