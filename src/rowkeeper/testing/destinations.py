"""What every destination must keep, whoever wrote it: tests to inherit from.

A rig brings a real destination (a server that was started, a folder), says what a pipeline file has to declare for it,
and reads back what it holds. Each test runs pipelines in processes of their own, from local files, and looks at what is
left behind: the rows, the account, the quarantine, what `verify` says. pytest is not imported here; it finds the tests
in the class that inherits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rowkeeper.protocols import Guarantee
from rowkeeper.testing.loading import Bench, DestinationRig, Row, expected, some_rows, unusual_rows
from rowkeeper.testing.points import Choosing, chosen_points
from rowkeeper.testing.running import KILLED, Ended

LARGE_ROWS = 10_000


class DestinationConformance(Choosing):
    """The promises of a destination. Inherit from it, and give it a fixture `rig` that makes a DestinationRig.

    What the destination has not is said by the attributes below; then it is tested that asking for it is one clear
    error, and that nothing is changed by it.

    Attributes:
        guarantee: what it states. One that is `at least once` may have further copies of a row, alike in all values,
            after something was killed or went wrong on the way, and at no other time.
        rows: how many rows are offered: enough for some batches.
        kill_every: of the failpoints that all destinations pass, each n-th is tried; those of the destination itself,
            all.
        own_failpoints: a regular expression of the names of the latter.
        rolls_back: a published run can be taken back.
        verifies: `rowkeeper verify` can read what is there.
        replaces_changed: rows of a changed file take the place of its former ones.
        replaces_all: it has `write="replace"`.
        adds_columns: `drift="evolve"` adds columns.
        duplicates: the policies that it has for rows whose key is there twice in a run.
        gates: what stands between the staged rows and it are quality gates, in SQL too.
        lacks: the codes of the errors that refuse what it has not.
    """

    guarantee = Guarantee.EXACTLY_ONCE
    rows = 95
    kill_every = 8
    own_failpoints = r"^(stage|seal|publish|settle)\."
    rolls_back = True
    verifies = True
    replaces_changed = True
    replaces_all = True
    adds_columns = True
    duplicates: Sequence[str] = ("skip", "quarantine")
    gates = True
    lacks: Sequence[str] = ("RK-3120", "RK-1101", "RK-1102")

    # ------------------------------------------------------------------------------------------ whole runs

    def test_its_guarantee_is_stated(self, rig: DestinationRig) -> None:
        """`explain` and the account of a run say what the destination promises when a run dies."""
        bench = self._bench(rig, "stated", some_rows(1))
        ended = rig.runner.run("explain", f"{bench.name}.py", "--json")
        assert ended.status == 0, ended
        assert ended.document["destination"]["guarantee"] == self.guarantee.value
        bench.done()
        assert bench.published()[0]["guarantees"]["destination"] == self.guarantee.value

    def test_every_row_arrives_and_a_second_run_brings_none(self, rig: DestinationRig) -> None:
        """All rows are there, with all their values; run again, with nothing new, nothing changes."""
        rows = some_rows(self.rows)
        bench = self._bench(rig, "arrives", rows)
        assert bench.done()["committed"] == self.rows
        assert bench.held() == expected(rows)
        assert bench.done()["read"] == 0
        assert bench.held() == expected(rows)

    def test_what_a_later_run_brings_is_added(self, rig: DestinationRig) -> None:
        """A new file's rows stand beside those that are there."""
        bench = self._bench(rig, "added", some_rows(20))
        bench.done()
        bench.offer(some_rows(15, first=20), "more")
        assert bench.done()["committed"] == 15
        assert bench.held() == expected(some_rows(35))
        self._check_sound(bench)

    def test_a_run_without_rows_is_no_fault(self, rig: DestinationRig) -> None:
        """Nothing to write, and nothing but rejected rows to write, are no errors."""
        bench = self._bench(rig, "empty", [])
        assert bench.done()["committed"] == 0
        bench.offer([{"id": "none"}], "bad")
        assert bench.done()["quarantined"] == 1
        assert list(rig.rows(bench.name)) == []
        self._check_sound(bench)

    def test_many_rows_arrive(self, rig: DestinationRig) -> None:
        """More rows than any batch has, and wide ones among them."""
        rows = [
            {**row, "name": "w" * 2_000} if number % 10 == 0 else row
            for number, row in enumerate(some_rows(LARGE_ROWS))
        ]
        bench = self._bench(rig, "large", rows)
        assert bench.done()["committed"] == LARGE_ROWS
        assert bench.held() == expected(rows)

    def test_unusual_values_arrive_as_they_are(self, rig: DestinationRig) -> None:
        """The ends of integers, decimals, floats and times; null apart from the empty text; letters of all kinds."""
        bench = self._bench(rig, "unusual", unusual_rows())
        assert bench.done()["committed"] == len(unusual_rows())
        assert bench.held() == expected(unusual_rows())
        self._check_sound(bench)

    # ------------------------------------------------------------------------------------------ bad rows, other rows

    def test_a_bad_row_goes_to_quarantine_alone_and_is_replayed(self, rig: DestinationRig) -> None:
        """A value that the contract refuses costs its own row; once the contract takes it, a replay brings it."""
        rows = [*some_rows(10), {**some_rows(1, first=10)[0], "ratio": 5_000.0}]
        bench = self._bench(rig, "bad", rows)
        bench.write(field="    ratio: Annotated[float, Field(le=1_000)] | None = None\n")
        ended = bench.run()
        account = bench.balanced(ended)
        assert (account["committed"], account["quarantined"]) == (10, 1)
        assert bench.held() == expected(rows[:10])
        bench.write()
        replayed = rig.runner.run("quarantine", "replay", str(ended.document["run"]), "--json")
        assert bench.balanced(replayed)["committed"] == 1
        assert bench.held() == expected(rows)
        self._check_sound(bench)

    def test_a_column_that_nobody_expects_is_never_dropped_in_silence(self, rig: DestinationRig) -> None:
        """Drift is told by default; where it is asked for, the column is added, and former rows have null in it."""
        bench = self._bench(rig, "drift", some_rows(5))
        bench.done()
        bench.offer([{**row, "colour": 7} for row in some_rows(5, first=5)], "more")
        ended = bench.run()
        assert ended.status == 1 or ended.document["account"]["quarantined"] == 5, ended
        assert bench.held() == expected(some_rows(5))
        if not self.adds_columns:
            return
        evolving = self._bench(rig, "evolves", some_rows(5))
        evolving.done()
        evolving.write(more='    drift="evolve",\n')
        evolving.offer([{**row, "colour": 7} for row in some_rows(5, first=5)], "more")
        account = evolving.done()
        assert account["committed"] == 5, account
        colours = [row.get("colour") for row in evolving.held()]
        assert colours[:5] == [None] * 5, colours
        assert [str(each) for each in colours[5:]] == ["7"] * 5, colours  # of a JSON document, its text
        self._check_sound(evolving)

    def test_columns_that_do_not_fit_what_is_there_are_one_clear_error(self, rig: DestinationRig) -> None:
        """A contract that makes another type of a column changes nothing, and says which."""
        bench = self._bench(rig, "other", some_rows(5))
        bench.done()
        bench.write(field="    ratio: str | None = None\n")
        bench.offer([{**row, "ratio": "text"} for row in some_rows(5, first=5)], "more")
        ended = bench.run()
        if ended.status == 0:  # one that has no columns, such as a stream
            assert not self.adds_columns, ended
            return
        self._check_clear(ended, ("RK-1301",))
        assert "ratio" in ended.stdout + ended.stderr
        assert bench.held() == expected(some_rows(5))

    def test_a_changed_file_takes_the_place_of_its_former_rows(self, rig: DestinationRig) -> None:
        """What it brought before goes in the same step in which its new rows come; others stay."""
        bench = self._bench(rig, "changed", some_rows(12))
        bench.offer(some_rows(4, first=100), "other")
        bench.done()
        before = bench.held()
        bench.offer([{**row, "name": "again"} for row in some_rows(8, first=6)])
        ended = bench.run()
        if self.replaces_changed:
            assert bench.balanced(ended)["committed"] == 8
            assert bench.ids == [*range(6, 14), *range(100, 104)]
            assert {row["name"] for row in bench.held()[:8]} == {"again"}
            self._check_sound(bench)
        else:
            self._check_clear(ended, self.lacks)
            assert bench.held() == before

    def test_a_run_can_take_the_place_of_all_that_is_there(self, rig: DestinationRig) -> None:
        """With `write="replace"` what a run reads is all that is there afterwards."""
        bench = self._bench(rig, "replaced", some_rows(12), 'write="replace"')
        ended = bench.run()
        if not self.replaces_all:
            self._check_clear(ended, self.lacks)
            return
        assert bench.balanced(ended)["committed"] == 12
        bench.offer(some_rows(3, first=50))
        bench.done()
        assert bench.held() == expected(some_rows(3, first=50))
        self._check_sound(bench)

    def test_rows_of_the_same_key_in_one_run_are_told_apart(self, rig: DestinationRig) -> None:
        """Where a policy for duplicates is set, one row of each key arrives, and the others are accounted for."""
        rows = [*some_rows(6), {**some_rows(1)[0], "name": "again"}]
        for policy in ("skip", "quarantine"):
            bench = self._bench(rig, f"twice_{policy}", rows, f'key=["id"], duplicates="{policy}"')
            ended = bench.run()
            if policy not in self.duplicates:
                self._check_clear(ended, self.lacks)
                continue
            account = bench.balanced(ended)
            line = "duplicate" if policy == "skip" else "quarantined"
            assert (account["committed"], account[line]) == (6, 1), (policy, account)
            assert bench.held() == expected(some_rows(6))
            self._check_sound(bench)

    def test_quality_gates_stand_before_it(self, rig: DestinationRig) -> None:
        """A gate that refuses keeps every row back; the run is published when a person says so, and only then."""
        bench = self._bench(rig, "gated", some_rows(20))
        gates = """    gates=[
        rk.unique("id"), rk.complete("name"), rk.between("ratio", 0, 100), rk.volume(at_least=1),
        rk.sql("no thirteenth", "SELECT id FROM {staged} WHERE id = 13"),
    ],
"""
        bench.write(more=gates)
        ended = bench.run()
        if not self.gates:
            self._check_clear(ended, self.lacks)
            return
        self._check_clear(ended, ("RK-2202",))
        assert list(rig.rows(bench.name)) == []
        run = str(rig.runner.run("runs", "--pipeline", bench.name, "--json").document["runs"][0]["run"])
        shown = rig.runner.run("staging", run, "--json")
        assert shown.status == 0, shown
        assert len(shown.document["rows"]) == 10
        published = rig.runner.run("publish", run, "--override", "it is known", "--json")
        assert bench.balanced(published)["committed"] == 20
        assert bench.held() == expected(some_rows(20))
        self._check_sound(bench)

    # ------------------------------------------------------------------------------------------ what is there

    def test_a_run_is_taken_back(self, rig: DestinationRig) -> None:
        """After a rollback the rows of the run are gone, the others are not, and its input counts as not loaded."""
        bench = self._bench(rig, "back", some_rows(10))
        bench.done()
        bench.offer(some_rows(7, first=10), "more")
        run = bench.run()
        taken = rig.runner.run("rollback", str(run.document["run"]), "--json")
        if not self.rolls_back:
            self._check_clear(taken, self.lacks)
            assert bench.held() == expected(some_rows(17))
            return
        assert taken.status == 0, taken
        assert bench.held() == expected(some_rows(10))
        self._check_sound(bench)
        assert bench.done()["committed"] == 7
        assert bench.held() == expected(some_rows(17))
        self._check_sound(bench)

    def test_an_earlier_run_is_taken_back(self, rig: DestinationRig) -> None:
        """A run that only added rows can be taken back after later ones, which keep theirs."""
        if not self.rolls_back:
            return
        bench = self._bench(rig, "earlier", some_rows(10))
        first = bench.run()
        bench.offer(some_rows(7, first=10), "more")
        bench.done()
        assert rig.runner.run("rollback", str(first.document["run"]), "--json").status == 0
        assert bench.held() == expected(some_rows(7, first=10))
        self._check_sound(bench)

    def test_verify_finds_what_was_changed_behind_our_back(self, rig: DestinationRig) -> None:
        """What is stored is read and compared with the books, not believed."""
        bench = self._bench(rig, "verified", some_rows(30))
        bench.done()
        verified = bench.verified()
        if not self.verifies:
            self._check_clear(verified, self.lacks)
            return
        assert verified.status == 0, verified
        assert verified.document["sound"], verified
        rig.damage(bench.name)
        damaged = bench.verified()
        assert damaged.status == 1, damaged
        assert "Traceback" not in damaged.stderr

    # ------------------------------------------------------------------------------------------ what goes wrong

    def test_killed_at_its_failpoints_nothing_is_lost_or_doubled(self, rig: DestinationRig) -> None:
        """SIGKILL where state changes, then the same command: what is left is what an undisturbed run leaves."""
        rows = some_rows(self.rows)
        calm = self._bench(rig, "calm", rows)
        log = rig.runner.folder / "points.log"
        assert calm.run(failpoints=f"*=log:{log}").status == 0
        wanted = calm.left_behind()
        passed = chosen_points(log.read_text().split(), self.own_failpoints, self.kill_every)
        points = self.chosen("failpoints", passed)
        faults = []
        for number, (point, pass_number) in enumerate(points):
            bench = self._bench(rig, f"killed_{number}", rows)
            killed = bench.run(failpoints=f"{point}=kill@{pass_number}")
            assert killed.status == KILLED, (point, killed)
            bench.done()
            found = self._without_copies(bench.left_behind())
            if found != wanted:
                faults.append((point, pass_number, {key: found[key] for key in found if found[key] != wanted[key]}))
        assert not faults, faults

    def test_what_goes_wrong_on_the_way_is_told_or_survived(self, rig: DestinationRig) -> None:
        """Each fault is one clear error, or none; when it is over the run goes on, and nothing is lost or doubled."""
        for number, fault in enumerate(self.chosen("faults", rig.faults())):
            bench = self._bench(rig, f"fault_{number}", some_rows(self.rows))
            with fault.during:
                ended = bench.run()
            if fault.codes:
                self._check_clear(ended, fault.codes, fault.name)
                bench.done()
            else:
                assert ended.status == 0, (fault.name, ended)
            left = self._without_copies(bench.left_behind())
            assert left["rows"] == expected(some_rows(self.rows)), fault.name
            assert left["sound"], fault.name
            assert not left["open"], fault.name

    # ------------------------------------------------------------------------------------------ how it is asked

    def _bench(self, rig: DestinationRig, name: str, rows: Sequence[Row], options: str = "") -> Bench:
        bench = Bench(rig, name, self.verifies)
        bench.write(options)
        bench.offer(rows)
        return bench

    def _check_sound(self, bench: Bench) -> None:
        if self.verifies:
            verified = bench.verified()
            assert verified.status == 0, verified
            assert verified.document["sound"], verified

    def _check_clear(self, ended: Ended, codes: Sequence[str], what: str = "") -> None:
        """One error of these codes, told to a person."""
        said = ended.stdout + ended.stderr
        assert ended.status in (1, 2), (what, ended)
        assert any(code in said for code in codes), (what, ended)
        assert "Traceback" not in said, (what, ended)

    def _without_copies(self, left: dict[str, Any]) -> dict[str, Any]:
        """What is left behind, where the guarantee allows copies of a row without those that are alike in all."""
        if self.guarantee is Guarantee.AT_LEAST_ONCE:
            left["rows"] = [row for number, row in enumerate(left["rows"]) if row not in left["rows"][:number]]
        return left
