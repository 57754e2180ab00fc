"""Runs, kills, changed files, rollbacks and replays in any order: the equation and the table hold after each step."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import extent
from tests.arena import KILLED, Arena

PIPELINE = """
from typing import Annotated
import rowkeeper as rk
from pydantic import BaseModel, Field

class Item(BaseModel):
    id: int
    price: Annotated[int, Field(ge={lowest})]

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    contract=Item,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
)
"""
KILLS = [
    "run.after_start",
    "run.after_stage",
    "run.after_quarantine",
    "ledger.after_commit:note_batch",
    "run.after_seal",
    "run.after_prepare",
    "publish.after_attach",
    "publish.before_exchange",
    "publish.after_exchange",
    "publish.after_undo",
    "run.after_publish",
    "ledger.before_commit:record_published",
    "ledger.after_commit:record_published",
]
rows = st.lists(st.tuples(st.integers(0, 50), st.integers(-3, 5)), min_size=1, max_size=6)
names = itertools.count()


class Model(RuleBasedStateMachine):
    """The model: which version of which file is in the table, and which rejected rows were replayed."""

    arena: Arena

    @initialize()
    def begin(self) -> None:
        self.name = f"machine_{next(names)}"
        self.files: dict[str, list[tuple[int, int]]] = {}  # as they lie in the folder
        self.runs: list[tuple[int, dict[str, list[tuple[int, int]]]]] = []  # published: number, what it brought
        self.table: dict[tuple[int, str], list[tuple[int, int]]] = {}  # rows by (run, file)
        self.loaded: dict[str, list[tuple[int, int]]] = {}
        self.unseen = False  # something was run, and its table has not been looked at
        self._write(lowest=0)
        self._put("a", [(1, 1), (2, -1)])

    def _write(self, lowest: int) -> None:
        self.arena.write(f"{self.name}.py", PIPELINE.format(name=self.name, lowest=lowest))

    def _put(self, file: str, content: list[tuple[int, int]]) -> None:
        self.files[file] = content
        lines = "".join(f"{key},{price}\n" for key, price in content)
        self.arena.write(f"{self.name}/{file}.csv", "id,price\n" + lines)

    def _run(self, *failpoint: str) -> int:
        self.unseen = True
        return self.arena.run("run", f"{self.name}.py", failpoints=f"{failpoint[0]}=kill" if failpoint else "").status

    def _book(self) -> None:
        """What a run that came through must have done."""
        new = {file: content for file, content in self.files.items() if self.loaded.get(file) != content}
        if not new:
            return
        number = self._last()["run"]
        for file, content in new.items():
            for key in [key for key in self.table if key[1] == file]:
                del self.table[key]
            self.table[number, file] = [row for row in content if row[1] >= 0]
            self.loaded[file] = content
        self.runs.append((number, new))

    def _last(self) -> dict[str, Any]:
        runs = self.arena.ok("runs", "--pipeline", self.name)["runs"]
        return next(run for run in runs if run["status"] == "published")

    @rule(file=st.sampled_from("abc"), content=rows)
    def put_a_file(self, file: str, content: list[tuple[int, int]]) -> None:
        self._put(file, content)

    @rule()
    def run(self) -> None:
        assert self._run() == 0
        self._book()

    @rule(points=st.lists(st.sampled_from(KILLS), min_size=1, max_size=3))
    def run_and_die(self, points: list[str]) -> None:
        for point in points:
            assert self._run(point) in (0, KILLED)
        assert self._run() == 0
        self._book()

    @precondition(lambda self: self.runs)
    @rule(point=st.one_of(st.none(), st.sampled_from(KILLS)))
    def take_the_last_back(self, point: str | None) -> None:
        number, brought = self.runs[-1]
        self.unseen = True
        if point is not None:
            self.arena.run("rollback", str(number), failpoints=f"{point}=kill")
        outcome = self.arena.run("rollback", str(number))
        if outcome.status:
            assert "taken back before" in outcome.stderr or "replaced rows" in outcome.stderr, outcome
        if outcome.status and "replaced rows" in outcome.stderr:
            return
        self.runs.pop()
        self._undo(number, brought)

    def _undo(self, number: int, brought: dict[str, list[tuple[int, int]]]) -> None:
        for file in brought:
            self.table.pop((number, file), None)
            before = [(run, what[file]) for run, what in self.runs if file in what]
            if before:
                run, content = before[-1]
                self.table[run, file] = [row for row in content if row[1] >= 0]
                self.loaded[file] = content
            else:
                self.loaded.pop(file, None)

    @invariant()
    def the_table_is_the_models(self) -> None:
        if not hasattr(self, "name") or not self.runs or not self.unseen:
            return
        self.unseen = False
        table, verified, shown = self.arena.answers(
            ("query", f"SELECT * FROM {self.name} ORDER BY ALL"),
            ("verify", f"{self.name}.py"),
            ("runs", "--pipeline", self.name),
        )
        assert table["rows"] == sorted(list(row) for content in self.table.values() for row in content)
        assert verified["sound"]
        for run in shown["runs"]:
            account = run["account"]
            assert account["read"] == sum(account.values()) - account["read"]


def test_runs_kills_changes_and_rollbacks_in_any_order(arena: Arena):
    """Whatever the order, the table holds what the model says, the books agree, and every account balances."""
    arena.ok("query", "SELECT 1")
    Model.arena = arena
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        seed(extent.chance("runs in any order").random())(Model),
        settings=settings(
            max_examples=extent.examples(3, 30),
            stateful_step_count=8,
            deadline=None,
            database=None,
            suppress_health_check=checks,
        ),
    )
