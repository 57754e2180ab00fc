"""A reader that never stops looking, while runs are killed and repeated, sees the state before or the state after."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from subprocess import TimeoutExpired

from tests.torture.judging import Findings, judge_command
from tests.torture.processes import POLL_SECONDS, Command
from tests.torture.stage import Stage
from tests.torture.workload import Workload, home_of

SECONDS_MAX = 60.0


@dataclass
class Watch:
    """What the reader saw. `looks`: how often it looked."""

    workload: str
    seconds: float = 0.0
    looks: int = 0
    points: list[Findings] = field(default_factory=list)


def judge_watched(findings: Findings, looks: list[str]) -> None:
    """The first look is the state before, the last the state after; between them nothing else, and no way back."""
    states = [state for state, _ in groupby(looks)]
    if len(states) != 2:
        findings.half_published += 1
        findings.notes.append(f"a reader saw {len(states)} states: {states[:6]}")


def watch(
    workload: Callable[[], Workload],
    folder: Path,
    *,
    seconds_max: float,
    count_max: int = 100_000,
    seed: int = 0,
    tell: Callable[[Findings], None] = lambda _: None,
) -> Watch:
    """Runs under the reader's eyes: every other one is killed at a random moment and run again."""
    result = Watch(workload().name)
    began = time.monotonic()
    moments = random.Random(seed)
    with Stage(workload(), folder) as stage:
        command = stage.workload.watcher(stage.folder)
        if command is None:
            return result
        assert stage.expected
        length = 0.0
        for index in range(count_max):
            if index and time.monotonic() - began > seconds_max:
                break
            kill_after = moments.uniform(0, length) if index % 2 else None
            findings, looks, length = _watch_one(stage, command, kill_after, length)
            result.points.append(findings)
            result.looks += looks
            tell(findings)
    result.seconds = time.monotonic() - began
    return result


def _watch_one(stage: Stage, watcher: Command, kill_after: float | None, length: float) -> tuple[Findings, int, float]:
    """One run, or a killed one and the next. Returns what was found, the number of looks, a run's seconds."""
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
    return findings, len(looks), length if kill_after is not None else ended.seconds


def _kill_one(stage: Stage, seconds: float) -> None:
    """Only the client dies: the engine goes on to serve the reader."""
    command = stage.workload.command(stage.folder)
    started = time.monotonic()
    client = stage.herd.start(command)
    try:
        client.wait(timeout=seconds)
    except TimeoutExpired:
        client.kill()
    stage.herd.finish(client, command, started, SECONDS_MAX)


def _looks(watcher: Command) -> list[str]:
    """Whole lines only."""
    return (watcher.folder / watcher.output).read_text().rpartition("\n")[0].split("\n")


def _wait_for_look(watcher: Command, count: int) -> None:
    """Until the reader has looked so often."""
    deadline = time.monotonic() + SECONDS_MAX
    while len(list(filter(None, _looks(watcher)))) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"the reader does not answer: {(watcher.folder / watcher.errors).read_text()[-500:]}")
        time.sleep(POLL_SECONDS)
