"""The documentation is tested: its examples run, and its reference is of today."""

from __future__ import annotations

import shlex

import pytest
from tools.reference import TARGET, reference

import rowkeeper as rk
from rowkeeper.cli.commands import main as door
from rowkeeper.pipeline import select
from tests.arena import Arena
from tests.docs.examples import ROOT, blocks, run_after_readme


def test_the_reference_is_of_today():
    """docs/reference.md is what the code says: python tools/reference.py writes it."""
    assert TARGET.read_text() == reference()


def test_the_readme_pipeline_runs(own_arena: Arena):
    """The README's example, as it stands, loads rows and rejects a bad one."""
    example = next(text for kind, _, text in blocks("README.md") if kind == "python")
    own_arena.write("orders.py", example)
    own_arena.write("orders/a.csv", "id,customer,placed,amount\n1,Ada,2026-01-05,120.5\n2,Grace,2026-01-05,-1\n")
    account = own_arena.ok("run", "orders.py")["account"]
    assert (account["committed"], account["quarantined"]) == (1, 1)


def test_the_tutorial_runs(own_arena: Arena):
    """Its files and commands, in order, do what it says."""
    for kind, name, text in blocks("docs/tutorial.md"):
        if name:
            own_arena.write(name, text)
        elif "replay" in text:
            shop = own_arena.folder / "shop.py"
            shop.write_text(shop.read_text().replace("Annotated[float, Field(gt=0)]", "float"))
        if kind == "console":
            for line in text.splitlines():
                outcome = own_arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
                assert outcome.status == 0, (line, outcome)
    accounts = {run["kind"]: run["account"] for run in own_arena.ok("runs")["runs"] if run["account"]["read"]}
    assert accounts["load"]["committed"] == 3
    assert accounts["load"]["quarantined"] == 1
    assert accounts["replay"]["committed"] == 1


@pytest.mark.parametrize("number", range(len(blocks("docs/how-to.md"))))
def test_the_how_tos_are_valid(number: int, monkeypatch: pytest.MonkeyPatch):
    """Each snippet runs, with the README's contract and a source and destination where it has `...`."""
    _, _, text = blocks("docs/how-to.md")[number]
    if "rk.Workspace.open" in text:
        pytest.skip("run as a program by the test of the library's door")
    text = text.replace("source=...", 'source=rk.sources.files("a.csv")')
    text = text.replace("destination=...", 'destination=rk.destinations.clickhouse("t", order_by=["id"])')
    run_after_readme(text, monkeypatch)


def test_every_command_is_in_the_readme_or_the_reference():
    """No command without a line about it."""
    page = TARGET.read_text()
    for name in door.commands:
        assert f"rowkeeper {name}" in page


def test_every_setting_is_described():
    """No setting without a sentence."""
    assert all(field.description for field in rk.Settings.model_fields.values())


def test_the_flights_of_the_demo(own_arena: Arena):
    """The figures that the README prints are those of the real data."""
    document = own_arena.ok("run", str(ROOT / "examples" / "flights.py"))
    accounts = {run["pipeline"]: run["account"] for run in document["runs"]}
    assert accounts["flights"] == {
        "read": 336_776,
        "committed": 334_264,
        "quarantined": 2_512,
        "duplicate": 0,
        "filtered": 0,
    }
    again = own_arena.ok("run", str(ROOT / "examples" / "flights.py") + ":flights")
    assert (again["status"], again["account"]["committed"]) == ("unchanged", 0)
    assert "loaded before" in again["notes"][0]


def test_the_library_door(own_arena: Arena):
    """A pipeline can be run from a program."""
    own_arena.write("t/a.csv", "id,customer,placed,amount\n1,Ada,2026-01-05,120.5\n")
    example = next(text for kind, _, text in blocks("README.md") if kind == "python")
    file = own_arena.write("orders.py", example.replace("orders/*.csv", "t/*.csv"))
    settings = rk.Settings(home=own_arena.home, key_file=own_arena.folder / "the.key", engine_idle_seconds=5)
    with rk.Workspace.open(settings) as workspace:
        report = rk.run(select(file, "orders")[0], workspace)
    assert report.account == rk.Account(read=1, committed=1)


def test_the_pipelines_of_the_page_of_schedules(own_arena: Arena):
    """They are read, and due as the page says."""
    (_, name, text), *_ = blocks("docs/schedules.md")
    own_arena.write(name, text)
    found = {each["pipeline"]: each["timing"] for each in own_arena.ok("schedule", "list", name)["pipelines"]}
    assert (found["orders"]["catch_up"], found["totals"]["after"]) == ("all", ["orders"])
