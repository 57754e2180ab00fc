"""What every source must keep, whoever wrote it: tests to inherit from.

A rig brings a real source (a server that was started, a folder) and says what a pipeline file has to declare for it.
Each test runs pipelines in processes of their own, into the embedded ClickHouse, and looks at what is left behind: the
table, the account, the quarantine. pytest is not imported here; it finds the tests in the class that inherits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rowkeeper.testing.points import Choosing, chosen_points
from rowkeeper.testing.running import KILLED, Ended, Runner

Row = Mapping[str, Any]

PIPELINE = """
import decimal
from typing import Annotated

import rowkeeper as rk
from pydantic import BaseModel, Field

class Row(BaseModel):
    id: int
    name: str | None = None
    amount: Annotated[decimal.Decimal, Field(max_digits=30, decimal_places=6)] | None = None

{name} = rk.Pipeline(
    "{name}",
    source={source},
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
)
"""
ACCOUNT = ("read", "committed", "quarantined", "duplicate", "filtered")
LARGE_ROWS = 10_000


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that is wrong with the other side.

    Attributes:
        name: for people, such as `wrong credentials`.
        during: a context in which it is wrong.
        codes: of the errors that may tell it; empty if the run has to end well in spite of it.
    """

    name: str
    during: AbstractContextManager[Any]
    codes: tuple[str, ...] = ()


class SourceRig(Protocol):
    """A source to be tested, with something in it that can be changed."""

    @property
    def runner(self) -> Runner:
        """Runs the commands."""
        ...

    def declare(self) -> str:
        """A Python expression for the source, in which `rk` is Rowkeeper: `rk.sources.files("in/*.csv")`."""
        ...

    def offer(self, rows: Sequence[Row]) -> None:
        """Makes these rows all that the source has. A row has `id` (int), `name` and `amount` (texts, or None)."""
        ...

    def add(self, rows: Sequence[Row]) -> None:
        """Makes the source have these rows beside those that it has, with higher ids."""
        ...

    def faults(self) -> Sequence[Fault]:
        """What can go wrong on the way to it, beyond this machine; none for a source that is on it."""
        ...


@dataclasses.dataclass(frozen=True)
class _Bench:
    """One pipeline of a rig, by a name of its own."""

    rig: SourceRig
    name: str

    def write(self) -> None:
        text = PIPELINE.format(name=self.name, source=self.rig.declare())
        (self.rig.runner.folder / f"{self.name}.py").write_text(text)

    def run(self, failpoints: str = "") -> Ended:
        return self.rig.runner.run("run", f"{self.name}.py", "--json", failpoints=failpoints)

    def done(self) -> dict[str, int]:
        """Runs to the end, and returns the account, which must balance."""
        ended = self.run()
        assert ended.status == 0, ended
        account: dict[str, int] = ended.document["account"]
        assert account["read"] == sum(account[each] for each in ACCOUNT[1:]), account
        return account

    def left_behind(self) -> dict[str, Any]:
        """The table, what the books say of it, and what all published runs together account for."""
        ask = self.rig.runner.run
        rows = ask("query", f"SELECT id, name, toString(amount) FROM {self.name} ORDER BY ALL", "--json")
        runs = ask("runs", "--pipeline", self.name, "--limit", "1000", "--json").document["runs"]
        published = [each["account"] for each in runs if each["status"] == "published"]
        verified = ask("verify", f"{self.name}.py", "--json")
        assert verified.status == 0, verified
        return {
            "rows": rows.document["rows"],
            "sound": verified.document["sound"],
            "account": {name: sum(each[name] for each in published) for name in ACCOUNT},
            "open": [each["run"] for each in runs if each["status"] in ("staging", "prepared", "interrupted")],
        }

    @property
    def rows(self) -> list[list[Any]]:
        found: list[list[Any]] = self.left_behind()["rows"]
        return found


