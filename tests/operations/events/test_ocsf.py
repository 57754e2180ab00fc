"""Security events: each entry of the trail is a valid event of OCSF 1.5.0, and what stands out is one as well."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

import rowkeeper as rk
from rowkeeper.access.actions import ACTIONS
from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.errors import AccessDenied
from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.audit import Event, Outcome
from rowkeeper.ledger.audit.listing import Wanted
from rowkeeper.operations.events import EventClass, EventCounts, export_events, newest_events
from rowkeeper.operations.events.classes import ACTIVITIES, class_of
from rowkeeper.operations.events.detecting import detections
from rowkeeper.operations.events.ocsf import VERSION

ROOT = Path(rk.__file__).parent
# Actions that are written beside those that permissions know; the test below sees that none is missing.
WRITTEN = re.compile(r'Event\(\s*"([a-z_]+\.[a-z_]+)"|"(run\.[a-z_]+|keys\.[a-z_]+)"')
# Those that other rooms will write, or write under a name that is put together.
LOGINS = [*ACTIVITIES[EventClass.AUTHENTICATION], *ACTIVITIES[EventClass.ACCOUNT_CHANGE]]


def all_actions() -> list[str]:
    written = {one or other for path in ROOT.rglob("*.py") for one, other in WRITTEN.findall(path.read_text())}
    return sorted({*written, *ACTIONS, *LOGINS, *ACTIVITIES[EventClass.DATASTORE_ACTIVITY]})


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """OCSF's own schema of a class, as the package `ocsf-json-schema` makes it of the published one."""
    return Draft202012Validator(OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION)).get_class_schema(name))


@functools.cache
def published(name: str) -> Mapping[str, Any]:
    return get_ocsf_schema(VERSION)["classes"][name]


def check(document: Mapping[str, Any]) -> None:
    """Against the schema, and against what a JSON schema does not say: numbers that go together, at least one of."""
    found = EventClass(document["class_uid"])
    faults = [
        f"{'/'.join(map(str, each.path))}: {each.message}" for each in validator(found.word).iter_errors(document)
    ]
    assert not faults, (document, faults)
    attributes = published(found.word)["attributes"]
    assert document.keys() <= attributes.keys()
    for name in ("activity_id", "severity_id", "status_id", "category_uid", "class_uid", "type_uid"):
        assert str(document[name]) in attributes[name]["enum"], name
    assert document["class_name"] == published(found.word)["caption"]
    for rule, names in (published(found.word).get("constraints") or {}).items():
        assert rule == "at_least_one"
        assert set(names) & document.keys()


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ledger(tmp_path: Path, time: Time) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, time, auditing=Auditing(lambda: (b"\x07" * 32,))) as ledger:
        yield ledger


class Space:
    """What reading events needs of a workspace, over a ledger whose clock a test holds."""

    def __init__(self, ledger: Ledger, *, allows: bool = True) -> None:
        self.ledger = ledger
        self.access = self
        self._allows = allows

    def require(self, action: str, _resource: object) -> None:
        if not self._allows:
            raise AccessDenied(f"may not {action}", hint="ask")


def of(ledger: Ledger, wanted: Wanted = Wanted()) -> list[Mapping[str, Any]]:  # noqa: B008 - it is frozen
    return [each.document for each in export_events(Space(ledger), wanted)]  # type: ignore[arg-type]


def test_every_action_makes_a_valid_event(ledger: Ledger):
    """Each action that is written anywhere, with all it may say or nothing, by whoever, is valid OCSF."""
    actions = all_actions()
    assert len(actions) > 50
    on: dict[str, Any] = {"run": 12, "pipeline": "flights", "user": "p_0123456789abcdef", "nothing": None}
    web = Caller(CallerKind.USER, "ann", address="192.0.2.7", session="s_1", purpose="billing")
    odd = Caller(CallerKind.ANONYMOUS, "", address="unix socket")
    full = [Event(action, on, detail={"rows": 3}, reason="Ada asked") for action in actions]
    bare = [Event(action, outcome=Outcome.REFUSED) for action in actions]
    failed = [Event("run.fail", on, outcome=Outcome.FAILED), Event("session.begin", outcome=Outcome.FAILED)]
    query = Event("data.query", {"sql_sha256": "ab" * 32, "table": "default.flights"})
    ledger.audit.record(*full, *bare, *failed, query)
    for caller in (web, odd):
        with acting(caller):
            ledger.audit.record(*failed, query)
    documents = of(ledger)
    assert len(documents) == ledger.audit.head()[0] + len(list(detections(ledger, None, None)))
    for document in documents:
        check(document)
        assert "Ada asked" not in str(document)


