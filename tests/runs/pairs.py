"""Two deaths: the first at any failpoint, the second at any failpoint of what comes after it.

`python -m tests.runs.pairs [--scenario first_load] [--every N]` tries all pairs (`make torture` does); the test suite
tries a few.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.arena import KILLED, Arena
from tests.runs.scenarios import SCENARIOS, Scenario, left_behind, prepare

WORKERS = 2


@dataclasses.dataclass(frozen=True)
class Bench:
    """A scenario's failpoints, and what an undisturbed run leaves."""

    arena: Arena
    scenario: Scenario
    points: list[str]
    expected: dict[str, Any]

    @classmethod
    def of(cls, arena: Arena, scenario: Scenario) -> Bench:
        """Runs it undisturbed, and once more after a death in the middle, to see the failpoints of recovery as well."""
        points: list[str] = []
        calm, once = f"pairs_{scenario.name}_calm", f"pairs_{scenario.name}_once"
        for name, failpoint in ((calm, ""), (once, "publish.after_attach=kill")):
            command = prepare(arena, scenario, name)
            if failpoint:
                arena.run(*command, failpoints=failpoint)
            log = arena.folder / f"{name}.log"
            assert arena.run(*command, failpoints=f"*=log:{log}").status == 0
            points += log.read_text().split()
        return cls(arena, scenario, list(dict.fromkeys(points)), left_behind(arena, calm))

    def fault_of(self, first: str, second: str) -> str | None:
        """Kills at `first`, then at `second` in what follows, then lets it run; returns what is wrong afterwards."""
        name = f"pairs_{self.scenario.name}_{self.points.index(first)}_{self.points.index(second)}"
        command = prepare(self.arena, self.scenario, name)
        for point in (first, second):
            died = self.arena.run(*command, failpoints=f"{point}=kill")
            if died.status not in (KILLED, 0):
                return f"{first}, {second}: status {died.status}: {died.stderr}"
        again = self.arena.run(*command)
        if again.status:
            return f"{first}, {second}: it does not recover: {again.stderr}"
        found = left_behind(self.arena, name)
        wrong = {key: found[key] for key in found if found[key] != self.expected[key]}
        return f"{first}, {second}: {wrong}" if wrong else None


def tried(name: str, every: int, share: int) -> tuple[int, int, list[str]]:
    """Tries one worker's share of the pairs; returns the number of failpoints, of pairs tried, and what was found."""
    scenario = next(each for each in SCENARIOS if each.name == name)
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        arena.ok("query", "SELECT 1")
        bench = Bench.of(arena, scenario)
        pairs = [(a, b) for a in bench.points for b in bench.points][share * every :: WORKERS * every]
        faults = [fault for pair in pairs if (fault := bench.fault_of(*pair))]
        arena.kill_host()
    return len(bench.points), len(pairs), faults


def main() -> int:
    """Tries all pairs and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="first_load", choices=[each.name for each in SCENARIOS])
    parser.add_argument("--every", type=int, default=1, help="only every n-th pair")
    options = parser.parse_args()
    # Processes, not threads: multiprocessing reaps the children of all threads in each, and loses exit statuses.
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        shares = list(pool.map(partial(tried, options.scenario, options.every), range(WORKERS)))
    faults = [fault for _, _, found in shares for fault in found]
    print(
        f"{options.scenario}: {shares[0][0]} failpoints, {sum(count for _, count, _ in shares)} pairs tried, ", end=""
    )
    print(f"{len(faults)} faults")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
