"""Small pipelines that reach every step of a run's life, and what they leave behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from tests.arena import Arena

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
        before: brings the arena to the state before the command.
        command: the words of the command, given the pipeline's name.
        gates: of the pipeline.
        status: with which the command ends when nothing disturbs it.
        again: with which it may end if it is run once more after it was done.
        every: `make test` tries each n-th failpoint: most are those of another scenario. Steps of the gates always are.
    """

    name: str
    options: str
    before: Callable[[Arena, str], None]
    command: Callable[[Arena, str], tuple[str, ...]] = lambda _, name: ("run", f"{name}.py")
    gates: str = ""
    on_error: str = "stop"
    status: int = 0
    again: int = 0
    every: int = 1


def last_run(arena: Arena, name: str) -> str:
    """The number of the last run of this pipeline that published rows."""
    return next(str(each["run"]) for each in _shown(arena, name) if each["kind"] != "rollback")


def _fresh(arena: Arena, name: str) -> None:
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.write(f"{name}/b.csv", trips(40, 40))


def _many_files(arena: Arena, name: str) -> None:
    """Three inserts, of the rows of two files, of two more, and of one."""
    for number in range(5):
        arena.write(f"{name}/{number}.csv", trips(number * 16, 16))


def _second(arena: Arena, name: str) -> None:
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.ok("run", f"{name}.py")
    arena.write(f"{name}/b.csv", trips(30, 40, fare=2.5))


def _damaged(arena: Arena, name: str) -> None:
    """Of three files one is new and one has changed, both with a fault at their end, after rows that were staged."""
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.ok("run", f"{name}.py")
    arena.write(f"{name}/a.csv", trips(0, 50, fare=2.5) + '"')
    arena.write(f"{name}/b.csv", trips(50, 40) + '"')
    arena.write(f"{name}/c.csv", trips(90, 40))


def _changed(arena: Arena, name: str) -> None:
    _second(arena, name)
    arena.ok("run", f"{name}.py")
    arena.write(f"{name}/a.csv", trips(0, 45))


def _loaded_twice(arena: Arena, name: str) -> None:
    _second(arena, name)
    arena.ok("run", f"{name}.py")


def _mended(arena: Arena, name: str) -> None:
    _second(arena, name)
    arena.ok("run", f"{name}.py")
    text = (arena.folder / f"{name}.py").read_text()
    arena.write(f"{name}.py", text.replace("Annotated[float, Field(ge=0)]", "float"))


def _rows_mended(arena: Arena, name: str) -> None:
    """Of the rejected rows the first is still bad and the last is left out; the others are mended."""
    _second(arena, name)
    arena.ok("run", f"{name}.py")
    arena.ok("quarantine", "export", last_run(arena, name), "--to", f"{name}.rejected")
    lines = [json.loads(line) for line in (arena.folder / f"{name}.rejected").read_text().splitlines()]
    for line in lines[1:]:
        line["row"]["fare"] = "5"
    arena.write(f"{name}.mended", "".join(json.dumps(line) + "\n" for line in lines[:-1]))


def _rollback(arena: Arena, name: str) -> tuple[str, ...]:
    return ("rollback", last_run(arena, name))


def _replay(arena: Arena, name: str) -> tuple[str, ...]:
    return ("quarantine", "replay", last_run(arena, name))


def _replay_mended(arena: Arena, name: str) -> tuple[str, ...]:
    return ("quarantine", "replay", last_run(arena, name), "--from", f"{name}.mended")


def _held(arena: Arena, name: str) -> None:
    _second(arena, name)
    assert arena.run("run", f"{name}.py").status == 1


def _held_and_loosened(arena: Arena, name: str) -> None:
    _held(arena, name)
    text = (arena.folder / f"{name}.py").read_text()
    arena.write(f"{name}.py", text.replace("at_least=1.0", "at_least=0.01"))


def _published_against_gates(arena: Arena, name: str) -> tuple[str, ...]:
    return ("publish", last_run(arena, name), "--override", "the city is known to be wrong")


