"""Small pipelines that reach every step of a run's life, and what they leave behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator
from typing import Any

from tests.arena import Arena, Outcome

Command = tuple[str, ...]
# Lays out files, yields the commands that lead to the state to start from and is sent how they ended, and returns the
# command under test.
Steps = Generator[Command, Outcome, Command]

PIPELINE = """
import polars as pl
import rowkeeper as rk
from pydantic import BaseModel, Field
from typing import Annotated

class Trip(BaseModel):
    id: int
    city: str
    fare: Annotated[float, Field(ge=0)]

def dear(rows):
    import pyarrow.compute as pc
    return rows.filter(pc.not_equal(rows["city"], "free"))

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    on_error="{on_error}",
    contract=Trip,
    transform=dear,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}),
    gates=[{gates}],
)
"""


def trips(first: int, count: int, *, every_bad: int = 7, fare: float = 1.5) -> str:
    """A CSV with a bad row now and then, and one in five that the transform filters out."""
    lines = ["id,city,fare"]
    for number in range(first, first + count):
        city = "free" if number % 5 == 0 else ("Oslo", "Bern", "Rome")[number % 3]
        lines.append(f"{number},{city},{-1 if number % every_bad == 0 else fare + number}")
    return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A state to start from, and the command under test.

    Attributes:
        options: of the destination.
        steps: to the state before the command, and the command, given the pipeline's name.
        gates: of the pipeline.
        status: with which the command ends when nothing disturbs it.
        again: with which it may end if it is run once more after it was done.
        tries: at how many of its failpoints `make test` kills it, others each time; `make torture` at each of them.
    """

    name: str
    options: str
    steps: Callable[[Arena, str], Steps]
    gates: str = ""
    on_error: str = "stop"
    status: int = 0
    again: int = 0
    tries: int = 3


def _run(name: str) -> Command:
    return ("run", f"{name}.py", "--json")


def _ran(name: str, status: int = 0) -> Generator[Command, Outcome, str]:
    """Runs the pipeline, and returns the number of the run."""
    outcome = yield _run(name)
    assert outcome.status == status, outcome
    return str(outcome.json["run"])


def _fresh(arena: Arena, name: str) -> Steps:
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.write(f"{name}/b.csv", trips(40, 40))
    yield from ()
    return _run(name)


def _many_files(arena: Arena, name: str) -> Steps:
    """Three inserts, of the rows of two files, of two more, and of one."""
    for number in range(5):
        arena.write(f"{name}/{number}.csv", trips(number * 16, 16))
    yield from ()
    return _run(name)


def _second(arena: Arena, name: str) -> Steps:
    arena.write(f"{name}/a.csv", trips(0, 40))
    yield from _ran(name)
    arena.write(f"{name}/b.csv", trips(30, 40, fare=2.5))
    return _run(name)


def _damaged(arena: Arena, name: str) -> Steps:
    """Of three files one is new and one has changed, both with a fault at their end, after rows that were staged."""
    arena.write(f"{name}/a.csv", trips(0, 40))
    yield from _ran(name)
    arena.write(f"{name}/a.csv", trips(0, 50, fare=2.5) + '"')
    arena.write(f"{name}/b.csv", trips(50, 40) + '"')
    arena.write(f"{name}/c.csv", trips(90, 40))
    return _run(name)


def _changed(arena: Arena, name: str) -> Steps:
    yield from _second(arena, name)
    yield from _ran(name)
    arena.write(f"{name}/a.csv", trips(0, 45))
    return _run(name)


def _rollback(arena: Arena, name: str) -> Steps:
    yield from _second(arena, name)
    return ("rollback", (yield from _ran(name)))


def _replay(arena: Arena, name: str) -> Steps:
    """The contract is mended meanwhile."""
    yield from _second(arena, name)
    run = yield from _ran(name)
    text = (arena.folder / f"{name}.py").read_text()
    arena.write(f"{name}.py", text.replace("Annotated[float, Field(ge=0)]", "float"))
    return ("quarantine", "replay", run)


def _rows_mended(arena: Arena, name: str) -> Steps:
    """Of the rejected rows the first is still bad and the last is left out; the others are mended."""
    yield from _second(arena, name)
    run = yield from _ran(name)
    yield ("quarantine", "export", run, "--to", f"{name}.rejected")
    lines = [json.loads(line) for line in (arena.folder / f"{name}.rejected").read_text().splitlines()]
    for line in lines[1:]:
        line["row"]["fare"] = "5"
    arena.write(f"{name}.mended", "".join(json.dumps(line) + "\n" for line in lines[:-1]))
    return ("quarantine", "replay", run, "--from", f"{name}.mended")


def _held_and_loosened(arena: Arena, name: str) -> Steps:
    yield from _second(arena, name)
    yield from _ran(name, status=1)
    text = (arena.folder / f"{name}.py").read_text()
    arena.write(f"{name}.py", text.replace("at_least=1.0", "at_least=0.01"))
    return _run(name)


def _published_against_gates(arena: Arena, name: str) -> Steps:
    yield from _second(arena, name)
    held = yield from _ran(name, status=1)
    return ("publish", held, "--override", "the city is known to be wrong")


def _discard(arena: Arena, name: str) -> Steps:
    yield from _second(arena, name)
    held = yield from _ran(name, status=1)
    return ("staging", held, "--discard")


