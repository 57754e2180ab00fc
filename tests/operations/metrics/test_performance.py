"""What a run takes, as it is measured and as it is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rowkeeper import machine, metering
from rowkeeper.runs.conveyor import Conveyor
from tests.web.site import Site

WORK_SECONDS = 0.05


def slowly(items: Iterator[int]) -> Iterator[int]:
    """Work that takes time: what is measured here."""
    for each in items:
        time.sleep(WORK_SECONDS)
        yield each


def waits(*, maker_is_slow: bool) -> tuple[float, float]:
    """How long the maker waited for room, and the taker for input."""
    with metering.metering() as meter, Conveyor() as conveyor:
        made = slowly(iter(range(4))) if maker_is_slow else iter(range(4))
        taken = conveyor.ahead(made, 1, "rowkeeper-made", between=("read", "check"))
        assert list(taken if maker_is_slow else slowly(taken)) == [0, 1, 2, 3]
    stages = meter.figures().stages
    made_figures, taken_figures = (stages.get(name, metering.StageFigures()) for name in ("read", "check"))
    return made_figures.room_wait_seconds, taken_figures.input_wait_seconds


def test_waits_tell_which_stage_is_slow():
    """A taker that is slower lets the maker wait for room; a maker that is slower lets the taker wait for input."""
    room, _ = waits(maker_is_slow=False)
    assert room > WORK_SECONDS
    room, given = waits(maker_is_slow=True)
    assert (room < WORK_SECONDS, given > 3 * WORK_SECONDS) == (True, True)


def test_without_a_run_nothing_is_measured():
    """A plan that is only explained has no meter, and nobody notes it."""
    metering.step("plan")
    metering.took("read", rows=1)
    with metering.timed("read"):
        pass
    assert metering.meter_of(1) is None


def test_the_peak_is_that_of_the_run():
    """What the process had before is forgotten; what the run had and gave back is not."""
    before = bytearray(150_000_000)
    before[::4096] = b"x" * len(before[::4096])
    del before
    highest = machine.peak_memory_bytes()
    with metering.metering() as meter:
        small = meter.figures().peak_memory_bytes
        assert small < highest
        during = bytearray(100_000_000)
        during[::4096] = b"x" * len(during[::4096])
        del during
        assert meter.figures().peak_memory_bytes >= small + 90_000_000


def test_show_tells_what_a_run_took(site: Site):
    """Stage by stage, with the share of rows that went through Pydantic; in JSON, on the terminal, on the page."""
    document, printed, paged = site.arena.together(
        ("show", "1", "--json"), ("show", "1"), ("show", "1", "--html", "incident.html")
    )
    found = document.json["performance"]
    stages = {each["stage"]: each for each in found["stages"]}
    assert list(stages)[:3] == ["open", "plan", "load"]
    assert (stages["read"]["rows"], stages["stage"]["rows"]) == (40, 32)
    assert found["rows"] == 40
    assert 0 < found["share_by_pydantic"] <= 1
    assert found["peak_memory_bytes"] > 50_000_000
    assert sum(stages[each]["seconds"] for each in ("open", "plan", "load", "publish")) < found["seconds"]
    assert "of the rows went through Pydantic" in printed.stdout
    assert (paged.status, "What it took" in (site.arena.folder / "incident.html").read_text()) == (0, True)