def _discard(arena: Arena, name: str) -> tuple[str, ...]:
    return ("staging", last_run(arena, name), "--discard")


PASSING = 'rk.unique("id", across="table"), rk.between("fare", 0), rk.expression("e", pl.col("fare") > 0)'
FAILING = (
    'rk.complete("fare"), rk.between("fare", 0, 45, at_least=1.0, severity="error")'  # the second load goes beyond
)

SCENARIOS = [
    Scenario("first_load", "", _fresh),
    Scenario("many_files", "", _many_files, every=2),
    Scenario("in_part", "", _damaged, on_error="continue", status=3, again=1, every=2),
    Scenario("rollback", "", _loaded_twice, _rollback),
    Scenario("replay", "", _mended, _replay),
    Scenario("replay_mended", "", _rows_mended, _replay_mended, every=2),
    Scenario("changed_file", "", _changed),
    Scenario("merge", 'write="merge", key=["id"]', _second, every=2),
    Scenario("replace", 'write="replace"', _second, every=3),
    Scenario("skip_duplicates", 'key=["id"], duplicates="skip"', _second, every=3),
    Scenario("quarantine_duplicates", 'key=["id"], duplicates="quarantine"', _second, gates=PASSING, every=2),
    Scenario("held", 'key=["id"], duplicates="quarantine"', _second, gates=FAILING, status=1, every=3),
    Scenario("held_and_loosened", 'key=["id"], duplicates="skip"', _held_and_loosened, gates=FAILING, every=4),
    Scenario(
        "override", 'key=["id"], duplicates="quarantine"', _held, _published_against_gates, gates=FAILING, every=2
    ),
    Scenario("discard", "", _held, _discard, gates=FAILING),
]


def prepare(arena: Arena, scenario: Scenario, name: str) -> tuple[str, ...]:
    """Brings the arena to the state before the command, and returns the command."""
    arena.write(
        f"{name}.py",
        PIPELINE.format(name=name, options=scenario.options, gates=scenario.gates, on_error=scenario.on_error),
    )
    scenario.before(arena, name)
    return scenario.command(arena, name)


def left_behind(arena: Arena, name: str) -> dict[str, Any]:
    """Destination, ledger and quarantine, without what may differ: run numbers, times, addresses."""
    shown, rows, verified = arena.answers(
        ("runs", "--pipeline", name, "--limit", "1000"),
        ("query", f"SELECT * FROM {name} ORDER BY ALL"),
        ("verify", f"{name}.py"),
    )
    published = [each for each in shown["runs"] if each["status"] == "published"]
    assert not [each for each in shown["runs"] if each["status"] in ("staging", "prepared", "interrupted")]
    quarantine = arena.answers(*(("quarantine", "show", str(run["run"]), "--limit", "1000") for run in published))
    return {
        "rows": rows["rows"],
        "accounts": sorted(_account(each) for each in published),
        "quarantine": sorted(
            (row["place"].replace(name, "NAME"), str(row["errors"]), str(row.get("row", row.get("text"))))
            for answer in quarantine
            for row in answer["rows"]
        ),
        "held": sorted(_held_run(arena, each) for each in _shown(arena, name) if each["status"] == "held"),
        "gates": sorted(str(_said(arena.ok("show", str(each["run"])))) for each in published),
        "sound": verified["sound"],
    }


def _shown(arena: Arena, name: str) -> list[dict[str, Any]]:
    return arena.ok("runs", "--pipeline", name, "--limit", "1000")["runs"]


def _held_run(arena: Arena, run: dict[str, Any]) -> str:
    staged = arena.ok("staging", str(run["run"]), "--sql", "SELECT * FROM {staged} ORDER BY id")
    return str((staged["read"], staged["staged"], staged["quarantined"], _said(staged), staged["rows"]))


def _said(document: dict[str, Any]) -> list[Any]:
    override = document.get("override")
    return [*((each["gate"], each["told"]) for each in document["gates"]), override and override["reason"]]


def _account(run: dict[str, Any]) -> str:
    return str((run["kind"], run["account"], run["fingerprint"]))
