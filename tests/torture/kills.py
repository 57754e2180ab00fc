"""SIGKILL at random moments: of the client, of the engine's process, of both."""

from __future__ import annotations

import random
import time
from subprocess import TimeoutExpired

import psutil

from tests.torture.judging import Findings
from tests.torture.processes import HANG_SECONDS, Herd
from tests.torture.proving import Proved, Tell, prove, silent
from tests.torture.stage import Stage
from tests.torture.workload import Workload, home_of

VICTIMS = ("both", "client", "engine")


def kills(
    stages: list[Stage], *, seconds_max: float, count_max: int = 100_000, seed: int = 0, tell: Tell = silent
) -> Proved:
    """Kills at moments drawn evenly from a little more than the length of an undisturbed run."""
    source = random.Random(seed)
    length = stages[0].run_seconds * 1.1 * (1 + 0.2 * (len(stages) - 1))  # side by side they are slower
    points = ((index, source.uniform(0, length)) for index in range(count_max))

    def try_one(stage: Stage, point: tuple[int, float]) -> Findings:
        index, seconds = point
        return _try_kill(stage, seconds, index)

    result = prove(stages, points, try_one, seconds_max=seconds_max, tell=tell)
    result.about = f"{stages[0].run_seconds:.2f} s a run, {result.hits} struck"
    return result


def _try_kill(stage: Stage, seconds: float, index: int) -> Findings:
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
    ended = stage.herd.finish(client, command, started, HANG_SECONDS)
    findings = Findings(f"kill {victim} after {seconds:.3f} s{'' if hit else ' (missed)'} exit {ended.status}")
    findings.hit = hit
    rest = index // len(VICTIMS)
    stage.settle(findings, ended, look=rest % 2 == 0, restart=rest // 2 % 2 == 0)
    return findings


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
