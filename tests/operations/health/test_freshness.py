"""How new tables and their keys are, asked of real tables and remembered in the ledger."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rowkeeper.errors import UnknownKey
from rowkeeper.operations.health import Check, Health, State, list_keys_seen, look, retire_key
from rowkeeper.pipeline import load_file
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.arena import Arena

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
FLIGHTS = """
from datetime import date, datetime
from pydantic import BaseModel
import rowkeeper as rk

class Flight(BaseModel):
    id: int
    carrier: str | None
    at: datetime | None

def pipeline(name, *rules, **more):
    return rk.Pipeline(name, source=rk.sources.files(f"{name}/*.csv"), contract=Flight, freshness=rules,
        destination=rk.destinations.clickhouse(name, order_by=["id"], **more))

flights = pipeline("flights", rk.fresh("at", within="2h", by="carrier"), rk.fresh("at", within="2h"),
    rk.fresh(within="3h"), rk.fresh(within="3h", by="carrier"))
whole = pipeline("whole", rk.fresh("at", within="2h", by="carrier"), write="replace")
days = pipeline("days", rk.complete_days("at", since=date(2026, 3, 27), zone="Europe/Berlin"))
wrong = pipeline("wrong", rk.fresh("at", within="2h", by="carrier", severity="warn"))
never = pipeline("never", rk.fresh("at", within="2h"))
"""


def csv(*rows: tuple[str, timedelta | None]) -> str:
    """Rows of a carrier and the age of their event."""
    lines = [
        f"{number},{carrier},{'' if age is None else (NOW - age).replace(tzinfo=None).isoformat()}"
        for number, (carrier, age) in enumerate(rows)
    ]
    return "\n".join(["id,carrier,at", *lines]) + "\n"


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


@pytest.fixture(scope="module")
def furnished(arena: Arena) -> Arena:
    arena.write("p.py", FLIGHTS)
    arena.write(
        "flights/a.csv", csv(("AA", hours(1)), ("AA", hours(9)), ("BB", hours(30)), ("", hours(1)), ("CC", None))
    )
    arena.write("whole/a.csv", csv(("AA", hours(1)), ("BB", hours(1))))
    berlin = "\n".join(
        ["id,carrier,at", "1,AA,2026-03-27T22:59:00", "2,AA,2026-03-28T23:00:00", "3,AA,2026-03-30T21:00:00"]
    )
    arena.write("days/a.csv", berlin + "\n")
    arena.write("wrong/a.csv", csv(("AA", hours(-5)), ("AA", hours(1))))
    arena.together(*(("run", f"p.py:{each}") for each in ("flights", "whole", "days", "wrong")))
    return arena


@pytest.fixture
def space(furnished: Arena) -> Iterator[Workspace]:
    with Workspace.open(Settings(home=furnished.home, egress="off")) as made:
        yield made


def looked(arena: Arena, space: Workspace, name: str, now: datetime = NOW) -> dict[str, Check]:
    """By subject, what is said of the freshness of a pipeline's table."""
    found = look(space, [load_file(arena.folder / "p.py")[name]], now=now)
    return fresh_of(found)


def fresh_of(found: Health) -> dict[str, Check]:
    return {each.subject.partition("/")[2]: each for each in found.checks if each.name == "freshness"}


def test_a_silent_carrier_is_bad_while_the_table_is_fresh(furnished: Arena, space: Workspace):
    """Since the moment it became too old; a null is no key, and one without events is bad as well."""
    found = looked(furnished, space, "flights")
    assert found["fresh(at)"].state is State.GOOD
    assert found["fresh(at by carrier)/BB"].state is State.BAD
    assert found["fresh(at by carrier)/BB"].since == NOW - hours(28)
    assert "retire flights 'BB'" in found["fresh(at by carrier)/BB"].mend
    assert found["fresh(at by carrier)/CC"].state is State.BAD
    assert "1 of 3 values" in found["fresh(at by carrier)"].told


def test_by_load_time_the_last_publish_counts(furnished: Arena, space: Workspace):
    """Of the table, and of each key the last publish that brought a row of it."""
    now = datetime.now(UTC)
    soon, late = (looked(furnished, space, "flights", now + each) for each in (hours(1), hours(4)))
    assert soon["fresh()"].state is State.GOOD
    assert late["fresh()"].state is State.BAD
    assert "rowkeeper run" in late["fresh()"].mend
    assert "3 of 3 values" in soon["fresh(by carrier)"].told
    assert {late[f"fresh(by carrier)/{key}"].state for key in ("AA", "BB", "CC")} == {State.BAD}


