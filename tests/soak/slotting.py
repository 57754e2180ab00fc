"""A pipeline of which each run is for one slot, and what must become of the slots of all that have a schedule.

The file of a slot has a few rows of its own. So what is lost is missing in the table, whatever the ledger says.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel


class Reading(BaseModel):
    id: int
    slot: str


slot = rk.slot()

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files(f"data/{name}/{{slot.until:%Y%m%dT%H%M%S}}.csv"),
    contract=Reading,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    every="{seconds}s",
    catch_up="all",
)
"""
ROWS = 3
ANSWERED = ("published", "unchanged", "rolled_back")
"""How a run ends that has answered its slot; the last is of one that was taken back since, by a restore."""
SLOTS = "SELECT number, pipeline, since, until, state, run FROM slots WHERE cause = 'time' ORDER BY pipeline, number"
LOADED = "SELECT p.key FROM run_partitions p JOIN runs r ON r.run = p.run WHERE r.status = 'published'"
ANSWERS = "SELECT run, slot FROM runs WHERE slot IS NOT NULL AND status IN ('published', 'unchanged', 'rolled_back')"


@dataclass
class SlotFeed:
    """The pipeline, with a file for each slot that may come due.

    Attributes:
        seconds: between two slots.
    """

    folder: Path
    seconds: int
    name: str = "by_slot"
    files: dict[str, list[int]] = field(default_factory=dict)

    def declare(self, lasts: timedelta) -> None:
        """Writes the pipeline file, and the files of all slots until then."""
        (self.folder / f"{self.name}.py").write_text(PIPELINE.format(name=self.name, seconds=self.seconds))
        place = self.folder / "data" / self.name
        place.mkdir(parents=True)
        first = int(datetime.now(UTC).timestamp()) // self.seconds
        for number in range(first, first + int(lasts.total_seconds()) // self.seconds + 2):
            at = datetime.fromtimestamp(number * self.seconds, UTC).strftime("%Y%m%dT%H%M%S")
            ids = [ROWS * number + each for each in range(ROWS)]
            (place / f"{at}.csv").write_text("id,slot\n" + "".join(f"{id},{at}\n" for id in ids))
            self.files[at] = ids

    def ids_of(self, untils: Sequence[str]) -> list[int]:
        """The rows of these slots, in order."""
        return sorted(id for until in untils for id in self.files[until])


@dataclass(frozen=True)
class SlotSeen:
    """A row of the ledger."""

    number: int
    pipeline: str
    since: datetime
    until: datetime
    state: str
    run: int | None

    @property
    def file(self) -> str:
        """Of the pipeline that reads one for each."""
        return f"{self.until:%Y%m%dT%H%M%S}"


def slots_in(ledger: sqlite3.Connection) -> dict[str, list[SlotSeen]]:
    """By pipeline, in their order."""
    found: dict[str, list[SlotSeen]] = {}
    for number, pipeline, since, until, state, run in ledger.execute(SLOTS):
        each = SlotSeen(number, pipeline, datetime.fromisoformat(since), datetime.fromisoformat(until), state, run)
        found.setdefault(pipeline, []).append(each)
    return found


def taken_back(ledger: sqlite3.Connection, name: str) -> list[SlotSeen]:
    """Slots whose rows a restore took away: they count as answered, so somebody has to ask for them again."""
    gone = {run for (run,) in ledger.execute("SELECT run FROM runs WHERE status = 'rolled_back'")}
    there = {key for (key,) in ledger.execute(LOADED)}
    found = slots_in(ledger).get(name, [])
    return [each for each in found if each.run in gone and f"data/{name}/{each.file}.csv" not in there]


def faults_of_slots(ledger: sqlite3.Connection, step: dict[str, int]) -> list[str]:
    """What is wrong with the slots, a sentence each.

    Args:
        step: by pipeline that leaves none out: seconds between two slots.
    """
    faults = []
    answers = list(ledger.execute(ANSWERS))
    for slot, times in Counter(slot for _, slot in answers).items():
        if times > 1:
            faults.append(
                f"slot {slot} was answered by the runs {sorted(run for run, each in answers if each == slot)}"
            )
    by_run = dict(answers)
    for name, found in slots_in(ledger).items():
        for earlier, later in pairwise(found):
            if earlier.until != later.since:
                faults.append(f"{name}: between {earlier.until} and {later.since} is no slot")
        for each in found:
            if each.state == "done" and by_run.get(each.run or 0) != each.number:
                faults.append(f"{name}: slot {each.number} counts as answered by run {each.run}, which is not for it")
            if name in step and each.state != "due":
                length = (each.until - each.since).total_seconds()
                if each.state != "done" or length != step[name]:
                    faults.append(f"{name}: the slot until {each.until} of {length:.0f} s is {each.state}")
    return faults
