"""Carriers bring each message of a run once, whatever happens on the way: without the engine, on real servers."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import rowkeeper as rk
from rowkeeper.batch import Fingerprint
from rowkeeper.brokers import Broker
from rowkeeper.destinations.streams.carrying import Carrier, Delivery, Stored
from rowkeeper.destinations.streams.control import Layout
from rowkeeper.destinations.streams.kafka import KafkaCarrier
from rowkeeper.destinations.streams.messages import Message
from rowkeeper.destinations.streams.messages import message as made
from rowkeeper.destinations.streams.nats import NatsCarrier
from rowkeeper.destinations.streams.valkey import ValkeyCarrier, tag
from rowkeeper.errors import BooksDiffer, LeaseLost, StreamUnsuited
from rowkeeper.protocols import CommitRecord, Site
from rowkeeper.resilience import failpoints
from tests.brokers.front import Front
from tests.brokers.kafkabroker import KafkaBroker
from tests.brokers.servers import NatsServer, ValkeyServer

KINDS = ("kafka", "nats", "nats-plain", "valkey")
BLOCK, BLOCKS = 400, 8
SIZE = 100_000
QUICK = rk.Resilience(
    retry=rk.Retry(attempts=8, wait_seconds_initial=0.01, wait_seconds_max=0.1, attempt_seconds_max=20.0),
    breaker=None,
    deadline_seconds=60.0,
)
names = (f"s{number}" for number in itertools.count())


@dataclasses.dataclass
class Place:
    """One stream of a broker of some kind."""

    kind: str
    port: int
    site: Site
    server: Any

    def __post_init__(self) -> None:
        self.name = next(names)
        if self.kind == "kafka":
            self.server.make(self.name, 3)
        if self.kind == "nats-plain":
            subjects = [f"{self.name}.rows", f"_rk_runs.{self.name}"]
            self.server.ask(lambda js: js.add_stream(name=self.name, subjects=subjects, duplicate_window=0.1))

    def carrier(self, port: int | None = None) -> Carrier:
        scheme = self.kind.partition("-")[0]
        broker = Broker.of(f"{scheme}://127.0.0.1:{port or self.port}/{self.name}", resilience=QUICK)
        made: Carrier
        if scheme == "kafka":
            made = KafkaCarrier(broker, self.site, SIZE)
        elif scheme == "nats":
            made = NatsCarrier(broker, self.site, SIZE)
        else:
            made = ValkeyCarrier(broker, self.site)
        made.check()
        return made

    def read(self) -> list[Stored]:
        carrier = self.carrier()
        try:
            return [each for page in carrier.read_back() for each in page]
        finally:
            carrier.close()


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest,
    site: Site,
    kafka_broker: KafkaBroker,
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
) -> Place:
    servers = {"kafka": kafka_broker, "nats": nats_server, "nats-plain": nats_server, "valkey": valkey_server}
    server = servers[request.param]
    return Place(request.param, server.port, site, server)


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    yield
    failpoints.arm("")


def message(row: int) -> Message:
    return made(row, b'{"id":%d}' % row, b"key %d" % (row % 7), (("tenant", "acme"),))


def blocks(after: int, count: int = BLOCKS) -> Iterator[list[Message]]:
    for number in range(count):
        block = [message(row) for row in range(number * BLOCK, (number + 1) * BLOCK) if row > after]
        if block:
            yield block


def delivery(run: int, token: int, messages: Callable[[int], Iterator[Sequence[Message]]] = blocks) -> Delivery:
    return Delivery(CommitRecord("L", run, token, Fingerprint(BLOCK * BLOCKS, 7)), Layout((("id", "Int64"),)), messages)


def rows_of(found: Sequence[Stored], run: int) -> list[int]:
    return [each.row for each in found if each.run == run]


WHOLE = list(range(BLOCK * BLOCKS))


def test_a_run_is_there_once_with_its_commit_record(place: Place) -> None:
    """Delivered twice, as after a lost acknowledgement, it is there once, and the record names it."""
    carrier = place.carrier()
    carrier.deliver(delivery(1, 1))
    carrier.deliver(delivery(1, 1))
    assert carrier.control().committed == delivery(1, 1).record
    carrier.deliver(delivery(2, 2, lambda _after: iter(())))
    assert carrier.control().committed == delivery(2, 2).record
    carrier.close()
    found = place.read()
    assert sorted(rows_of(found, 1)) == WHOLE
    assert found[0].value == b'{"id":%d}' % found[0].row


def test_a_run_that_died_on_the_way_is_settled_to_all_or_nothing(place: Place) -> None:
    """Whatever was sent before: afterwards it is wholly there, or nothing of it and it can be sent by its successor."""
    carrier = place.carrier()
    failpoints.arm("publish.before_commit=raise" if place.kind == "kafka" else "publish.after_send=raise@2")
    with pytest.raises(failpoints.FailpointError):
        carrier.deliver(delivery(1, 1))
    failpoints.arm("")
    carrier.close()
    successor = place.carrier()
    control = successor.settle("L", 1, 1)
    assert control.committed is None
    if control.has_begun("L", 1):
        assert control.begun is not None
        successor.deliver(delivery(1, control.begun.record.token))
    else:
        assert rows_of(place.read(), 1) == []
        successor.deliver(delivery(1, 2))
    successor.close()
    assert sorted(rows_of(place.read(), 1)) == WHOLE


def test_a_zombie_that_wakes_up_in_the_midst_adds_nothing(place: Place) -> None:
    """Taken over between two of its messages, what a process still sends is refused: every row is there once."""
    zombie, successor = place.carrier(), place.carrier()

    def interrupted(after: int) -> Iterator[list[Message]]:
        for number, block in enumerate(blocks(after)):
            if number == BLOCKS // 2:
                control = successor.settle("L", 1, 1)
                successor.deliver(delivery(1, 1 if control.has_begun("L", 1) else 2))
            yield block

    with contextlib.suppress(LeaseLost):  # or it has looked, and found that the run is ended
        zombie.deliver(delivery(1, 1, interrupted))
    zombie.close()
    assert successor.control().has_committed("L", 1)
    successor.close()
    assert sorted(rows_of(place.read(), 1)) == WHOLE


def test_a_zombie_that_had_not_begun_can_begin_nothing(place: Place) -> None:
    """Settled as not published, a run can be published by the next holder of the lease only."""
    zombie, successor = place.carrier(), place.carrier()
    assert not successor.settle("L", 1, 1).has_begun("L", 1)
    with pytest.raises(LeaseLost):
        zombie.deliver(delivery(1, 1))
    successor.deliver(delivery(1, 2))
    with pytest.raises(LeaseLost):
        zombie.deliver(delivery(2, 1))
    zombie.close()
    successor.close()
    assert sorted(rows_of(place.read(), 1)) == WHOLE


def test_messages_of_one_key_keep_the_order_of_their_rows(place: Place) -> None:
    """After a death on the way too: read as a consumer reads, the rows of each key ascend."""
    carrier = place.carrier()
    failpoints.arm("publish.before_commit=raise" if place.kind == "kafka" else "publish.before_send=raise@3")
    with pytest.raises(failpoints.FailpointError):
        carrier.deliver(delivery(1, 1))
    failpoints.arm("")
    control = carrier.settle("L", 1, 1)
    carrier.deliver(delivery(1, 1 if control.has_begun("L", 1) else 2))
    carrier.close()
    found = rows_of(place.read(), 1)
    assert len(found) == len(WHOLE)
    for key in range(7):
        of_key = [row for row in found if row % 7 == key]
        assert of_key == sorted(of_key)


@pytest.mark.in_turns("cuts", 3)
@pytest.mark.parametrize("after", [150, 700, 1_500, 3_000, 6_000])
def test_an_answer_that_is_lost_doubles_nothing(place: Place, after: int) -> None:
    """The connection is cut after some bytes of answers, and again: every row is there once."""
    with Front(place.port, kafka=place.kind == "kafka") as front:
        carrier = place.carrier(front.port)
        front.cut_after = after

        def cut_again(known: int) -> Iterator[list[Message]]:
            for number, block in enumerate(blocks(known)):
                if number == BLOCKS // 2 and front.cut_after is None:
                    front.cut_after = after // 2
                yield block

        carrier.deliver(delivery(1, 1, cut_again))
        carrier.close()
    assert sorted(rows_of(place.read(), 1)) == WHOLE


def test_a_run_that_another_ledger_has_begun_is_not_overwritten(place: Place) -> None:
    """What is there in part must be ended by those who have its rows."""
    if place.kind == "kafka":
        return  # a run is never there in part
    carrier = place.carrier()
    failpoints.arm("publish.after_send=raise")
    with pytest.raises(failpoints.FailpointError):
        carrier.deliver(delivery(1, 1))
    failpoints.arm("")
    other = dataclasses.replace(delivery(5, 9), record=CommitRecord("M", 5, 9, Fingerprint()))
    with pytest.raises(BooksDiffer):
        carrier.deliver(other)
    carrier.close()


def test_nats_knows_what_is_there_after_its_window_has_passed(site: Site, nats_server: NatsServer) -> None:
    """The server forgets message ids after 0.1 s here; what was sent before is read back, and not sent again."""
    place = Place("nats-plain", nats_server.port, site, nats_server)
    carrier = place.carrier()
    failpoints.arm("publish.after_send=raise@2")
    with pytest.raises(failpoints.FailpointError):
        carrier.deliver(delivery(1, 1))
    failpoints.arm("")
    time.sleep(0.3)  # the window itself
    control = carrier.settle("L", 1, 1)
    assert control.has_begun("L", 1)
    carrier.deliver(delivery(1, 1))
    carrier.close()
    assert sorted(rows_of(place.read(), 1)) == WHOLE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subjects": ["other.>"]}, "subject"),
        ({"retention": "workqueue"}, "retention"),
        ({"max_age": 3600}, "age"),
        ({"max_msg_size": 1_000}, "1,000"),
    ],
)
def test_a_stream_of_nats_that_cannot_keep_the_promise_is_refused(
    site: Site, nats_server: NatsServer, options: dict[str, Any], said: str
) -> None:
    """Before anything is read: what is wrong with it, and how to mend it."""
    name = next(names)
    config = {"name": name, "subjects": [f"{name}.rows", f"_rk_runs.{name}"], **options}
    if options.get("subjects"):
        config["subjects"] = [f"{name}.other"]
    nats_server.ask(lambda js: js.add_stream(**config))
    carrier = NatsCarrier(Broker.of(f"nats://127.0.0.1:{nats_server.port}/{name}"), site, SIZE)
    with pytest.raises(StreamUnsuited, match=said):
        carrier.check()
    carrier.close()


def test_what_is_no_stream_is_refused(site: Site, valkey_server: ValkeyServer, kafka_broker: KafkaBroker) -> None:
    """A key of another type, and a topic that nobody made."""
    with valkey_server.client as client:
        client.set("text", "x")
    at_valkey = ValkeyCarrier(Broker.of(f"valkey://127.0.0.1:{valkey_server.port}/text"), site)
    at_kafka = KafkaCarrier(Broker.of(f"kafka://127.0.0.1:{kafka_broker.port}/nowhere"), site, SIZE)
    for carrier in (at_valkey, at_kafka):
        with pytest.raises(StreamUnsuited):
            carrier.check()
        carrier.close()


def test_stream_and_record_of_valkey_are_in_one_slot_of_a_cluster() -> None:
    """The name of the record has the hash tag that the stream's name has, or is."""
    assert [tag(name) for name in ("orders", "{eu}.orders")] == ["{orders}", "{eu}.orders"]
    for name in ("a}b", "{}x", "x{"):
        with pytest.raises(StreamUnsuited):
            tag(name)