def some_rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows that a contract accepts."""
    return [
        {"id": number, "name": f"name {number}", "amount": f"{number}.25"} for number in range(first, first + count)
    ]


class SourceConformance(Choosing):
    """The promises of a source. Inherit from it, and give it a fixture `rig` that makes a SourceRig.

    Attributes:
        rows: how many rows are offered: enough for some batches.
        kill_every: of the failpoints that all sources pass, each n-th is tried; those of the source itself, all.
        own_failpoints: a regular expression of the names of the latter.
        reads_again: a run without anything new may read all of it again, so that accounts say how often it was run.
    """

    rows = 95
    kill_every = 8
    own_failpoints = r"^source\."
    reads_again = False

    def test_its_guarantee_is_stated(self, rig: SourceRig) -> None:
        """`explain` says what the source promises when a run dies."""
        bench = self._bench(rig, "stated", some_rows(1))
        ended = rig.runner.run("explain", f"{bench.name}.py", "--json")
        assert ended.status == 0, ended
        guarantees = ("exactly once", "exactly once by idempotency key", "at least once")
        assert str(ended.document["source"]["guarantee"]) in guarantees

    def test_every_row_arrives_and_a_second_run_brings_none(self, rig: SourceRig) -> None:
        """All rows are committed; run again, with nothing new, the table is as it was."""
        bench = self._bench(rig, "arrives", some_rows(self.rows))
        assert bench.done()["committed"] == self.rows
        before = bench.left_behind()
        bench.done()
        assert [row[0] for row in before["rows"]] == list(range(self.rows))
        assert bench.rows == before["rows"]

    def test_what_is_added_arrives_beside_what_is_there(self, rig: SourceRig) -> None:
        """After rows were added, a run leaves all of them, each once."""
        bench = self._bench(rig, "added", some_rows(self.rows))
        bench.done()
        rig.add(some_rows(20, first=self.rows))
        bench.done()
        assert [row[0] for row in bench.rows] == list(range(self.rows + 20))

    def test_a_source_without_rows_is_no_fault(self, rig: SourceRig) -> None:
        """Nothing to read is read without an error."""
        bench = self._bench(rig, "empty", [])
        assert bench.done()["read"] == 0

    def test_many_rows_arrive(self, rig: SourceRig) -> None:
        """More rows than any batch has."""
        bench = self._bench(rig, "large", some_rows(LARGE_ROWS))
        assert bench.done()["committed"] == LARGE_ROWS
        assert len(bench.rows) == LARGE_ROWS

    def test_unusual_values_arrive_as_they_are(self, rig: SourceRig) -> None:
        """The largest integers, all digits of decimals, null, and letters of all kinds."""
        rows: list[dict[str, Any]] = [
            {
                "id": 2**63 - 1,
                "name": "Ærø 東京 \U0001f6a2 \"quoted\", 'so'",
                "amount": "123456789012345678901234.123456",
            },
            {"id": -(2**63), "name": "two\twords", "amount": "-0.000001"},
            {"id": 0, "name": None, "amount": None},
            {"id": 1, "name": "x" * 50_000, "amount": "100"},
        ]
        bench = self._bench(rig, "unusual", rows)
        assert bench.done()["committed"] == len(rows)
        found = {row[0]: row for row in bench.rows}
        assert {int(each) for each in found} == {row["id"] for row in rows}
        by_id = {int(number): row for number, row in found.items()}
        assert [by_id[row["id"]][1] for row in rows] == [row["name"] for row in rows]
        assert by_id[2**63 - 1][2] == "123456789012345678901234.123456"
        assert by_id[0][2] is None

    def test_a_bad_row_goes_to_quarantine_alone(self, rig: SourceRig) -> None:
        """A value that is none of its type costs its own row."""
        rows = [*some_rows(10), {"id": 10, "name": "bad", "amount": "a lot"}]
        account = self._bench(rig, "bad", rows).done()
        assert (account["committed"], account["quarantined"]) == (10, 1)

    def test_a_column_that_nobody_expects_is_told(self, rig: SourceRig) -> None:
        """Drift is an error, or costs the rows that have it; they are never loaded as if it was not there."""
        bench = self._bench(rig, "drift", [{**row, "colour": "red"} for row in some_rows(5)])
        ended = bench.run()
        if ended.status == 0:
            assert ended.document["account"]["quarantined"] == 5, ended
        else:
            assert "RK-" in ended.stderr or "RK-" in ended.stdout
            assert "Traceback" not in ended.stderr

    def test_killed_at_its_failpoints_nothing_is_lost_or_doubled(self, rig: SourceRig) -> None:
        """SIGKILL where state changes, then the same command: what is left is what an undisturbed run leaves."""
        rows = some_rows(self.rows)
        calm = self._bench(rig, "calm", rows)
        log = rig.runner.folder / "points.log"
        assert calm.run(failpoints=f"*=log:{log}").status == 0
        expected = calm.left_behind()
        passed = chosen_points(log.read_text().split(), self.own_failpoints, self.kill_every)
        points = self.chosen("failpoints", passed)
        faults = []
        for number, (point, pass_number) in enumerate(points):
            bench = self._bench(rig, f"killed_{number}", rows)
            killed = bench.run(failpoints=f"{point}=kill@{pass_number}")
            assert killed.status == KILLED, (point, killed)
            bench.done()
            found = bench.left_behind()
            if self.reads_again:
                found["account"] = expected["account"]
            if found != expected:
                faults.append((point, pass_number, {key: found[key] for key in found if found[key] != expected[key]}))
        assert not faults, faults

    def test_what_goes_wrong_on_the_way_is_told_or_survived(self, rig: SourceRig) -> None:
        """Each fault is one clear error, or none; when it is over the run goes on, and nothing is lost or doubled."""
        for number, fault in enumerate(self.chosen("faults", rig.faults())):
            bench = self._bench(rig, f"fault_{number}", some_rows(self.rows))
            with fault.during:
                ended = bench.run()
            if fault.codes:
                assert ended.status == 1, (fault.name, ended)
                said = ended.stdout + ended.stderr
                assert any(code in said for code in fault.codes), (fault.name, ended)
                assert "Traceback" not in said, (fault.name, ended)
                bench.done()
            else:
                assert ended.status == 0, (fault.name, ended)
            left = bench.left_behind()
            assert [row[0] for row in left["rows"]] == list(range(self.rows)), fault.name
            assert left["sound"], fault.name

    def _bench(self, rig: SourceRig, name: str, rows: Sequence[Row]) -> _Bench:
        rig.offer(rows)
        bench = _Bench(rig, name)
        bench.write()
        return bench
