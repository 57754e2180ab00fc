"""A reader that never stops looking, while runs are killed and repeated, sees the state before or the state after."""

from __future__ import annotations

import random
import time
from itertools import groupby
from subprocess import TimeoutExpired

from tests.torture.judging import Findings, judge_command
from tests.torture.processes import HANG_SECONDS, POLL_SECONDS, Command
from tests.torture.proving import Proved, Tell, prove, silent
from tests.torture.stage import Stage
from tests.torture.workload import home_of


def judge_watched(findings: Findings, looks: list[str]) -> None:
    """The first look is the state before, the last the state after; between them nothing else, and no way back."""
    states = [state for state, _ in groupby(looks)]
    if len(states) != 2:
        findings.half_published += 1
        findings.notes.append(f"a reader saw {len(states)} states: {states[:6]}")


def watch(
    stages: list[Stage], *, seconds_max: float, count_max: int = 100_000, seed: int = 0, tell: Tell = silent
) -> Proved:
    """Runs under the reader's eyes: every other one is killed at a random moment and run again."""
    if stages[0].workload.watcher(stages[0].folder) is None:
        return Proved(about="this workload cannot be watched")
    source = random.Random(seed)
    length = stages[0].run_seconds
    # A tuple each, as None would end the points.
    points = ((source.uniform(0, length) if index % 2 else None,) for index in range(count_max))
    looks: list[int] = []

    def try_one(stage: Stage, point: tuple[float | None]) -> Findings:
        findings, count = _watch_one(stage, point[0])
        looks.append(count)
        return findings

    result = prove(stages, points, try_one, seconds_max=seconds_max, tell=tell)
    result.about = f"{sum(looks)} looks"
    return result


def _watch_one(stage: Stage, kill_after: float | None) -> tuple[Findings, int]:
    """One run, or a killed one and the next. Returns what was found and the number of looks."""
    watcher = stage.workload.watcher(stage.folder)
    assert watcher is not None
    stage.reset(home_of(stage.folder))
    findings = Findings("watched" if kill_after is None else f"watched, killed after {kill_after:.3f} s")
    stage.herd.start(watcher)
    _wait_for_look(watcher, 1)
    if kill_after is not None:
        _kill_one(stage, kill_after)
    ended = stage.run()
    judge_command(findings, "the run", ended)
    if not ended.acknowledged:
        findings.stranded += 1
        findings.notes.append(f"the run failed with {ended.status}")
    _wait_for_look(watcher, len(_looks(watcher)) + 2)
    stage.herd.kill()
    looks = _looks(watcher)
    judge_watched(findings, looks)
    return findings, len(looks)


def _kill_one(stage: Stage, seconds: float) -> None:
    """Only the client dies: the engine goes on to serve the reader."""
    command = stage.workload.command(stage.folder)
    started = time.monotonic()
    client = stage.herd.start(command)
    try:
        client.wait(timeout=seconds)
    except TimeoutExpired:
        client.kill()
    stage.herd.finish(client, command, started, HANG_SECONDS)


def _looks(watcher: Command) -> list[str]:
    """Whole lines only."""
    return (watcher.folder / watcher.output).read_text().rpartition("\n")[0].split("\n")


def _wait_for_look(watcher: Command, count: int) -> None:
    """Until the reader has looked so often."""
    deadline = time.monotonic() + HANG_SECONDS
    while len(list(filter(None, _looks(watcher)))) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"the reader does not answer: {(watcher.folder / watcher.errors).read_text()[-500:]}")
        time.sleep(POLL_SECONDS)
