"""A fault at each operation of a run, then an undisturbed run, then the comparison."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.faults import Fault, Mode
from tests.torture.judging import Findings
from tests.torture.mounting import FaultyFolder
from tests.torture.planning import MODES, plan
from tests.torture.stage import Stage
from tests.torture.workload import Workload, home_of


@dataclass
class Sweep:
    """What a sweep found."""

    workload: str
    operations: int = 0
    seconds: float = 0.0
    points: list[Findings] = field(default_factory=list)
    struck: int = 0
    trace: tuple[str, ...] = ()


def sweep(
    workload: Callable[[], Workload],
    folder: Path,
    *,
    seconds_max: float,
    every: int = 1,
    parallel: int = 2,
    modes: Sequence[tuple[Mode, bool]] = MODES,
    tell: Callable[[Findings], None] = lambda _: None,
) -> Sweep:
    """Tries points until all are tried or the time is over; a point that was begun is finished.

    Each of the `parallel` workers has a folder and a filesystem of its own.
    """
    result = Sweep(workload().name)
    began = time.monotonic()
    lock = threading.Lock()
    faults: Iterator[tuple[int, Fault]] = iter(())

    def work(number: int, stage: Stage) -> None:
        while time.monotonic() - began < seconds_max:
            with lock:
                index, fault = next(faults, (-1, None))
            if fault is None:
                return
            findings, struck = try_point(stage, fault, index)
            with lock:
                result.points.append(findings)
                result.struck += struck
            tell(findings)

    with ThreadPoolExecutor(parallel) as pool:
        stages = [Stage(workload(), folder / f"worker{number}") for number in range(parallel)]
        try:
            list(pool.map(Stage.__enter__, stages))
            result.operations, result.trace = measure(stages[0])
            faults = enumerate(plan(result.operations, every, modes))
            list(pool.map(work, itertools.count(), stages))
        finally:
            for stage in stages:
                stage.__exit__(None, None, None)
    result.seconds = time.monotonic() - began
    return result


def measure(stage: Stage) -> tuple[int, tuple[str, ...]]:
    """The number of operations of an undisturbed run on the filesystem, and what they are."""
    backing = stage.folder / "home.backing"
    stage.reset(backing)
    with FaultyFolder(backing, home_of(stage.folder)) as disk:
        disk.count()
        ended = stage.run()
        tally = disk.calm()
        assert ended.acknowledged, f"the run fails on a good filesystem: {ended.errors or ended.output}"
        stage.herd.kill()
    home_of(stage.folder).rmdir()
    return tally.operations, tally.trace


def try_point(stage: Stage, fault: Fault, index: int) -> tuple[Findings, bool]:
    """One fault from the state before. True when it struck: runs differ a little, so a late one may not."""
    expected = stage.expected
    assert expected is not None
    backing, home = stage.folder / "home.backing", home_of(stage.folder)
    stage.reset(backing)
    with FaultyFolder(backing, home) as disk:
        disk.arm(fault)
        ended = stage.run()
        if fault.mode in (Mode.KILL, Mode.TORN):
            stage.herd.kill()
        tally = disk.calm()
        findings = Findings(f"{fault} [{tally.struck or 'not reached'}] exit {ended.status}")
        look, restart = index // len(MODES) % 2 == 0, index // len(MODES) // 2 % 2 == 0
        stage.settle(findings, ended, look=look, restart=restart)
    home.rmdir()
    return findings, tally.struck is not None
