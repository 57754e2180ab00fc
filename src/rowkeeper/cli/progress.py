"""How a run goes on: a live line on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from rich.console import Console
from rich.live import Live
from rich.table import Table

from rowkeeper.runs.report import Observer, Progress

PLAIN_EVERY_SECONDS = 5.0


@contextmanager
def shown(console: Console) -> Iterator[Observer]:
    """An observer that shows progress on this console until the block is left."""
    if not console.is_terminal:
        yield _Plain(console)
        return
    line = _Line()
    with Live(console=console, refresh_per_second=8, transient=True, get_renderable=line.render):
        yield line


class _Meter:
    """Rows and seconds of the run that is going on."""

    def __init__(self) -> None:
        self.now = Progress("", "open")
        self.started = time.monotonic()
        self.read_before = 0
        self.process = psutil.Process()

    def __call__(self, progress: Progress) -> None:
        if progress.step == "open":
            self.started, self.read_before = time.monotonic(), 0
        counted = progress.step == "load"
        account = progress.account if counted else self.now.account
        if progress.step == "open":
            account = progress.account
        self.now = Progress(
            progress.pipeline,
            progress.step,
            progress.partition,
            progress.partitions_done if counted else self.now.partitions_done,
            progress.partitions if counted else self.now.partitions,
            account,
        )

    @property
    def rows_per_second(self) -> float:
        return self.now.account.read / max(time.monotonic() - self.started, 1e-3)

    @property
    def memory_megabytes(self) -> float:
        return float(self.process.memory_info().rss) / 1e6

    def text(self) -> str:
        account, now = self.now.account, self.now
        rejected = account.quarantined
        return (
            f"{account.read:,} rows read, {self.rows_per_second:,.0f}/s, {account.committed:,} accepted, "
            f"{rejected:,} rejected" + (f", {now.partitions_done}/{now.partitions} parts" if now.partitions > 1 else "")
        )


class _Line(_Meter):
    """One live line."""

    def render(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True)
        grid.add_row(
            f"[bold]{self.now.pipeline}[/]", self.now.step, self.text(), f"[dim]{self.memory_megabytes:,.0f} MB[/]"
        )
        return grid


class _Plain(_Meter):
    """A line per step, and one every few seconds while rows are loaded."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.told = 0.0

    def __call__(self, progress: Progress) -> None:
        step_before = self.now.step
        super().__call__(progress)
        due = time.monotonic() - self.told >= PLAIN_EVERY_SECONDS
        if progress.step in ("seal", "load", "wait") and (due or progress.step != step_before):
            self.told = time.monotonic()
            self.console.print(
                f"{self.now.pipeline}: {progress.step}: {self.text()}, {self.memory_megabytes:,.0f} MB", style="dim"
            )
