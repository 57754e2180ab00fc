"""Quality gates on the real engine: each kind passes and fails; what cannot work is refused before a row is read."""

from __future__ import annotations

import re

import pytest

from tests.arena import Arena, Outcome

PIPELINE = """
import polars as pl
import rowkeeper as rk
from datetime import date, datetime, timedelta, UTC
from decimal import Decimal
from enum import Enum
from pydantic import BaseModel

class Size(Enum):
    small = "small"
    big = "big"

class Trip(BaseModel):
    id: int
    city: str
    size: Size
    fare: float | None
    tip: Decimal
    at: datetime

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    contract=Trip,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}),
    gates=[{gates}],
)
"""
ROWS = """id,city,size,fare,tip,at
1,Oslo,small,10.5,1.50,2026-01-01T00:00:00
2,Bern,big,20,2.50,2026-01-02T00:00:00
3,Bern,big,,3.50,2026-01-03T00:00:00
4,Rome,small,40,4.50,2026-01-04T00:00:00
"""


def declare(arena: Arena, name: str, gates: str, options: str = "", rows: str | None = ROWS) -> str:
    arena.write(f"{name}.py", PIPELINE.format(name=name, gates=gates, options=options))
    if rows is not None:
        arena.write(f"{name}/a.csv", rows)
    return f"{name}.py"


@pytest.fixture(scope="module", autouse=True)
def cities(arena: Arena) -> None:
    """A table to refer to: three cities, with the tips of ROWS (12.00 in all) and an id that is nowhere else."""
    rows = ROWS.replace("4,Rome", "4,Roma")
    arena.ok("run", declare(arena, "elsewhere", "", rows=rows))


def said(arena: Arena, run: int) -> dict[str, object]:
    """What the one gate of a run said."""
    (gate,) = arena.ok("show", str(run))["gates"]
    return gate


KINDS = [
    # name, dimension, a gate that passes, one of its kind that fails, (rows judged, offending) of the latter
    ("complete", "completeness", 'rk.complete("fare", at_least=0.75)', 'rk.complete("fare")', (4, 1)),
    ("unique", "uniqueness", 'rk.unique("id")', 'rk.unique("city")', (4, 2)),
    ("unique_pair", "uniqueness", 'rk.unique("city", "id")', 'rk.unique("city", "size")', (4, 2)),
    (
        "accepted",
        "accuracy",
        'rk.accepted_values("city", ["Oslo", "Bern", "Rome"])',
        'rk.accepted_values("city", ["Oslo", "Rome"])',
        (4, 2),
    ),
    ("accepted_enum", "accuracy", 'rk.accepted_values("size", Size)', 'rk.accepted_values("size", ["big"])', (4, 2)),
    ("between", "accuracy", 'rk.between("fare", 10.5, 40)', 'rk.between("fare", 11)', (3, 1)),
    (
        "between_times",
        "accuracy",
        'rk.between("at", datetime(2026, 1, 1), datetime(2026, 1, 4))',
        'rk.between("at", high=date(2026, 1, 2))',
        (4, 2),
    ),
    (
        "between_decimals",
        "accuracy",
        'rk.between("tip", Decimal("1.50"), Decimal("4.50"))',
        'rk.between("tip", Decimal("1.51"))',
        (4, 1),
    ),
    ("matches", "accuracy", 'rk.matches("city", "^[A-Z][a-z]{3}$")', 'rk.matches("city", "^[A-Q]")', (4, 1)),
    ("references", "accuracy", 'rk.references("id", "elsewhere")', 'rk.references("city", "elsewhere")', (4, 1)),
    (
        "consistent",
        "consistency",
        'rk.consistent("tips are small", "tip < fare -- always")',
        'rk.consistent("tips are small", "tip * 7 < fare")',
        (3, 1),
    ),
    (
        "same_total",
        "consistency",
        'rk.same_total("tip", "elsewhere")',
        'rk.same_total("id", "default.elsewhere", "tip", within=0.1)',
        (None, None),
    ),
    ("volume", "volume", "rk.volume(at_least=4, at_most=4)", "rk.volume(at_least=5)", (4, None)),
    (
        "fresh",
        "freshness",
        'rk.fresh("at", within=timedelta(days=36500))',
        'rk.fresh("at", within=timedelta(seconds=1))',
        (None, None),
    ),
    (
        "sql",
        "consistency",
        'rk.sql("none twice", "SELECT id FROM {staged} GROUP BY id HAVING count() > 1;")',
        'rk.sql("no Bern", "SELECT * FROM {staged} AS s WHERE s.city = \'Bern\' -- the capital")',
        (4, 2),
    ),
    (
        "expression",
        "consistency",
        'rk.expression("tips are small", pl.col("tip").cast(pl.Float64) < pl.col("fare"))',
        'rk.expression("no Bern", (pl.col("city") != "Bern") & (pl.col("size") == "small"))',
        (4, 2),
    ),
]