PASSING = 'rk.unique("id", across="table"), rk.between("fare", 0), rk.expression("e", pl.col("fare") > 0)'
FAILING = (
    'rk.complete("fare"), rk.between("fare", 0, 45, at_least=1.0, severity="error")'  # the second load goes beyond
)

SCENARIOS = [
    Scenario("first_load", "", _fresh, tries=6),
    Scenario("many_files", "", _many_files),
    Scenario("in_part", "", _damaged, on_error="continue", status=3, again=1),
    Scenario("rollback", "", _rollback),
    Scenario("replay", "", _replay),
    Scenario("replay_mended", "", _rows_mended),
    Scenario("changed_file", "", _changed),
    Scenario("merge", 'write="merge", key=["id"]', _second),
    Scenario("replace", 'write="replace"', _second),
    Scenario("skip_duplicates", 'key=["id"], duplicates="skip"', _second),
    Scenario("quarantine_duplicates", 'key=["id"], duplicates="quarantine"', _second, gates=PASSING),
    Scenario("held", 'key=["id"], duplicates="quarantine"', _second, gates=FAILING, status=1),
    Scenario("held_and_loosened", 'key=["id"], duplicates="skip"', _held_and_loosened, gates=FAILING),
    Scenario("override", 'key=["id"], duplicates="quarantine"', _published_against_gates, gates=FAILING),
    Scenario("discard", "", _discard, gates=FAILING),
]


def prepare(arena: Arena, scenario: Scenario, name: str) -> Command:
    """Brings the arena to the state before the command, and returns the command."""
    return prepare_all(arena, scenario, [name])[name]


def prepare_all(arena: Arena, scenario: Scenario, names: list[str]) -> dict[str, Command]:
    """The same for a pipeline of each name: step by step, each step for all of them in one process."""
    under_way, outcomes, commands = {}, {}, {}
    for name in names:
        arena.write(
            f"{name}.py",
            PIPELINE.format(name=name, options=scenario.options, gates=scenario.gates, on_error=scenario.on_error),
        )
        under_way[name] = scenario.steps(arena, name)
    while under_way:
        asked: dict[str, Command] = {}
        for name, steps in under_way.items():
            try:
                asked[name] = steps.send(outcomes.get(name))
            except StopIteration as end:
                commands[name] = end.value
        under_way = {name: under_way[name] for name in asked}
        outcomes = dict(zip(asked, arena.together(*asked.values()), strict=True))
    return commands


def left_behind(arena: Arena, name: str) -> dict[str, Any]:
    """Destination, ledger and quarantine, without what may differ: run numbers, times, addresses."""
    return all_left_behind(arena, [name])[name]


def all_left_behind(arena: Arena, names: list[str]) -> dict[str, dict[str, Any]]:
    """The same by pipeline, of each name: asked in two processes, however many there are."""
    tables = _asked(arena, {(name, what): words for name in names for what, words in _of_pipeline(name).items()})
    runs = {name: tables[name, "runs"]["runs"] for name in names}
    questions = {(run["run"], what): words for name in names for run in runs[name] for what, words in _of_run(run)}
    answers = _asked(arena, questions)
    return {
        name: {
            "rows": tables[name, "rows"]["rows"],
            "sound": tables[name, "verify"]["sound"],
            **_booked(name, runs[name], answers),
        }
        for name in names
    }


Answers = dict[tuple[Any, str], Any]


def _asked(arena: Arena, questions: dict[tuple[Any, str], Command]) -> Answers:
    return dict(zip(questions, arena.answers(*questions.values()), strict=True))


def _of_pipeline(name: str) -> dict[str, Command]:
    return {
        "runs": ("runs", "--pipeline", name, "--limit", "1000"),
        "rows": ("query", f"SELECT * FROM {name} ORDER BY ALL"),
        "verify": ("verify", f"{name}.py"),
    }


def _of_run(run: dict[str, Any]) -> list[tuple[str, Command]]:
    number = str(run["run"])
    if run["status"] == "published":
        return [("show", ("show", number)), ("quarantine", ("quarantine", "show", number, "--limit", "1000"))]
    if run["status"] == "held":
        return [("staging", ("staging", number, "--sql", "SELECT * FROM {staged} ORDER BY id"))]
    return []


def _booked(name: str, runs: list[dict[str, Any]], answers: Answers) -> dict[str, Any]:
    """What the ledger and the quarantine say of one pipeline's runs."""
    assert not [each for each in runs if each["status"] in ("staging", "prepared", "interrupted")], runs
    published = [each for each in runs if each["status"] == "published"]
    held = [each["run"] for each in runs if each["status"] == "held"]
    return {
        "accounts": sorted(_account(each) for each in published),
        "quarantine": sorted(
            (row["place"].replace(name, "NAME"), str(row["errors"]), str(row.get("row", row.get("text"))))
            for each in published
            for row in answers[each["run"], "quarantine"]["rows"]
        ),
        "held": sorted(_held_run(answers[number, "staging"]) for number in held),
        "gates": sorted(str(_said(answers[each["run"], "show"])) for each in published),
    }


def _held_run(staged: dict[str, Any]) -> str:
    return str((staged["read"], staged["staged"], staged["quarantined"], _said(staged), staged["rows"]))


def _said(document: dict[str, Any]) -> list[Any]:
    override = document.get("override")
    return [*((each["gate"], each["told"]) for each in document["gates"]), override and override["reason"]]


def _account(run: dict[str, Any]) -> str:
    return str((run["kind"], run["account"], run["fingerprint"]))
