"""The power goes: what was not synced is gone.

The state lies on ext4 in a file behind a loop device. At the moment of the loss all processes are frozen and the
file is copied (sparsely, without unmounting): in the copy is what the filesystem had sent to its disk, which is
what was synced. The copy is mounted in the place of the original, the journal replayed, and the next run must
finish. Nothing else may send data to the disk early: the journal's timer is set to 5 minutes, and replacing a
file by rename does not write it out (`noauto_da_alloc`), which kinder filesystems do.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.torture.judging import Findings
from tests.torture.mounting import detach
from tests.torture.planning import spread
from tests.torture.processes import HANG_SECONDS, POLL_SECONDS, Ended
from tests.torture.proving import Proved, Tell, prove, silent
from tests.torture.stage import Stage
from tests.torture.workload import home_of

IMAGE_BYTES = 1 << 30
OPTIONS = "loop,commit=300,noauto_da_alloc,noatime"
THE_END = "after the end"


def why_no_power_loss() -> str | None:
    """Why the power cannot be cut here, None where it can."""
    if os.geteuid() != 0:
        return "needs root to mount"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    if shutil.which("mkfs.ext4") is None or shutil.which("losetup") is None:
        return "needs mkfs.ext4 and losetup (e2fsprogs, mount)"
    return None


class Disk:
    """An ext4 in a file, mounted at `mountpoint` while the context lasts."""

    def __init__(self, image: Path, mountpoint: Path) -> None:
        self.image = image
        self.mountpoint = mountpoint

    @classmethod
    def format(cls, image: Path) -> None:
        """Makes an empty one. The inode tables are written now, or the kernel would do it in the background."""
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "16384", "-E", lazy, str(image)], check=True)

    def __enter__(self) -> Self:
        self.mountpoint.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-o", OPTIONS, str(self.image), str(self.mountpoint)], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A plain unmount waits until the loop device is free; a busy one is detached and freed when it can be.
        if subprocess.run(["umount", str(self.mountpoint)], check=False, capture_output=True).returncode:
            detach(self.mountpoint)

    def copy_as_synced(self, target: Path) -> None:
        """What a power loss at this instant would leave. Nobody may be writing."""
        subprocess.run(["cp", "--sparse=always", str(self.image), str(target)], check=True)


@dataclass(frozen=True)
class Moment:
    """When the power goes: after the run's end, after so many seconds, or when a process stops itself.

    `look`: somebody reads before the next run; a reader may itself recover something.
    """

    name: str
    look: bool
    seconds: float | None = None
    environment: dict[str, str] = field(default_factory=dict)


def moments(named: list[dict[str, str]], seed: int, length: float) -> Iterator[Moment]:
    """First the acknowledged end, then each named moment, with a reader and without, then random ones without end.

    The named ones come evenly spread, as the time may not do for all.
    """
    yield Moment(THE_END, look=True)
    for look in (True, False):
        for index in spread(len(named)):
            environment = named[index]
            yield Moment(" ".join(environment.values()), look, environment=environment)
    source = random.Random(seed)
    while True:
        seconds = source.uniform(0, length * 1.05)
        yield Moment(f"after {seconds:.3f} s", source.random() < 0.5, seconds)


def power_losses(
    stages: list[Stage], *, seconds_max: float, count_max: int = 100_000, seed: int = 0, tell: Tell = silent
) -> Proved:
    """Cuts the power at each moment until the time is over."""
    for stage in stages:
        _make_template(stage)
    points = islice(moments(stages[0].moments(), seed, stages[0].run_seconds), count_max)
    result = prove(stages, points, _lose, seconds_max=seconds_max, tell=tell)
    result.about = f"{result.hits} before the end or at it"
    return result


def _make_template(stage: Stage) -> None:
    """A disk with the state before on it, all synced."""
    home = home_of(stage.folder)
    stage.clear()
    Disk.format(_template(stage))
    with Disk(_template(stage), home):
        _fill(stage, home)


def _template(stage: Stage) -> Path:
    return stage.folder / "template.img"


def _fill(stage: Stage, home: Path) -> None:
    """The state before, into a folder that is a mount point and so cannot be replaced."""
    made = stage.folder / "home.made"
    stage.reset(made)
    subprocess.run(["cp", "-a", f"{made}/.", str(home)], check=True)
    shutil.rmtree(made)


def _lose(stage: Stage, moment: Moment) -> Findings:
    """One loss. The run's end counts as an acknowledgement only where it came before the loss."""
    before, after = stage.folder / "before.img", stage.folder / "after.img"
    home = home_of(stage.folder)
    stage.clear()
    subprocess.run(["cp", "--sparse=always", str(_template(stage)), str(before)], check=True)
    with Disk(before, home) as disk:
        ended = _run_until(stage, moment)
        stage.herd.freeze()
        disk.copy_as_synced(after)
        stage.herd.kill()
    with Disk(after, home):
        hit = ended is None or moment.name == THE_END
        findings = Findings(f"power loss {moment.name}{'' if hit else ' (missed)'}")
        findings.hit = hit
        stage.settle(findings, ended or _CUT, look=moment.look, restart=True)
    return findings


_CUT = Ended(-9, 0.0, "", "")


def _run_until(stage: Stage, moment: Moment) -> Ended | None:
    """Runs until the moment. None: the run had not ended by then."""
    command = stage.workload.command(stage.folder)
    command = type(command)(command.argv, command.folder, command.environment | moment.environment)
    started = time.monotonic()
    client = stage.herd.start(command)
    until = moment.seconds if moment.seconds is not None else HANG_SECONDS
    while time.monotonic() - started < until:
        if moment.environment and stage.herd.someone_stopped():
            return None
        try:
            client.wait(timeout=min(POLL_SECONDS, max(0.0, until - (time.monotonic() - started))))
        except subprocess.TimeoutExpired:
            continue
        return stage.herd.finish(client, command, started, 1.0)
    return None