def test_the_table_is_asked_again_only_after_a_publish(furnished: Arena, space: Workspace):
    """While the engine's host is stopped, what is known is judged all the same, and only the engine is bad."""
    looked(furnished, space, "flights")
    pid = furnished.host_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        found = look(space, [load_file(furnished.folder / "p.py")["flights"]], now=NOW + hours(2))
    finally:
        os.kill(pid, signal.SIGCONT)
    engine = next(each for each in found.checks if each.name == "engine")
    assert engine.state is State.BAD
    assert f"kill -9 {pid}" in engine.mend
    assert fresh_of(found)["fresh(at)"].state is State.BAD
    assert not any(each.state is State.UNKNOWN for each in found.checks)


def test_a_key_of_which_nothing_is_left_is_expected_until_it_is_retired(furnished: Arena, space: Workspace):
    """And again once it has a newer event. The retiring is in the audit trail, with its reason beside it."""
    assert "2 of 2 values" in looked(furnished, space, "whole")["fresh(at by carrier)"].told
    furnished.write("whole/a.csv", csv(("AA", hours(1)), ("AA", hours(2))))
    furnished.ok("run", "p.py:whole")
    gone = looked(furnished, space, "whole", NOW + hours(2))["fresh(at by carrier)/BB"]
    assert gone.state is State.BAD
    assert "no row of it is left" in gone.told
    with pytest.raises(UnknownKey, match="BC"):
        retire_key(space, "whole", "BC")
    retire_key(space, "whole", "BB", reason="it was merged with AA")
    assert "fresh(at by carrier)/BB" not in looked(furnished, space, "whole", NOW + hours(2))
    (entry,) = space.ledger.audit.newest(10, "freshness.retire")
    assert entry.event.on["key"] == "BB"
    furnished.write("whole/a.csv", csv(("AA", hours(1)), ("BB", hours(0))))
    furnished.ok("run", "p.py:whole")
    assert "2 of 2 values" in looked(furnished, space, "whole")["fresh(at by carrier)"].told
    assert [each.retired_at for each in list_keys_seen(space, "whole")] == [None, None]
    assert looked(furnished, space, "whole", NOW + hours(3))["fresh(at by carrier)/BB"].state is State.BAD


def test_an_event_of_the_future_makes_nothing_fresh(furnished: Arena, space: Workspace):
    """It is a warning, and counts once its time has come; a rule that only warns is a warning."""
    found = look(space, [load_file(furnished.folder / "p.py")["wrong"]], now=NOW + hours(1.5))
    (ahead,) = [each for each in found.checks if each.name == "event times"]
    assert ahead.state is State.WARNING
    assert fresh_of(found)["fresh(at by carrier)/AA"].state is State.WARNING
    later = look(space, [load_file(furnished.folder / "p.py")["wrong"]], now=NOW + hours(5))
    assert "1 of 1 values" in fresh_of(later)["fresh(at by carrier)"].told
    assert not [each for each in later.checks if each.name == "event times"]


def test_days_without_rows_are_found_as_the_zone_counts_them(furnished: Arena, space: Workspace):
    """In Berlin 23:59 of the 27th, midnight of the 29th (the day of the change) and 23:00 of the 30th have rows."""
    found = looked(furnished, space, "days", datetime(2026, 4, 1, 12, tzinfo=UTC))["complete_days(at)"]
    assert found.state is State.BAD
    assert "1 day has no rows: 2026-03-28" in found.told


def test_what_was_never_published_is_bad(furnished: Arena, space: Workspace):
    """And no table is asked for."""
    found = looked(furnished, space, "never")["fresh(at)"]
    assert (found.state, found.told) == (State.BAD, "nothing has been published yet")


def test_the_commands_show_and_retire_keys(furnished: Arena, space: Workspace):
    """`list` shows what is known, `retire` ends with 0, and with 2 for a key that nobody has seen."""
    looked(furnished, space, "flights")
    known = furnished.ok("freshness", "list", "flights")["keys"]
    assert {each["key"] for each in known} == {"AA", "BB", "CC"}
    assert "AA" in furnished.run("freshness", "list", "flights").stdout
    assert furnished.run("freshness", "retire", "flights", "ZZ").status == 2
    assert (
        furnished.ok(
            "freshness",
            "retire",
            "flights",
            "CC",
        )["status"]
        == "retired"
    )
    assert "fresh(at by carrier)/CC" not in looked(furnished, space, "flights")
