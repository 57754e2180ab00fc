"""No secret and no value of a row gets out, however a run fails and however much it is asked to tell."""

from __future__ import annotations

import itertools
import os
import sqlite3
import zipfile
from pathlib import Path

import pytest

from tests import extent
from tests.arena import Arena

LOUD = {"ROWKEEPER_LOG_LEVEL": "debug", "ROWKEEPER_LOG_STDERR": "json"}
SECRET = {
    "SHOP_PASSWORD": "canary-password-of-the-shop",
    "SHOP_DATABASE": "postgresql://shop:canary-in-a-url@db.example/shop",
}
ROWS = {
    "classified": "canary-name-of-a-person",
    "rejected": "canary-value-that-is-rejected",
    "header": "canary-first-row-without-header",
    "transform": "canary-that-the-transform-sees",
    "quoted": "canary-inside-a-broken-quote",
}
HEAD = """
import logging
import os
from typing import Annotated

import polars as pl
import pyarrow as pa
from pydantic import AfterValidator, BaseModel, Field

import rowkeeper as rk

logging.basicConfig(level=logging.DEBUG)


def no_canary(value: str) -> str:
    if "canary" in value:
        raise ValueError(f"{value} is refused")
    return value


class Row(BaseModel):
    id: int
    name: Annotated[str, rk.Classified("name")]
    note: Annotated[str, AfterValidator(no_canary)] | None = None


def declare(name, **more):
    return rk.Pipeline(
        name,
        source=rk.sources.files(f"{name}/*.csv"),
        contract=more.pop("contract", Row),
        destination=rk.destinations.clickhouse(name, order_by=["id"]),
        **more,
    )

"""
CLASSIFIED, REJECTED = ROWS["classified"], ROWS["rejected"]
GOOD = f"id,name,note\n1,{CLASSIFIED},\n2,Ada,{REJECTED}\n3,{CLASSIFIED},x\n"
# name: what the pipeline file declares, its file, and the exit status of the run.
FAILURES = {
    "well": ("declare('well')", GOOD, 0),
    "types": ("declare('types')", f"id,name,note\n{REJECTED},{CLASSIFIED},\n", 0),
    "header": ("declare('header')", f"{ROWS['header']},{CLASSIFIED},{REJECTED}\n1,b,c\n", 1),
    "twice": ("declare('twice')", f"{ROWS['header']},{ROWS['header']},{REJECTED}\n1,b,c\n", 1),
    "quotes": ("declare('quotes')", f'id,name,note\n1,"{ROWS["quoted"]},\n2,b,{REJECTED}\n', 1),
    "bytes": ("declare('bytes')", f"id,name,note\n1,{CLASSIFIED}\udcff,x\n", 1),
    "gate": ("declare('gate', gates=[rk.accepted_values('name', ['Ada']), rk.unique('name')])", GOOD, 1),
    "raises": (
        "def f(t):\n    raise ValueError(f'no: {t.to_pylist()}')\nraises = declare('raises', transform=f)",
        GOOD.replace("Ada", ROWS["transform"]),
        1,
    ),
    "key": (
        "def f(rows):\n    return {}[rows['name'][0].as_py()]\nkey = declare('key', transform=f)",
        GOOD,
        1,
    ),
    "cast": (
        "def f(rows):\n    return rows.set_column(0, 'id', rows['name'])\ncast = declare('cast', transform=f)",
        GOOD,
        1,
    ),
    "panic": (
        "def f(rows):\n    raise pl.exceptions.PanicException(f'no: {rows.to_pylist()}')\n"
        "panic = declare('panic', transform=f)",
        GOOD,
        1,
    ),
    "rust": (  # Polars has no type for it, and prints its panic to standard error itself
        "def f(rows):\n    pl.from_arrow(pa.table({'x': pa.array([1], pa.decimal256(60, 0))}))\n"
        "rust = declare('rust', transform=f)",
        GOOD,
        1,
    ),
    "rule": (
        "def f(value):\n    raise pl.exceptions.PanicException(value)\n"
        "rule = declare('rule', rules=[rk.rule('r', pl.col('name').map_elements(f, return_dtype=pl.Boolean))])",
        GOOD,
        1,
    ),
    "judged": (
        "judged = declare('judged', gates=[rk.expression('e', pl.col('name').str.to_integer() > 0)])",
        GOOD,
        1,
    ),
    "leaves": ("def f(rows):\n    raise SystemExit(0)\nleaves = declare('leaves', transform=f)", GOOD, 1),
    "exits": (
        "def leave(value):\n    raise SystemExit(0)\n"
        "class Exits(Row):\n    id: Annotated[int, AfterValidator(leave)]\n"
        "exits = declare('exits', contract=Exits)",
        GOOD,
        1,
    ),
    "file": ("raise RuntimeError('cannot reach ' + os.environ['SHOP_DATABASE'] + os.environ['SHOP_PASSWORD'])", "", 2),
    "model": (
        "class Access(BaseModel):\n    port: int\nAccess(port=os.environ['SHOP_PASSWORD'])",
        "",
        2,
    ),
}


