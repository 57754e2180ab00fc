"""What a run takes: seconds, rows, bytes, waits, processor time and memory, by stage.

A run has a meter. It rides along in a context variable, as the caller does, so that the threads of a run have it too,
and whoever works need not be handed it. Whoever closes a run in the ledger notes the figures with it. Work that is of
no run (a plan that is only explained) has no meter, and costs nothing.

Two kinds of stages: *steps* follow each other (open, plan, load, ...), and their seconds add up to the run's; the
*parts* of the load (read, check, ...) go on side by side, and wait for each other.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rowkeeper import machine

Item = TypeVar("Item")


@dataclasses.dataclass(slots=True)
class StageFigures:
    """What one stage took.

    Attributes:
        seconds: in which it worked; of several threads together.
        cpu_seconds: of its own threads, without those that libraries start.
        input_wait_seconds: in which the stage before had nothing for it.
        room_wait_seconds: in which the stage after had no room for more.
    """

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    input_wait_seconds: float = 0.0
    room_wait_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What a run took in this process.

    Attributes:
        cpu_seconds: of the whole process, libraries included.
        peak_memory_bytes: the most that the process had in RAM meanwhile.
        retries: calls to other machines that were tried again.
        stages: in the order in which they began.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    retries: int
    stages: Mapping[str, StageFigures]


class Meter:
    """Measures one run; called from any of its threads.

    Attributes:
        run: its number, once it has one.
    """

    def __init__(self) -> None:
        self.run: int | None = None
        self._lock = threading.Lock()
        self._stages: dict[str, StageFigures] = {}
        self._retries = 0
        self._began = time.monotonic()
        self._cpu_began = time.process_time()
        self._step: tuple[str, float, float] | None = None

    def step(self, name: str) -> None:
        """The next step begins, and with it the one before ends."""
        with self._lock:
            self._end_step()
            self._step = (name, time.monotonic(), time.thread_time())
            self._of(name)

    def add(self, name: str, **figures: float) -> None:
        """Adds to the figures of a stage, by their names."""
        with self._lock:
            stage = self._of(name)
            for figure, more in figures.items():
                setattr(stage, figure, getattr(stage, figure) + more)

    def retried(self) -> None:
        """A call was tried again."""
        with self._lock:
            self._retries += 1

    def figures(self) -> Figures:
        """All so far, since the beginning or since they were noted last."""
        with self._lock:
            self._end_step()
            return Figures(
                time.monotonic() - self._began,
                time.process_time() - self._cpu_began,
                machine.peak_memory_bytes(),
                self._retries,
                {name: dataclasses.replace(stage) for name, stage in self._stages.items()},
            )

    def noted(self) -> None:
        """The figures are in the ledger: what comes is added to them."""
        with self._lock:
            self._stages.clear()
            self._retries = 0
            self._began, self._cpu_began = time.monotonic(), time.process_time()
            self._step = None

    def _of(self, name: str) -> StageFigures:
        return self._stages.setdefault(name, StageFigures())

    def _end_step(self) -> None:
        """Also where it goes on: what comes of it is added."""
        if self._step is None:
            return
        name, began, cpu_began = self._step
        now, cpu = time.monotonic(), time.thread_time()
        stage = self._of(name)
        stage.seconds += now - began
        stage.cpu_seconds += max(0.0, cpu - cpu_began)
        self._step = (name, now, cpu)


_current: ContextVar[Meter | None] = ContextVar("rowkeeper_meter", default=None)


@contextmanager
def metering() -> Iterator[Meter]:
    """A meter for the run that is made in the block, and whatever it starts."""
    meter = Meter()
    machine.forget_peak_memory()
    token = _current.set(meter)
    try:
        yield meter
    finally:
        _current.reset(token)


def measured_run(run: int) -> None:
    """From now on what is measured is of this run."""
    meter = _current.get()
    if meter is not None:
        meter.run = run


def meter_of(run: int) -> Meter | None:
    """The meter of this run, if it is made here."""
    meter = _current.get()
    return meter if meter is not None and meter.run == run else None


def step(name: str) -> None:
    """The next step of the run begins."""
    meter = _current.get()
    if meter is not None:
        meter.step(name)


def took(name: str, **figures: float) -> None:
    """A stage took so much: `took("read", rows=10, bytes=80)`."""
    meter = _current.get()
    if meter is not None:
        meter.add(name, **figures)


def retried() -> None:
    """A call to another machine was tried again."""
    meter = _current.get()
    if meter is not None:
        meter.retried()


@contextmanager
def timed(name: str) -> Iterator[None]:
    """The block is work of this stage."""
    meter = _current.get()
    if meter is None:
        yield
        return
    began, cpu_began = time.monotonic(), time.thread_time()
    try:
        yield
    finally:
        meter.add(name, seconds=time.monotonic() - began, cpu_seconds=time.thread_time() - cpu_began)


def each_timed(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; making each is work of this stage."""
    ended = object()
    while True:
        with timed(name):
            item: Item | object = next(items, ended)
        if item is ended:
            return
        yield item  # type: ignore[misc]


def waiting(name: str, figure: str) -> Callable[[], None]:
    """A wait of this stage begins; what is returned is called when it ends.

    Args:
        figure: `input_wait_seconds` or `room_wait_seconds`.
    """
    meter = _current.get()
    if meter is None:
        return _nothing
    began = time.monotonic()
    return lambda: meter.add(name, **{figure: time.monotonic() - began})


def _nothing() -> None:
    pass