@pytest.mark.in_turns("kinds of gates", 5)
@pytest.mark.parametrize(("name", "dimension", "good", "bad", "counts"), KINDS, ids=[each[0] for each in KINDS])
def test_a_kind_passes_and_fails(arena: Arena, name: str, dimension: str, good: str, bad: str, counts: tuple):
    """A gate that holds lets the run pass; one of its kind that does not holds it, with its figures on the record."""
    report = arena.ok("run", declare(arena, f"good_{name}", good))
    assert report["status"] == "published"
    assert (report["gates"][0]["status"], report["gates"][0]["dimension"]) == ("passed", dimension)
    outcome = arena.run("run", declare(arena, f"bad_{name}", bad), "--json")
    assert (outcome.status, outcome.json["status"]) == (1, "held"), outcome
    assert arena.ok("query", f"SELECT count() FROM bad_{name}")["rows"] == [[0]]
    gate = said(arena, outcome.json["run"])
    assert (gate["status"], gate["rows"], gate["offending"]) == ("failed", *counts)


def test_a_warning_is_told_and_holds_nothing_back(arena: Arena):
    """severity="warn": the run is published, the gate is on the record."""
    report = arena.ok("run", declare(arena, "warned", 'rk.complete("fare", severity="warn")'))
    assert (report["status"], report["gates"][0]["status"]) == ("published", "warned")


def test_what_cannot_be_judged_is_unknown_and_not_passed(arena: Arena):
    """Only nulls, or no rows at all: neither passed nor failed."""
    rows = "id,city,size,fare,tip,at\n1,Oslo,small,,1,2026-01-01T00:00:00\n"
    gates = 'rk.between("fare", 0), rk.against_last_run("count", within=0.5), rk.volume(within=0.1)'
    report = arena.ok("run", declare(arena, "unjudged", gates, rows=rows))
    assert [each["status"] for each in report["gates"]] == ["unknown"] * 3


def test_uniqueness_across_the_table(arena: Arena):
    """A key that the table has already fails; one whose former row this run replaces does not."""
    file = declare(arena, "across", 'rk.unique("id", across="table")')
    arena.ok("run", file)
    arena.write("across/a.csv", ROWS.replace("Oslo", "Paris"))  # a changed file: its former rows go
    assert arena.ok("run", file)["gates"][0]["status"] == "passed"
    arena.write("across/b.csv", ROWS.splitlines()[0] + "\n4,Rome,big,1,1,2026-01-01T00:00:00\n")
    outcome = arena.run("run", file, "--json")
    assert outcome.json["status"] == "held"
    assert said(arena, outcome.json["run"])["offending"] == 1


