"""A fault at each operation of a run, then an undisturbed run, then the comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.torture.faults import Fault, Mode
from tests.torture.judging import Findings
from tests.torture.mounting import FaultyFolder
from tests.torture.planning import MODES, plan
from tests.torture.proving import Proved, Tell, prove, silent
from tests.torture.stage import Stage
from tests.torture.workload import home_of


def sweep(
    stages: list[Stage],
    *,
    seconds_max: float,
    every: int = 1,
    match: str = "",
    modes: Sequence[tuple[Mode, bool]] = MODES,
    tell: Tell = silent,
) -> Proved:
    """Tries every `every`-th operation in each mode, evenly spread over the run wherever the time ends.

    `match`: only operations that this regular expression finds in "operation path".
    """
    trace = measure(stages[0])
    numbers = [number for number, operation in enumerate(trace, 1) if re.search(match, operation)][::every]

    def try_one(stage: Stage, point: tuple[int, Fault]) -> Findings:
        index, fault = point
        # Neighbouring points differ in these two, so that each mode meets all four combinations.
        turn = index // len(modes)
        return try_point(stage, fault, look=turn % 2 == 0, restart=turn // 2 % 2 == 0)

    result = prove(stages, enumerate(plan(numbers, modes)), try_one, seconds_max=seconds_max, tell=tell)
    result.about = f"{len(trace)} operations a run, {result.hits} struck"
    return result


def measure(stage: Stage) -> tuple[str, ...]:
    """The operations of an undisturbed run, in their order: "operation path" each."""
    backing = stage.folder / "home.backing"
    stage.clear()
    stage.reset(backing)
    with FaultyFolder(backing, home_of(stage.folder)) as disk:
        disk.count()
        ended = stage.run()
        tally = disk.calm()
        assert ended.acknowledged, f"the run fails on a good filesystem: {ended.errors or ended.output}"
        stage.herd.kill()
    return tally.trace


def try_point(stage: Stage, fault: Fault, *, look: bool, restart: bool) -> Findings:
    """One fault from the state before. Runs differ a little, so a late fault may not be reached."""
    backing, home = stage.folder / "home.backing", home_of(stage.folder)
    assert stage.expected
    stage.clear()
    stage.reset(backing)
    with FaultyFolder(backing, home) as disk:
        disk.arm(fault)
        ended = stage.run()
        if fault.mode in (Mode.KILL, Mode.TORN):
            stage.herd.kill()
        tally = disk.calm()
        findings = Findings(f"{fault} [{tally.struck or 'not reached'}] exit {ended.status}")
        findings.hit = tally.struck is not None
        stage.settle(findings, ended, look=look, restart=restart)
    return findings