def everything_told(folder: Path) -> dict[str, bytes]:
    """Each file that a person, a log collector or a thief could come by, archives and databases opened."""
    told = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".csv", ".py", ".key"):
            told[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                told |= {f"{path.name}!{name}": archive.read(name) for name in archive.namelist()}
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as ledger:
                told[f"{path.name}!dump"] = "\n".join(ledger.iterdump()).encode()
    return told


def leaks(folder: Path, canaries: dict[str, str]) -> list[str]:
    return [
        f"{kind} in {name}"
        for (kind, canary), (name, content) in itertools.product(canaries.items(), everything_told(folder).items())
        if canary.encode() in content
    ]


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    arena = Arena(tmp_path_factory.mktemp("loud"), {**LOUD, **SECRET})
    for name, (declared, content, _) in FAILURES.items():
        bound = declared if "\n" in declared or declared.startswith("raise") else f"{name} = {declared}"
        arena.write(f"{name}.py", HEAD + bound + "\n")
        arena.write(f"{name}/a.csv", content.encode(errors="surrogateescape"))
    yield arena
    arena.kill_host()


def test_nothing_gets_out_of_runs_that_fail(loud: Arena):
    """Rejected rows, broken files, transforms and pipeline files that raise with values, a disk that fails, a gate that
    refuses; at the most verbose level, with tracebacks, bundles and pages: no canary but in the sealed files.
    """
    tried = [*FAILURES] if extent.whole else extent.sample("failures", [*FAILURES], 4)
    for name in tried:
        status = FAILURES[name][2]
        quiet = loud.run("run", f"{name}.py")
        assert quiet.status == status, (name, quiet)
        assert "Traceback" not in quiet.stderr, quiet
        outcome = loud.run("run", f"{name}.py", "--debug")
        assert outcome.status == status, (name, outcome)
        assert (status == 0) == ("Traceback" not in outcome.stderr), outcome
        assert "panicked" not in quiet.stderr + outcome.stderr, (name, outcome)
    for failpoint in ("run.after_stage", "run.after_quarantine", "ledger.before_commit:prepare_run"):
        loud.write("well/a.csv", GOOD + f"4,{CLASSIFIED},{failpoint}\n")
        outcome = loud.run("run", "well.py", "--debug", "--json", failpoints=f"{failpoint}=raise")
        assert outcome.status, outcome
    for words in (("doctor",), ("runs", "--parked"), ("recover",), ("quarantine", "list"), ("explain", "well.py")):
        loud.run(*words, "--debug")
    runs = [each["run"] for each in loud.ok("runs")["runs"]]
    assert len(runs) > len(tried)
    loud.answers(
        *(("show", str(run), "--html", f"{run}.html") for run in runs), *(("bundle", str(run)) for run in runs)
    )
    key = next((loud.folder / "config").rglob("*.key")).read_text().strip()
    assert not leaks(loud.folder, {**ROWS, **SECRET, "url": "canary-in-a-url", "any": "canary", "key": key})


@pytest.mark.parametrize(
    ("name", "code"),
    [*((name, "RK-2201") for name in ("raises", "panic", "rust", "rule", "judged", "leaves")), ("exits", "RK-9001")],
)
def test_a_fault_of_the_pipelines_own_code_fails_the_run(loud: Arena, name: str, code: str):
    """Exceptions, panics and `sys.exit()` in transforms, rules and gates: the run is over, its error in the ledger."""
    assert loud.run("run", f"{name}.py").status == 1
    run = loud.ok("runs", "--pipeline", name)["runs"][0]
    assert (run["status"], run["error"]["code"]) == ("failed", code)


def test_words_that_are_of_no_panic_are_passed_on(own_arena: Arena):
    """What a program that a transform starts says on standard error is told."""
    told = "def f(rows):\n    os.system('echo from below >&2')\n    return rows\ntold = declare('told', transform=f)\n"
    own_arena.write("told.py", HEAD + told)
    own_arena.write("told/a.csv", GOOD)
    assert "from below\n" in own_arena.run("run", "told.py").stderr


def test_the_test_would_find_a_leak(tmp_path: Path):
    """Plain files, archives and ledgers are looked into."""
    (tmp_path / "log").write_text("it said canary")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log", "canary" * 100)
    with sqlite3.connect(tmp_path / "l.sqlite") as ledger:
        ledger.execute("CREATE TABLE t AS SELECT 'canary' AS a")
    found = leaks(tmp_path, {"it": "canary"})
    assert {"it in log", "it in a.zip!log", "it in l.sqlite!dump"} <= set(found)


@pytest.mark.parametrize(
    "variables",
    [
        {"ROWKEEPER_LEDGER_URL": "postgresql+nothing://u:canary-ledger@h/db"},
        {"ROWKEEPER_LEDGER_URL": "canary-ledger that is no url"},
        {"ROWKEEPER_LEDGER_URL": "sqlite:////nowhere/canary-ledger/at/all?password=canary-ledger"},
        {"ROWKEEPER_BATCH_ROWS": "canary-ledger"},
        {"ROWKEEPER_LOG_LEVEL": "canary-ledger"},
    ],
)
def test_a_wrong_setting_is_not_quoted(own_arena: Arena, variables: dict[str, str]):
    """The setting is named, and its value is not told, with --debug either."""
    outcome = own_arena.run("runs", "--debug", "--json", env={**LOUD, **variables})
    assert outcome.status in (1, 2), outcome
    assert "Traceback" in outcome.stderr
    assert not leaks(own_arena.folder, {"it": "canary"})


def test_typed_sql_is_not_logged(loud: Arena):
    """ClickHouse's words about it, which whoever typed it gets to read, stay out of the log."""
    loud.run("run", "well.py")
    loud.run("query", "SELECT toUInt8(name), 'canary-typed' FROM well", "--debug")
    assert not [
        name for name in os.listdir(loud.home / "logs") if b"canary" in (loud.home / "logs" / name).read_bytes()
    ]