def test_duplicates_that_go_out_are_not_judged(arena: Arena):
    """What the seal takes out as a duplicate is not seen by the gates."""
    rows = ROWS + "4,Rome,small,-1,1,2026-01-01T00:00:00\n"
    gates = 'rk.unique("id"), rk.between("fare", 0), rk.expression("e", pl.col("fare") > 0)'
    options = 'key=["id"], duplicates="skip"'
    report = arena.ok("run", declare(arena, "skipped", gates, options, rows))
    assert [each["status"] for each in report["gates"]] == ["passed"] * 3
    assert report["account"]["duplicate"] == 1


def test_a_load_is_compared_with_former_ones(arena: Arena):
    """Count, mean, null share and volume are held against what was published before, not against what was held."""
    gates = (
        'rk.against_last_run("count", within=0.5), rk.against_last_run("mean", "tip", within=0.1), '
        'rk.against_last_run("null_share", "fare", within=0.1), rk.volume(within=0.5)'
    )
    file = declare(arena, "compared", gates)
    arena.ok("run", file)
    arena.write("compared/b.csv", ROWS.replace("20,", ",").replace("40,", ",").replace("4.50", "44.50"))
    outcome = arena.run("run", file, "--json")
    told = arena.ok("show", str(outcome.json["run"]))["gates"]
    assert [each["status"] for each in told] == ["passed", "failed", "failed", "passed"]
    arena.write("compared/b.csv", "\n".join(ROWS.splitlines()[:2]) + "\n")
    told = arena.ok("show", str(arena.run("run", file, "--json").json["run"]))["gates"]
    assert [told[0]["status"], told[3]["status"]] == ["failed", "failed"]


def test_a_replay_is_not_measured_as_a_load(arena: Arena):
    """The volume of a load says nothing about a few rows that were mended; gates on rows still do."""
    file = declare(
        arena, "mended", 'rk.volume(at_least=4), rk.complete("city")', rows=ROWS + "x,Rome,big,1,1,2026-01-01\n"
    )
    run = arena.ok("run", file)["run"]
    text = (arena.folder / file).read_text().replace("id: int", "id: int | str")
    arena.write(file, text.replace("id: int | str", "id: str").replace('"mended", order_by', '"mended2", order_by'))
    arena.write(file, (arena.folder / file).read_text().replace('clickhouse("mended"', 'clickhouse("mended2"'))
    report = arena.ok("quarantine", "replay", str(run))
    assert [each["gate"] for each in report["gates"]] == ["complete(city)"]


def test_a_sample_is_sealed_and_shown(arena: Arena):
    """Rows that a gate objects to are shown with their place, and lie nowhere in the clear."""
    rows = ROWS.replace("Rome", "Hidden-City-4711")
    outcome = arena.run("run", declare(arena, "sampled", 'rk.matches("city", "^[A-Z][a-z]+$")', rows=rows), "--json")
    document = arena.ok("staging", str(outcome.json["run"]))
    (sample,) = document["samples"]
    assert (sample["rows"][0]["place"], sample["rows"][0]["row"]["city"]) == (
        "sampled/a.csv, row 4",
        "Hidden-City-4711",
    )
    assert "Hidden-City" not in outcome.stderr
    for file in arena.home.rglob("*"):
        if file.is_file() and not file.is_socket():
            assert b"Hidden-City" not in file.read_bytes(), file