@pytest.mark.parametrize(
    ("action", "outcome", "expected"),
    [
        ("session.begin", Outcome.DONE, (3002, 1, 300201, 1, 1)),
        ("session.begin", Outcome.REFUSED, (3002, 1, 300201, 2, 3)),
        ("session.end", Outcome.DONE, (3002, 2, 300202, 1, 1)),
        ("user.add", Outcome.DONE, (3001, 1, 300101, 1, 1)),
        ("user.give", Outcome.REFUSED, (3001, 7, 300107, 2, 3)),
        ("totp.confirm", Outcome.DONE, (3001, 10, 300110, 1, 1)),
        ("data.query", Outcome.DONE, (6005, 4, 600504, 1, 1)),
        ("quarantine.reveal", Outcome.REFUSED, (6005, 10, 600510, 2, 3)),
        ("run.publish", Outcome.DONE, (6005, 5, 600505, 1, 1)),
        ("run.fail", Outcome.FAILED, (6003, 99, 600399, 2, 2)),
        ("keys.rotate", Outcome.DONE, (6003, 3, 600303, 1, 1)),
        ("something.new", Outcome.DONE, (6003, 99, 600399, 1, 1)),
    ],
)
def test_an_action_is_of_its_class(ledger: Ledger, action: str, outcome: Outcome, expected: tuple[int, ...]):
    """Class, activity, type, status and severity of what matters most; what nobody thought of is a use of the API."""
    ledger.audit.record(Event(action, {"user": "p_1"}, outcome=outcome))
    document = of(ledger)[-1]
    names = ("class_uid", "activity_id", "type_uid", "status_id", "severity_id")
    assert tuple(document[name] for name in names) == expected


@pytest.mark.of_sqlite("looks into its file")
def test_who_was_forgotten_has_no_name(ledger: Ledger, tmp_path: Path):
    """Names and addresses are those that the trail can resolve at reading; where they are gone, the ids are left."""
    ledger.users.add("ann")
    with acting(Caller(CallerKind.USER, "bob", address="192.0.2.7")):
        ledger.users.give("ann", "viewer")
    before = of(ledger)[-1]
    assert before["user"]["name"] == "user:ann"
    assert before["actor"]["user"]["name"] == "user:bob"
    assert before["src_endpoint"] == {"ip": "192.0.2.7"}
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.sqlite") as hand:
        hand.execute("DELETE FROM audit_people")
    after = of(ledger)[-1]
    check(after)
    assert after["user"] == {"uid": before["user"]["uid"]}
    for gone in ("ann", "bob", "192.0.2.7"):
        assert gone not in str(after)


def refused(ledger: Ledger, time: Time, user: str, *minutes: float) -> None:
    begin = time.now
    for each in minutes:
        time.now = begin + timedelta(minutes=each)
        ledger.audit.record(Event("session.begin", {"user": user}, outcome=Outcome.REFUSED))


def test_repeated_refused_logins_are_a_finding(ledger: Ledger, time: Time):
    """Five for one account within five minutes; its entries and their times are named, and no person."""
    refused(ledger, time, "p_ann", 0, 1, 2, 3, 4)
    (document,) = [each for each in of(ledger) if each["class_uid"] == 2004]
    check(document)
    assert [each["uid"].rpartition("/")[2] for each in document["finding_info"]["related_events"]] == list("12345")
    assert document["finding_info"]["last_seen_time"] - document["finding_info"]["first_seen_time"] == 240_000
    assert document["evidences"] == [{"user": {"uid": "p_ann"}}]
    assert of(ledger)[-1] == document, "after the last entry that it rests on"
    assert of(ledger)[-1]["finding_info"]["uid"] == document["finding_info"]["uid"]


