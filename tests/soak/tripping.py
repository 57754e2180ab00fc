"""The pipeline that is made to fail, and mended again once somebody was told."""

from __future__ import annotations

import dataclasses
import random
import time
from pathlib import Path

from tests.soak.field import Field, Started
from tests.soak.hearing import RULE

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel


class Row(BaseModel):
    id: int


tripwire = rk.Pipeline(
    "tripwire",
    source=rk.sources.files("data/tripwire/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("tripwire", order_by=["id"]),
)
"""
TOLD_SECONDS_MAX = 120.0
"""In which it is told, of the time in which the receiver is up: workers look every ten seconds, but are killed, stand
still, and pause after a notice that did not get through."""
REST_SECONDS = 6.0


@dataclasses.dataclass
class Tripwire:
    """It fails, it is told, it is mended, it is told.

    Attributes:
        told: seconds, of those in which the receiver was up, until each failure, and each mend, was told.
        untold: those that were not in time.
    """

    field: Field
    source: random.Random
    told: list[float] = dataclasses.field(default_factory=list)
    untold: list[str] = dataclasses.field(default_factory=list)
    trips: int = 0
    _run: Started | None = None
    _tripped: bool = False  # or about to be
    _before: set[str] = dataclasses.field(default_factory=set)  # notices heard before that
    _since: float | None = None  # the run that says so has ended then
    _next: float = 0.0

    def lay(self) -> None:
        """Writes the pipeline file, and a good file for it."""
        (self.field.folder / "tripwire.py").write_text(PIPELINE)
        self._data.mkdir(parents=True)
        (self._data / "good.csv").write_text("id\n1\n")

    @property
    def _data(self) -> Path:
        return self.field.folder / "data" / "tripwire"

    @property
    def is_waiting(self) -> bool:
        """Something is still to be told, or the pipeline is to be mended."""
        return self._tripped or self._since is not None or self._run is not None

    def tend(self, *, trips: bool = True) -> None:
        """The next step, if it is time for one.

        Args:
            trips: it may be made to fail once more.
        """
        if self._run is not None:
            self._look_at_run(self._run)
        elif self._since is not None:
            self._listen(self._since)
        elif time.monotonic() >= self._next and (trips or self._tripped):
            self._turn()

    def _turn(self) -> None:
        """Breaks the input if it is well, and mends it if it is not."""
        if not self._tripped:
            (self._data / "bad.csv").write_text("name\nx\n")
            self._tripped = True
            self.trips += 1
        else:
            (self._data / "bad.csv").unlink(missing_ok=True)
            self._tripped = False
        self._before = {each.notice["id"] for each in self.field.ear.heard}
        self._begin()

    def _begin(self) -> None:
        self._run = self.field.start("run", "tripwire.py", "--json")

    def _look_at_run(self, run: Started) -> None:
        if run.status is None or time.monotonic() < self._next:
            return
        said = self.field.said(run) or {}
        wanted = ("failed",) if self._tripped else ("published", "unchanged")
        if said.get("status") in wanted and said.get("run") is not None:
            self._run, self._since = None, time.monotonic()
        else:  # something else came between: once more
            self._next = time.monotonic() + 1.0
            self._begin()

    def _listen(self, since: float) -> None:
        now = time.monotonic()
        kind = "firing" if self._tripped else "resolved"
        new = [each for each in self.field.ear.heard if each.notice["id"] not in self._before]
        heard = [each for each in new if each.kind == kind and each.is_of(RULE)]
        if heard:
            self.told.append(max(0.0, self.field.ear.seconds_up(since, heard[0].at)))
        elif self.field.ear.seconds_up(since, now) > TOLD_SECONDS_MAX * self.field.crowding:
            self.untold.append(f"trip {self.trips} was not told as {kind} in {TOLD_SECONDS_MAX:.0f} s")
        else:
            return
        self._since, self._next = None, now + self.source.uniform(0.5, 1.5) * REST_SECONDS

    def again(self) -> None:
        """All was stopped, and restored to some time: what it was about to say is said again."""
        self._since = None
        self._begin()
