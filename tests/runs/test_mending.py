"""Mended data: rejected rows given out, edited, and replayed from there, each of them once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowkeeper.runs.jsonvalues import NO_JSON, from_json, to_json
from rowkeeper.runs.replayed import numbers_of, ranges_of
from tests.arena import Arena

PIPELINE = """
from datetime import datetime
from decimal import Decimal
from typing import Annotated
import rowkeeper as rk
from pydantic import BaseModel, Field

class Trip(BaseModel):
    id: int
    city: str
    fare: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
    at: datetime

def dear(rows):
    import pyarrow.compute as pc
    return rows.filter(pc.not_equal(rows["city"], "free"))

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*", on_change="reload"),
    contract=Trip,
    transform=dear,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}),
    {more}
)
"""
ROWS = [  # id, city, fare; three of them are bad
    (1, "Oslo", "1.50"),
    (2, "Bern", "-2.25"),
    (3, "Rome", "3.00"),
    (4, "Oslo", "-4.00"),
    (5, "Bern", "-5.50"),
]
AT = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def csv(rows: list[tuple[Any, ...]] = ROWS) -> str:
    lines = [",".join(map(str, row)) + f",{AT.isoformat()}" for row in rows]
    return "\n".join(["id,city,fare,at", *lines]) + "\n"


def ndjson() -> str:
    return "".join(f'{{"id": {i}, "city": "{c}", "fare": {f}, "at": "{AT.isoformat()}"}}\n' for i, c, f in ROWS)


def parquet(path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([row[0] for row in ROWS], pa.int32()),
            "city": pa.array([row[1] for row in ROWS]).dictionary_encode(),
            "fare": pa.array([Decimal(row[2]) for row in ROWS], pa.decimal128(9, 2)),
            "at": pa.array([AT] * len(ROWS), pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, path)


def load(arena: Arena, name: str, kind: str = "csv", options: str = "", more: str = "") -> int:
    """Loads the five rows from a file of this kind; three of them are rejected."""
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options, more=more))
    (arena.folder / name).mkdir()
    if kind == "parquet":
        parquet(arena.folder / name / "a.parquet")
    else:
        arena.write(f"{name}/a.{kind}", csv() if kind == "csv" else ndjson())
    report = arena.ok("run", f"{name}.py")
    assert report["account"]["quarantined"] == 3
    return int(report["run"])


def load_more(arena: Arena, name: str) -> int:
    """Loads the file again, with a bad row more."""
    arena.write(f"{name}/a.csv", csv([*ROWS, (6, "Bern", "-6.00")]))
    return int(arena.ok("run", f"{name}.py")["run"])


def exported(arena: Arena, run: int, to: str) -> list[dict[str, Any]]:
    arena.ok("quarantine", "export", str(run), "--to", to)
    return [json.loads(line) for line in (arena.folder / to).read_text().splitlines()]


def mended(arena: Arena, name: str, lines: list[dict[str, Any]], **values: Any) -> str:
    """Writes the lines with these values in each row."""
    changed = [{**line, "row": {**line["row"], **values}} for line in lines]
    arena.write(name, "".join(json.dumps(line) + "\n" for line in changed))
    return name


def account(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report["account"].values())


def ids(arena: Arena, name: str) -> list[int]:
    return [row[0] for row in arena.rows(name)]


@pytest.mark.in_turns("kinds of sources", 1)
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_mended_rows_are_replayed_in_the_mode_of_their_source(arena: Arena, kind: str):
    """Of three rows one is mended, one is still bad, one is left out: the account says so. Nothing is added twice."""
    name = f"modes_{kind}"
    run = load(arena, name, kind)
    lines = exported(arena, run, f"{name}.ndjson")
    assert [line["row"]["id"] for line in lines] == ([2, 4, 5] if kind != "csv" else ["2", "4", "5"])
    good, bad, _ = lines
    good["row"]["fare"] = "7.25"
    good["row"]["city"] = "Zug"
    bad["row"]["city"] = "still bad"
    file = mended(arena, f"{name}.mended", [bad, good])
    report = arena.ok("quarantine", "replay", str(run), "--from", file)
    assert account(report) == (2, 1, 1, 0, 0)
    assert [row[:3] for row in arena.rows(name)] == [[1, "Oslo", "1.50"], [2, "Zug", "7.25"], [3, "Rome", "3.00"]]
    assert len({row[3] for row in arena.rows(name)}) == 1
    (again,) = arena.ok("quarantine", "show", str(report["run"]))["rows"]
    assert again["errors"][0]["loc"] == ["fare"]
    assert again["place"] == bad["place"]
    assert "still bad" in str(again["row"])
    second = arena.ok("quarantine", "replay", str(run), "--from", file)
    assert (second["status"], second["account"]["committed"]) == ("unchanged", 0)
    assert ids(arena, name) == [1, 2, 3]
    assert arena.ok("verify", f"{name}.py")["sound"]


def test_rows_that_were_left_out_stay_and_can_be_replayed_later(arena: Arena):
    """One row from a file, the others by a mended contract: each lands once, and the quarantine is empty then."""
    name = "later"
    run = load(arena, name)
    lines = exported(arena, run, "later.ndjson")
    arena.ok("quarantine", "replay", str(run), "--from", mended(arena, "later.one", lines[1:2], fare="4"))
    (left,) = [each for each in arena.ok("quarantine", "list")["quarantine"] if each["run"] == run]
    assert (left["rows"], left["rows_replayed"], left["replayed"], left["exports"]) == (3, 1, False, 1)
    assert [line["row"]["id"] for line in exported(arena, run, "later.rest")] == ["2", "5"]
    text = (arena.folder / "later.py").read_text()
    arena.write("later.py", text.replace("ge=0, ", ""))
    assert account(arena.ok("quarantine", "replay", str(run))) == (2, 2, 0, 0, 0)
    assert arena.ok("quarantine", "replay", str(run))["status"] == "unchanged"
    assert ids(arena, name) == [1, 2, 3, 4, 5]
    (left,) = [each for each in arena.ok("quarantine", "list")["quarantine"] if each["run"] == run]
    assert left["replayed"]
    refused = arena.run("quarantine", "export", str(run), "--to", "later.none")
    assert (refused.status, "was replayed before" in refused.stderr) == (1, True)
    assert not (arena.folder / "later.none").exists()


def test_a_replay_that_is_taken_back_can_be_given_again(arena: Arena):
    """What counts as replayed is what is in the books."""
    run = load(arena, "back")
    file = mended(arena, "back.mended", exported(arena, run, "back.ndjson")[:1], fare="4")
    replayed = arena.ok("quarantine", "replay", str(run), "--from", file)["run"]
    arena.ok("rollback", str(replayed))
    assert ids(arena, "back") == [1, 3]
    assert account(arena.ok("quarantine", "replay", str(run), "--from", file)) == (1, 1, 0, 0, 0)
    assert ids(arena, "back") == [1, 2, 3]


def test_rows_of_replays_of_replays_go_when_their_file_is_loaded_anew(arena: Arena):
    """A file that changed takes the place of all that came of it, mended rows and what was mended of those included."""
    run = load(arena, "anew")
    first = mended(arena, "anew.first", exported(arena, run, "anew.ndjson"), fare="-1")
    again = arena.ok("quarantine", "replay", str(run), "--from", first)
    assert account(again) == (3, 0, 3, 0, 0)
    second = mended(arena, "anew.second", exported(arena, again["run"], "anew.again"), fare="1")
    assert account(arena.ok("quarantine", "replay", str(again["run"]), "--from", second)) == (3, 3, 0, 0, 0)
    assert ids(arena, "anew") == [1, 2, 3, 4, 5]
    third = mended(arena, "anew.third", exported(arena, run := load_more(arena, "anew"), "anew.more"), fare="2")
    arena.write("anew/a.csv", csv([(9, "Bern", "9.00")]))
    arena.ok("run", "anew.py")
    assert ids(arena, "anew") == [9]
    refused = arena.run("quarantine", "replay", str(run), "--from", third)
    assert (refused.status, "loaded anew" in refused.stderr) == (1, True), refused
    assert ids(arena, "anew") == [9]
    assert arena.ok("verify", "anew.py")["sound"]


def test_rows_that_the_transform_drops_and_duplicates_are_counted(arena: Arena):
    """read = committed + quarantined + duplicate + filtered, of mended rows too."""
    run = load(arena, "lines", options='key=["id"], duplicates="skip"')
    lines = exported(arena, run, "lines.ndjson")
    for line, values in zip(
        lines, ({"fare": "1", "id": "1"}, {"fare": "2", "city": "free"}, {"fare": "3"}), strict=True
    ):
        line["row"].update(values)
    report = arena.ok("quarantine", "replay", str(run), "--from", mended(arena, "lines.mended", lines))
    assert account(report) == (3, 1, 0, 1, 1)
    assert ids(arena, "lines") == [1, 3, 5]


def test_a_row_that_could_not_be_read_can_be_made_readable(arena: Arena):
    """A CSV row of another width has its text in the export, and is replayed once it has a row."""
    arena.write("torn.py", PIPELINE.format(name="torn", options="", more=""))
    arena.write("torn/a.csv", csv(ROWS[:1]) + "7,Zug,7.00,2026-01-05T12:30:00Z,too,many\n")
    run = arena.ok("run", "torn.py")["run"]
    (line,) = exported(arena, run, "torn.ndjson")
    assert "row" not in line
    assert line["text"].startswith("7,Zug")
    refused = arena.run("quarantine", "replay", str(run), "--from", "torn.ndjson")
    assert (refused.status, "line 1 of torn.ndjson has no row" in refused.stderr) == (1, True)
    line["row"] = {"id": 7, "city": "Zug", "fare": 7.00, "at": "2026-01-05T12:30:00Z"}
    report = arena.ok("quarantine", "replay", str(run), "--from", mended(arena, "torn.mended", [line]))
    assert account(report) == (1, 1, 0, 0, 0)
    assert [row[:3] for row in arena.rows("torn")] == [[1, "Oslo", "1.50"], [7, "Zug", "7.00"]]


def test_a_document_that_is_no_json_can_be_made_one(arena: Arena):
    """A broken line of NDJSON is given out as text, and taken in again as a document."""
    arena.write("broken.py", PIPELINE.format(name="broken", options="", more=""))
    arena.write("broken/a.ndjson", ndjson().splitlines()[0] + '\n{"id": 7, "city": "Zu\n')
    run = arena.ok("run", "broken.py")["run"]
    (line,) = exported(arena, run, "broken.ndjson")
    assert line["text"] == '{"id": 7, "city": "Zu'
    line["row"] = {"id": 7, "city": "Zug", "fare": 7.00, "at": "2026-01-05T12:30:00Z"}
    report = arena.ok("quarantine", "replay", str(run), "--from", mended(arena, "broken.mended", [line]))
    assert account(report) == (1, 1, 0, 0, 0)
    assert ids(arena, "broken") == [1, 7]


def test_duplicates_that_were_set_aside_can_be_mended(arena: Arena):
    """They are given out as text; with a key of their own they are rows like others, and go with their file."""
    arena.write("twins.py", PIPELINE.format(name="twins", options='key=["id"], duplicates="quarantine"', more=""))
    arena.write("twins/a.csv", csv([(1, "Oslo", "1.00"), (1, "Bern", "2.00")]))
    run = arena.ok("run", "twins.py")["run"]
    (line,) = exported(arena, run, "twins.ndjson")
    assert json.loads(line["text"])["city"] == "Bern"
    line["row"] = {"id": "2", "city": "Bern", "fare": "2.00", "at": AT.isoformat()}
    report = arena.ok("quarantine", "replay", str(run), "--from", mended(arena, "twins.mended", [line]))
    assert account(report) == (1, 1, 0, 0, 0)
    assert ids(arena, "twins") == [1, 2]
    arena.write("twins/a.csv", csv([(3, "Oslo", "1.00")]))
    arena.ok("run", "twins.py")
    assert ids(arena, "twins") == [3]


@pytest.fixture(scope="module")
def quarantined(arena: Arena) -> tuple[int, list[dict[str, Any]]]:
    """A run with its export, for files that are refused."""
    run = load(arena, "refused")
    lines = exported(arena, run, "refused.ndjson")
    replayed = mended(arena, "refused.before", lines[:1], fare="1")
    arena.ok("quarantine", "replay", str(run), "--from", replayed)
    return run, lines


Lines = list[dict[str, Any]]
UNFIT: list[tuple[str, Callable[[Lines], Any], str]] = [
    ("a row of another run", lambda lines: [{**lines[1], "_rk_row": 77}], "not in the quarantine of run"),
    ("a row that was replayed", lambda lines: [lines[1], lines[0]], "replayed before (line 2)"),
    ("the same row twice", lambda lines: [lines[1], lines[2], lines[1]], "lines 1, 3"),
    ("no address", lambda lines: [{"row": lines[1]["row"]}], "line 1 of"),
    ("a negative address", lambda lines: [{**lines[1], "_rk_row": -1}], "no address"),
    ("an unknown column", lambda lines: [{**lines[1], "row": {**lines[1]["row"], "fair": "1"}}], "did you mean fare?"),
    ("a list in a text column", lambda lines: [lines[1], {**lines[2], "row": {"id": ["2"]}}], "line 2 of"),
    ("a row that is no object", lambda lines: [{**lines[1], "row": "2,Bern"}], "no object"),
    ("a row without columns", lambda lines: [{**lines[1], "row": {}}], "no object"),
    ("no line", lambda _: [], "has no row"),
    ("no JSON", lambda _: "id,city\n2,Bern\n", "line 1 of"),
]


@pytest.mark.in_turns("files that do not fit", 3)
@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit[0])
def test_a_file_that_does_not_fit_is_refused_before_anything_is_read(
    arena: Arena, quarantined: tuple[int, Lines], unfit: tuple[str, Callable[[Lines], Any], str]
):
    """One clear error with the line, no value of the row, no run begun, nothing changed."""
    run, lines = quarantined
    before = arena.ok("runs", "--pipeline", "refused")
    made = unfit[1](lines)
    text = made if isinstance(made, str) else "".join(json.dumps(line) + "\n" for line in made)
    arena.write("refused.unfit", text)
    refused = arena.run("quarantine", "replay", str(run), "--from", "refused.unfit")
    assert (refused.status, unfit[2] in refused.stderr, "RK-2004" in refused.stderr) == (1, True, True), refused
    assert "Bern" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert arena.ok("runs", "--pipeline", "refused") == before


def test_a_file_that_is_not_there_is_named(arena: Arena, quarantined: tuple[int, Lines]):
    """It cannot be read, and that is all that happens."""
    refused = arena.run("quarantine", "replay", str(quarantined[0]), "--from", "nowhere")
    assert (refused.status, "nowhere cannot be read" in refused.stderr) == (1, True)


def test_an_export_is_private_warns_and_is_on_the_record(arena: Arena):
    """0600 whatever the umask, never over another file, in ledger and log without a value; and it says what it is."""
    run = load(arena, "record")
    outcome = arena.run("quarantine", "export", str(run), "--to", "record.ndjson")
    assert outcome.status == 0
    assert "in the clear" in outcome.stderr
    file = arena.folder / "record.ndjson"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_text()
    again = arena.run("quarantine", "export", str(run), "--to", "record.ndjson")
    assert (again.status, "is there already" in again.stderr, file.read_text()) == (2, True, content)
    os.symlink(arena.folder / "elsewhere", arena.folder / "link.ndjson")
    assert arena.run("quarantine", "export", str(run), "--to", "link.ndjson").status == 2
    assert not (arena.folder / "elsewhere").exists()
    (noted,) = [each for each in arena.ok("quarantine", "list")["quarantine"] if each["run"] == run]
    assert noted["exports"] == 1
    lines = [json.loads(line) for line in (arena.home / "logs" / "rowkeeper.log").read_text().splitlines()]
    (line,) = [each for each in lines if each["event"] == "quarantine exported in the clear" and each["run"] == run]
    assert (line["rows"], line["level"]) == (3, "warning")


COLUMNS = {
    "whole numbers": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "floats": pa.array([1.1, None, float("-inf")], pa.float32()),
    "decimals": pa.array([Decimal("1.50"), None], pa.decimal256(50, 2)),
    "days": pa.array([-(10**5), None], pa.int32()).cast(pa.date32()),
    "times of day": pa.array([5, None], pa.time64("ns")),
    "instants": pa.array([1, None, 1751234567123456789], pa.timestamp("ns", "Europe/Oslo")),
    "durations": pa.array([1, None], pa.duration("ns")),
    "bytes": pa.array([b"\xff", None, b""]),
    "lists": pa.array([[1, None], None, []]),
    "structs": pa.array([{"a": 1, "b": b"x"}, None, {"a": None, "b": None}]),
    "maps": pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_typed_values_come_back_as_they_were(column: pa.Array[Any]):
    """Out as JSON and in again: the same column, nulls, nanoseconds and all digits included."""
    text = json.dumps(to_json(column))
    assert from_json(json.loads(text, parse_float=Decimal), column.type).equals(column)


def test_a_value_without_a_json_form_is_not_given_out_as_another():
    """Bytes that are no text in a column of text, a day before the year 1. The others of their columns are given."""
    assert to_json(pa.array([b"a", b"\xff"]).view(pa.string())) == ["a", NO_JSON]
    assert to_json(pa.array([0, -(10**6)], pa.int32()).cast(pa.date32())) == ["1970-01-01", NO_JSON]


def test_ranges_stand_for_their_numbers():
    """Ascending numbers, with and without gaps."""
    assert ranges_of([0, 1, 2, 5, 7, 8]) == [(0, 3), (5, 6), (7, 9)]
    assert list(numbers_of([(0, 3), (5, 6), (7, 9)])) == [0, 1, 2, 5, 7, 8]
    assert ranges_of([]) == []
