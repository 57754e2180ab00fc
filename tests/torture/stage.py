"""Where a workload is tortured: its folder, the state before, and what is to be seen before and after."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.torture.judging import Expected, Findings, judge_command, judge_recovery, judge_seen, judge_unreadable
from tests.torture.processes import HANG_SECONDS, Ended, Herd
from tests.torture.workload import Outcome, Unreadable, Workload, home_of


class Stage:
    """One workload in one folder, prepared once; `reset` brings the state before back, at the same paths."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        self.workload = workload
        self.folder = folder
        self.herd = Herd()
        self._template = folder / "home.before"
        self.run_seconds = 0.0  # of the undisturbed run, measured with `expected`
        self._expected: Expected | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        home_of(self.folder).mkdir(parents=True, mode=0o700)
        self.workload.prepare(self.folder, self.herd)
        self.herd.kill()
        home_of(self.folder).rename(self._template)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.herd.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reset(self, home: Path) -> None:
        """Makes `home` the state before. Hard links between its files stay hard links."""
        self.herd.kill()
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self._template), str(home)], check=True)

    def clear(self) -> None:
        """Makes place for something to be mounted at home."""
        self.herd.kill()
        shutil.rmtree(home_of(self.folder), ignore_errors=True)

    @property
    def expected(self) -> Expected:
        """Measured once, on the good disk: what is seen before, and after an undisturbed run."""
        if self._expected is None:
            home = home_of(self.folder)
            self.reset(home)
            before = self.look()
            ended = self.run()
            if not ended.acknowledged:
                raise AssertionError(f"the undisturbed run failed: {ended.errors or ended.output}")
            self.run_seconds = ended.seconds
            self.herd.kill()
            after = self.look()
            assert before["rows"] != after["rows"], "the undisturbed run changed nothing: nothing would be proved"
            self._expected = Expected(before, after)
            self.herd.kill()
            shutil.rmtree(home)
        return self._expected

    def moments(self) -> list[dict[str, str]]:
        """The workload's moments of interest, found by a run from the state before on the good disk."""
        home = home_of(self.folder)
        self.reset(home)
        found = self.workload.moments(self.folder, self.herd)
        self.herd.kill()
        shutil.rmtree(home)
        return found

    def run(self, seconds_max: float = HANG_SECONDS) -> Ended:
        """The run under torture, to its end."""
        return self.herd.run(self.workload.command(self.folder), seconds_max)

    def look(self) -> Outcome:
        """What a reader sees."""
        return self.workload.outcome(self.folder, self.herd)

    def settle(self, findings: Findings, ended: Ended, *, look: bool, restart: bool) -> Findings:
        """The disturbed run is over and the disk is good again: look, recover, look again, judge.

        `look`: before recovery (always, where the run was acknowledged); a look may itself recover something, so
        half of the cases do without. `restart`: whatever still lives dies first, as with a machine that restarts;
        otherwise an engine that saw the fault goes on, and dies before the last look, which reads from disk.
        """
        judge_command(findings, "the disturbed run", ended)
        if restart:
            self.herd.kill()
        if look or ended.acknowledged:
            try:
                judge_seen(findings, self.expected, self.look(), ended.acknowledged)
            except Unreadable as error:
                judge_unreadable(findings, "before recovery", error)
        again = self.run()
        judge_command(findings, "the next run", again)
        if not restart:
            self.herd.kill()
        try:
            judge_recovery(findings, self.expected, again, self.look())
        except Unreadable as error:
            judge_unreadable(findings, "after recovery", error)
        self.herd.kill()
        return findings

    def share_expected(self, other: Stage) -> None:
        """What another stage of the same workload measured holds here too."""
        self._expected, self.run_seconds = other.expected, other.run_seconds


@contextmanager
def staged(workload: Callable[[], Workload], folder: Path, parallel: int = 2) -> Iterator[list[Stage]]:
    """Stages of one workload side by side, each in a folder of its own, for one thread each."""
    stages = [Stage(workload(), folder / f"worker{number}") for number in range(parallel)]
    with ExitStack() as stack, ThreadPoolExecutor(parallel) as pool:
        for stage in stages:
            stack.push(stage.__exit__)
        list(pool.map(Stage.__enter__, stages))
        for stage in stages:
            stage.share_expected(stages[0])
        yield stages