def test_logins_that_are_refused_now_and_then_are_none(ledger: Ledger, time: Time):
    """Four of one account, five over a longer time, five of different accounts, and five that were let in."""
    refused(ledger, time, "p_ann", 0, 1, 2, 3)
    refused(ledger, time, "p_bob", 1, 3, 5, 7, 9)
    for number in range(5):
        refused(ledger, time, f"p_{number}", 0)
    for _ in range(5):
        ledger.audit.record(Event("session.begin", {"user": "p_eve"}))
    assert list(detections(ledger, None, None)) == []


def test_a_finding_is_found_from_its_middle_on(ledger: Ledger, time: Time):
    """A time that begins between the entries of a finding still has it; one that begins after it has not."""
    refused(ledger, time, "p_ann", 0, 1, 2, 3, 4)
    last = time.now
    assert len(list(detections(ledger, last - timedelta(minutes=1), None))) == 1
    assert list(detections(ledger, last + timedelta(seconds=1), None)) == []
    assert list(detections(ledger, None, last)) == []


def test_the_newest_of_a_class(ledger: Ledger, time: Time):
    """A class, an outcome, a time and a number are kept to; each class is found."""
    refused(ledger, time, "p_ann", 0, 1, 2, 3, 4)
    ledger.users.add("ann")
    ledger.audit.record(Event("data.query"), Event("keys.rotate"), Event("user.list", outcome=Outcome.REFUSED))
    space: Any = Space(ledger)

    def found(limit: int = 20, wanted: Wanted = Wanted(), of: EventClass | None = None) -> list[str]:  # noqa: B008
        return [each.document["message"] for each in newest_events(space, limit, wanted, of)]

    assert found(3) == ["data.query: done", "keys.rotate: done", "user.list: refused"]
    assert found(of=EventClass.ACCOUNT_CHANGE) == ["user.add: done"]
    assert found(of=EventClass.AUTHENTICATION) == ["session.begin: refused"] * 5
    assert found(of=EventClass.DATASTORE_ACTIVITY) == ["data.query: done"]
    assert found(2, of=EventClass.API_ACTIVITY) == ["keys.rotate: done", "user.list: refused"]
    assert found(of=EventClass.DETECTION_FINDING) == ["5 logins to one account were refused within 5 minutes"]
    assert found(1, Wanted(outcome=Outcome.REFUSED)) == ["user.list: refused"]
    assert found(wanted=Wanted(until=time.now - timedelta(minutes=3, seconds=1))) == [
        "audit.begin: done",
        "session.begin: refused",
    ]
    assert class_of("audit.begin") == (EventClass.API_ACTIVITY, 1)


def test_counts_go_on_from_where_they_were(ledger: Ledger, time: Time):
    """By class and outcome, all that are known with a zero; each entry and each detection is counted once."""
    counts = EventCounts(ledger)
    assert set(counts.read().values()) == {0}
    refused(ledger, time, "p_ann", 0, 1, 2)
    assert counts.read()["authentication", "refused"] == 3
    refused(ledger, time, "p_ann", 1, 2)
    ledger.audit.record(Event("data.query", {"outcome": 'x","outcome":"failed'}, detail={"outcome": "failed"}))
    found = counts.read()
    assert {key: count for key, count in found.items() if count} == {
        ("authentication", "refused"): 5,
        ("detection_finding", "done"): 1,
        ("api_activity", "done"): 1,
        ("datastore_activity", "done"): 1,
    }
    assert counts.read() == found
    assert EventCounts(ledger).read() == found


def test_events_are_for_those_who_may(ledger: Ledger):
    """Whoever may not list events gets none, not even the first."""
    space: Any = Space(ledger, allows=False)
    with pytest.raises(AccessDenied):
        newest_events(space, 1, Wanted())
    with pytest.raises(AccessDenied):
        export_events(space, Wanted())