WRONG = [
    ('rk.complete("fair")', "complete.fair.", "did you mean fare"),
    ('rk.unique("id", "cty")', "unique.id, cty.", "did you mean city"),
    ('rk.expression("e", pl.col("fares") > 1)', "the gate e names the column fares", "did you mean fare"),
    ('rk.expression("e", pl.col("fare") + 1)', "the gate e: .*not true or false", "compare"),
    ('rk.expression("e", pl.col("city").dt.year() > 1)', "the gate e: Polars says", "correct"),
    ('rk.expression("e", pl.col("fare") > pl.col("fare").mean())', "e: .*one row at a time .Agg.", "rk.sql"),
    ('rk.expression("e", pl.col("fare").is_unique())', "one row at a time .IsUnique.", "rk.sql"),
    ('rk.expression("e", pl.col("fare").shift() > 1)', "one row at a time .Shift.", "rk.sql"),
    ('rk.expression("e", pl.col("fare").map_elements(bool))', "one row at a time", "rk.sql"),
    ('rk.consistent("c", "fare >")', "the gate c: ClickHouse says: Syntax error at", "correct"),
    ('rk.consistent("c", "fair > 1")', "the gate c: ClickHouse says: Unknown expression .*fair", "correct"),
    ('rk.matches("id", "x")', "the gate matches.id.: ClickHouse says: Illegal type", "correct"),
    ('rk.matches("city", "[")', "the gate matches.city.: ClickHouse says: .*cannot compile", "correct"),
    ('rk.between("id", "a")', "the gate between.id, a, None.: ClickHouse says", "correct"),
    ('rk.references("id", "elswhere")', "there is no table elswhere", "did you mean elsewhere"),
    ('rk.references("id", "elsewhere", "idd")', "no column idd", "did you mean id"),
    ('rk.same_total("tip", "nowhere_at_all")', "there is no table nowhere_at_all", "load it first"),
    ('rk.same_total("city", "elsewhere", "tip")', "ClickHouse says: Illegal type String", "correct"),
    ('rk.sql("q", "SELECT nope FROM {staged}")', "the gate q: ClickHouse says: Unknown expression .*nope", "correct"),
    ('rk.sql("q", "DROP TABLE {staged}")', "the gate q: ClickHouse says: Syntax error at", "correct"),
    ('rk.sql("q", "SELECT 1")', "does not look at the staged rows", "FROM .staged."),
    ('rk.fresh("id", within=timedelta(1))', "the column id is Int64, and no date or time", "events' time"),
    ('rk.complete("fare", at_least=95)', "at_least=95 is no share", "from 0 to 1"),
    ('rk.complete("fare", severity="eror")', "severity='eror' is no severity", "warn, error, critical"),
    ("rk.volume(at_least=-1)", "at_least=-1 is no number of rows", "0 or more"),
    ("rk.volume()", "asks for nothing", "at_least="),
    ('rk.between("fare", 3, 1)', "nothing lies between", "lower bound"),
    ('rk.between("fare", float("nan"))', "nan is no bound", "None"),
    ('rk.accepted_values("city", "Oslo")', "these are no values", "give a list"),
    ('rk.fresh("at", within=6)', "within=6 is no age", "timedelta"),
    ('rk.against_last_run("median", "fare", within=1)', "'median' is no measure", "count, mean, null_share"),
    ('rk.against_last_run("mean", within=1)', "mean needs a column", "within="),
    ('rk.against_last_run("mean", "fare", within=-1)', "within=-1 is no extent", "0 or more"),
    ('rk.against_last_run("mean", "city", within=1)', "ClickHouse says: Illegal type String", "correct"),
    ('"complete"', "gates is no list of quality gates", "rk.complete"),
]


@pytest.mark.in_turns("gates that cannot work", 5)
@pytest.mark.parametrize(("gate", "what", "hint"), WRONG, ids=[each[0][:48] for each in WRONG])
def test_what_cannot_work_is_refused_before_a_row_is_read(arena: Arena, gate: str, what: str, hint: str):
    """One clear error with the gate's name, a suggestion, exit status 2, and no run."""
    before = len(arena.ok("runs", "--limit", "1000")["runs"])
    outcome = arena.run("run", declare(arena, "wrong", gate))
    refused(outcome, what, hint)
    assert len(arena.ok("runs", "--limit", "1000")["runs"]) == before


def refused(outcome: Outcome, what: str, hint: str) -> None:
    assert outcome.status == 2, outcome
    text = " ".join(outcome.stderr.split())
    assert len(re.findall("^error:", outcome.stderr, re.MULTILINE)) == 1
    error, _, following = text.partition("next:")
    assert re.search(what, error), text
    assert re.search(hint, following), text
    assert "Traceback" not in text
