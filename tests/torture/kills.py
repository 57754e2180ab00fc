"""SIGKILL at random moments: of the client, of the engine's process, of both."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired

import psutil

from tests.torture.judging import Findings
from tests.torture.processes import Herd
from tests.torture.stage import Stage
from tests.torture.workload import Workload, home_of

VICTIMS = ("both", "client", "engine")


@dataclass
class Kills:
    """What the kills found. `missed`: the run was over, or had no engine yet, when the moment came."""

    workload: str
    run_seconds: float = 0.0
    seconds: float = 0.0
    missed: int = 0
    points: list[Findings] = field(default_factory=list)


def kills(
    workload: Callable[[], Workload],
    folder: Path,
    *,
    seconds_max: float,
    count_max: int = 100_000,
    parallel: int = 2,
    seed: int = 0,
    tell: Callable[[Findings], None] = lambda _: None,
) -> Kills:
    """Kills at moments drawn evenly from a little more than the length of an undisturbed run."""
    result = Kills(workload().name)
    began = time.monotonic()
    lock = threading.Lock()

    def work(number: int) -> None:
        moments = random.Random(f"{seed} {number}")
        with Stage(workload(), folder / f"worker{number}") as stage:
            length = _length(stage)
            result.run_seconds = length
            for index in range(number, count_max, parallel):
                if time.monotonic() - began > seconds_max:
                    return
                findings, hit = _try_kill(stage, moments.uniform(0, length * 1.1), index)
                with lock:
                    result.points.append(findings)
                    result.missed += not hit
                tell(findings)

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(work, range(parallel)))
    result.seconds = time.monotonic() - began
    return result


def _length(stage: Stage) -> float:
    assert stage.expected
    stage.reset(home_of(stage.folder))
    return stage.run().seconds


def _try_kill(stage: Stage, seconds: float, index: int) -> tuple[Findings, bool]:
    """One kill `seconds` after the start."""
    victim = VICTIMS[index % len(VICTIMS)]
    stage.reset(home_of(stage.folder))
    command = stage.workload.command(stage.folder)
    started = time.monotonic()
    client = stage.herd.start(command)
    try:
        client.wait(timeout=seconds)
        hit = False
    except TimeoutExpired:
        hit = _strike(stage.herd, victim, client.pid, stage.workload)
    ended = stage.herd.finish(client, command, started, 60.0)
    findings = Findings(f"kill {victim} after {seconds:.3f} s{'' if hit else ' (missed)'} exit {ended.status}")
    rest = index // len(VICTIMS)
    stage.settle(findings, ended, look=rest % 2 == 0, restart=rest // 2 % 2 == 0)
    return findings, hit


def _strike(herd: Herd, victim: str, client: int, workload: Workload) -> bool:
    """Kills those meant; all at once, or the one that is left could see the other's end."""
    struck = []
    for process in herd.members():
        try:
            is_engine = workload.is_engine(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if victim == "both" or (victim == "engine" and is_engine) or (victim == "client" and process.pid == client):
            struck.append(process)
    for process in struck:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return bool(struck)
