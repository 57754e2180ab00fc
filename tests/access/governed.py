"""What is done on behalf of somebody who may do nothing, and what that leaves behind."""

from __future__ import annotations

import ast
import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import rowkeeper
from rowkeeper.access.administering import Administration
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.errors import AccessDenied, RevealRefused, TableRefused
from rowkeeper.ledger.grants import ANY, Gives, NewGrant, To
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import Timing
from rowkeeper.settings import Settings
from tests.arena import Arena

NOBODY = Caller(CallerKind.USER, "nobody", address="192.0.2.9", session="s9")
SOURCE = Path(rowkeeper.__file__).parent
REFUSALS = (AccessDenied, RevealRefused, TableRefused)
PIPELINES = """
from typing import Annotated
from pydantic import BaseModel, Field
import rowkeeper as rk

class Row(BaseModel):
    id: int = Field(gt=0)
    ref: Annotated[str, rk.Classified("pii.ref"), rk.EncryptJoinable()]

def pipeline(name, **more):
    return rk.Pipeline(
        name,
        source=rk.sources.files("rows/*.csv"),
        contract=Row,
        destination=rk.destinations.clickhouse(name, order_by=["id"]),
        **more,
    )

flights = pipeline("flights", schedule="every 1h")
gated = pipeline("gated", gates=[rk.volume(at_least=100)])
"""

EXPECTED = """
[[expect]]
who = "user:ann"
action = "run.show"
on = "run:flights/1"
answer = "allow"
"""


def furnish(arena: Arena) -> None:
    """Run 1 of `flights`, published with a rejected row; run 2 of `gated`, held; a schedule, an account."""
    arena.env["ROWKEEPER_EGRESS"] = "off"  # as in this process: other settings would be an entry of their own
    arena.write("p.py", PIPELINES)
    arena.write("expected.toml", EXPECTED)
    arena.write("rows/a.csv", "id,ref\n1,one\n2,two\n-3,secret\n")
    published, held = arena.together(("run", "p.py:flights", "--json"), ("run", "p.py:gated", "--json"))
    assert (published.status, held.status) == (0, 1), (published, held)
    with opened(arena) as space:
        administration = Administration(space.access, space.ledger)
        administration.add_user("ann", CallerKind.USER, frozenset({"viewer"}))
        runs_all = NewGrant(To.ROLE, "loader", Gives.ACTION, "pipeline.run", ANY, ANY)
        administration.add_role("loader", "loads", (runs_all,))
        space.ledger.schedules.declare("flights", str(arena.folder / "p.py"), Timing("every 1h"))


def opened(arena: Arena) -> Any:
    """The workspace of an arena, in this process."""
    return Workspace.open(Settings(home=arena.home, egress="off"))


@contextmanager
def unwritable(home: Path) -> Iterator[None]:
    """In the block the trail's head is forged: nobody can add an entry to it."""
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        ((honest,),) = database.execute("SELECT checkpoint FROM audit_head").fetchall()
        database.execute("UPDATE audit_head SET checkpoint = 'forged'")
        database.commit()
        try:
            yield
        finally:
            database.execute("UPDATE audit_head SET checkpoint = ?", (honest,))
            database.commit()


@dataclasses.dataclass(frozen=True)
class Left:
    """What an attempt left: audit entries, and everything else that an installation holds."""

    entries: tuple[tuple[str, str, str | None], ...]
    state: object


def left(arena: Arena) -> Left:
    """The action, the outcome and the person of each entry; other tables row by row; other files by size and time."""
    tables: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(arena.home / "ledger.sqlite")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(names):
            if not name.startswith(("audit_", "sqlite_")):
                tables[name] = sorted(map(repr, database.execute(f"SELECT * FROM {name}")))
        people = dict(database.execute("SELECT id, name FROM audit_people"))
        stored = database.execute("SELECT entry FROM audit_entries ORDER BY number")
        found = [json.loads(entry) for (entry,) in stored]
    files = {
        str(path.relative_to(arena.folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(arena.folder.rglob("*"))
        if path.is_file() and not _moves_by_itself(path.relative_to(arena.folder))
    }
    entries = tuple((each["action"], each["outcome"], people.get(each["who"])) for each in found)
    return Left(entries, (tables, files))


def _moves_by_itself(path: Path) -> bool:
    """The ledger and the log, which are looked at otherwise; the engine, which may be up; what the tests write."""
    first, second = path.parts[0], path.parts[1] if len(path.parts) > 1 else ""
    return first in (".output", "__pycache__") or second.startswith(("ledger", "audit", "engine", "log", "logs"))


@dataclasses.dataclass(frozen=True)
class Public:
    """A function of `runs/` or `operations/` that works on a workspace."""

    module: str
    name: str


def public_functions() -> Iterator[Public]:
    """Every one that could be called by a door."""
    for room in ("runs", "operations"):
        for path in sorted((SOURCE / room).rglob("*.py")):
            module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _takes_workspace(node):
                    yield Public(module, node.name)


def _takes_workspace(node: ast.FunctionDef) -> bool:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    kinds = {"Workspace", "Certificates"}
    return any(each.annotation is not None and ast.unparse(each.annotation) in kinds for each in arguments)


def doors() -> Iterator[tuple[Path, ast.Module]]:
    """The files of the rooms above `operations/`."""
    for room in ("cli", "web", "server", "api"):
        for path in sorted((SOURCE / room).rglob("*.py")):
            yield path.relative_to(SOURCE), ast.parse(path.read_text())
