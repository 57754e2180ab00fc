"""What a stream source reads, run after run, of each broker: ranges, gaps, losses, what is made anew, bad messages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import pytest

import rowkeeper as rk
from rowkeeper.errors import MessagesLost, StreamRemade, StreamUnfit
from rowkeeper.sources.stream import Message, StreamSource
from rowkeeper.sources.stream.tapping import Pace
from tests.brokers.servers import KafkaMock, NatsServer, ValkeyServer
from tests.sources.stream.conftest import Loader, malformed

NAMES = (f"S{number}" for number in itertools.count())
KINDS = ("kafka", "nats", "valkey")


class Stream(Protocol):
    """A stream of a new name, whichever broker it is of."""

    def put(self, *messages: bytes) -> None: ...
    def source(self, **more: Any) -> StreamSource: ...
    def remake(self) -> None: ...


class OfKafka:
    def __init__(self, mock: KafkaMock) -> None:
        self.mock, self.name = mock, next(NAMES)
        mock.producer.list_topics(self.name, timeout=20)

    def put(self, *messages: bytes) -> None:
        self.mock.publish(self.name, messages)

    def source(self, **more: Any) -> StreamSource:
        return rk.sources.stream(f"kafka://127.0.0.1:{self.mock.ports[0]}/{self.name}", **{"name": "it", **more})

    def remake(self) -> None:
        """The mock cannot delete topics: another one of the same name for the source."""
        self.name = next(NAMES)
        self.mock.producer.list_topics(self.name, timeout=20)


class OfNats:
    def __init__(self, server: NatsServer) -> None:
        self.server, self.name = server, next(NAMES)
        server.publish(self.name, [])

    def put(self, *messages: bytes) -> None:
        self.server.publish(self.name, messages)

    def source(self, *, query: str = "", **more: Any) -> StreamSource:
        return rk.sources.stream(f"nats://127.0.0.1:{self.server.port}/{self.name}{query}", **more)

    def remake(self) -> None:
        self.server.ask(lambda js: js.delete_stream(self.name))
        self.server.publish(self.name, [])

    def trim(self, before: int) -> None:
        self.server.ask(lambda js: js.purge_stream(self.name, seq=before))


class OfValkey:
    def __init__(self, server: ValkeyServer) -> None:
        self.server, self.name = server, next(NAMES)
        self._make()

    def _make(self) -> None:
        with self.server.client as client:
            client.xgroup_create(self.name, "others", mkstream=True)

    def put(self, *messages: bytes) -> None:
        self.server.publish(self.name, messages)

    def source(self, **more: Any) -> StreamSource:
        return rk.sources.stream(f"valkey://127.0.0.1:{self.server.port}/{self.name}", **more)

    def remake(self) -> None:
        with self.server.client as client:
            client.delete(self.name)
        self._make()

    def trim(self, left: int) -> None:
        with self.server.client as client:
            client.xtrim(self.name, maxlen=left, approximate=False)


@pytest.fixture(params=KINDS)
def stream(request: pytest.FixtureRequest) -> Any:
    made = {"kafka": (OfKafka, "kafka"), "nats": (OfNats, "nats_server"), "valkey": (OfValkey, "valkey_server")}
    kind, fixture = made[request.param]
    return kind(request.getfixturevalue(fixture))


def rows(count: int, first: int = 0) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, first + count)]


def ids(records: Sequence[Any]) -> list[int]:
    return [each["id"] for each in records]


def test_each_run_goes_on_where_the_last_ended(stream: Stream, loader: Loader) -> None:
    """What was there, then what came, then nothing."""
    stream.put(*rows(25))
    assert ids(loader.load(stream.source())) == list(range(25))
    stream.put(*rows(5, first=25))
    assert ids(loader.load(stream.source())) == list(range(25, 30))
    assert loader.load(stream.source()) == []


def test_a_run_takes_no_more_than_it_may(stream: Stream, loader: Loader) -> None:
    """`max_rows` in all; the rest is for the next ones."""
    stream.put(*rows(25))
    found = [ids(loader.load(stream.source(max_rows=10))) for _ in range(4)]
    assert found == [list(range(10)), list(range(10, 20)), list(range(20, 25)), []]


def test_it_goes_on_after_any_batch(stream: Stream, loader: Loader) -> None:
    """A run that died is gone on with where its last batch ended, though more has come meanwhile."""
    import dataclasses

    stream.put(*rows(25))
    working = stream.source().at(loader.site)
    (partition,) = working.plan({}, whole=False).load
    batches = loader.batches(stream.source())
    stream.put(*rows(5, first=25))
    for number, batch in enumerate(batches[:-1]):
        half = dataclasses.replace(partition, position=batch.position)
        rest = [
            each
            for later in working.read(half, start_row=batch.next_row, batch_rows=10, columns=loader_columns())
            for each in later.table["_rk_line"].to_pylist()
        ]
        assert [json.loads(each)["id"] for each in rest] == list(range(batch.next_row, 25)), number
    working.close()


def test_large_messages_are_asked_for_a_few_at_a_time() -> None:
    """As many as fit; small ones soon by the thousand."""
    pace = Pace(10_000, 1 << 20)
    asked = []
    for size in (10, 10, 10, 10, 300_000, 2 << 20, 10):
        asked.append(pace.next)
        pace.took([Message(1, b"x" * size)] * min(pace.next, 5))
    assert asked == [64, 512, 4096, 10_000, 10_000, 3, 1]


def test_what_was_rolled_back_is_read_again(stream: Stream, loader: Loader) -> None:
    """A run in the midst of others leaves a gap, which is read before anything new."""
    for first in (0, 5, 10):
        stream.put(*rows(5, first=first))
        loader.load(stream.source())
    middle = list(loader.loaded)[1]
    del loader.loaded[middle]
    stream.put(*rows(5, first=15))
    assert ids(loader.load(stream.source())) == list(range(5, 10))
    assert ids(loader.load(stream.source())) == list(range(15, 20))
    del loader.loaded[next(iter(loader.loaded))]
    assert ids(loader.load(stream.source())) == list(range(5))


def test_it_may_begin_with_what_comes(stream: Stream, loader: Loader) -> None:
    """`start="latest"` leaves out what was there before the first run, and nothing after it."""
    stream.put(*rows(5))
    assert loader.load(stream.source(start="latest")) == []
    stream.put(*rows(5, first=5))
    assert ids(loader.load(stream.source(start="latest"))) == list(range(5, 10))


def test_a_stream_that_was_made_anew_is_told(stream: Stream, loader: Loader) -> None:
    """Its positions are not those that the ledger has: one error, and nothing is read."""
    stream.put(*rows(10))
    loader.load(stream.source())
    stream.remake()
    stream.put(*rows(3))
    with pytest.raises(StreamRemade):
        loader.load(stream.source())


def test_a_longer_stream_that_was_made_anew_is_told(
    nats_server: NatsServer, valkey_server: ValkeyServer, loader: Loader
) -> None:
    """Also where it is longer than the former: NATS says when it was made, Valkey how many entries there ever were."""
    for made in (OfNats(nats_server), OfValkey(valkey_server)):
        made.put(*rows(10))
        loader.load(made.source())
        made.remake()
        made.put(*rows(20))
        with pytest.raises(StreamRemade):
            loader.load(made.source())


def test_what_was_removed_unread_is_told(nats_server: NatsServer, valkey_server: ValkeyServer, loader: Loader) -> None:
    """How many messages, and where; with lost="skip" the next run goes on behind them, and the one after that too."""
    for made, trim in ((OfNats(nats_server), 16), (OfValkey(valkey_server), 5)):
        made.put(*rows(10))
        loader.load(made.source())
        made.put(*rows(10, first=10))
        made.trim(trim)
        with pytest.raises(MessagesLost, match="5 messages"):
            loader.load(made.source())
        assert ids(loader.load(made.source(lost="skip"))) == list(range(15, 20))
        made.put(*rows(2, first=20))
        assert ids(loader.load(made.source())) == [20, 21]


def test_what_kafka_removed_unread_is_told(kafka: KafkaMock, loader: Loader) -> None:
    """The mock cluster keeps 5 MB of a partition: more than that pushes out what was not read."""
    made = OfKafka(kafka)
    made.put(*rows(3))
    loader.load(made.source())
    filler = json.dumps({"id": 1, "text": "x" * 200_000}).encode()
    for _ in range(60):
        made.put(filler)  # each a batch of its own: it removes whole batches
    with pytest.raises(MessagesLost):
        loader.load(made.source())
    assert loader.load(made.source(lost="skip"))
    assert loader.load(made.source()) == []


def test_a_message_that_was_removed_in_the_midst_is_no_loss_of_others(
    nats_server: NatsServer, valkey_server: ValkeyServer, loader: Loader
) -> None:
    """Single messages that somebody deleted leave holes, which are read over."""
    one = OfNats(nats_server)
    one.put(*rows(10))
    nats_server.ask(lambda js: js.delete_msg(one.name, 5))
    assert ids(loader.load(one.source())) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    other = OfValkey(valkey_server)
    other.put(*rows(10))
    with valkey_server.client as client:
        client.xdel(other.name, client.xrange(other.name)[4][0])
    assert ids(loader.load(other.source())) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert loader.load(other.source()) == []


def test_a_subject_is_read_alone(nats_server: NatsServer, loader: Loader) -> None:
    """Messages of other subjects count neither as rows nor as waiting."""
    made = OfNats(nats_server)
    for number in range(5):
        nats_server.publish(made.name, rows(1, first=number), subject=f"{made.name}.eu")
        nats_server.publish(made.name, rows(1, first=100 + number), subject=f"{made.name}.us")
    source = made.source(query=f"?subject={made.name}.eu", name="eu")
    working = source.at(loader.site)
    assert {each.messages for each in working.lag({}).values()} == {5}
    working.close()
    assert ids(loader.load(source)) == list(range(5))
    nats_server.publish(made.name, rows(3), subject=f"{made.name}.us")
    assert loader.load(source) == []


def test_streams_that_drop_what_is_acknowledged_are_refused(nats_server: NatsServer, loader: Loader) -> None:
    """A work queue has no second reading."""
    name = next(NAMES)
    nats_server.ask(lambda js: js.add_stream(name=name, subjects=[f"{name}.>"], retention="workqueue"))
    with pytest.raises(StreamUnfit, match="workqueue"):
        loader.load(rk.sources.stream(f"nats://127.0.0.1:{nats_server.port}/{name}"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_not_there_is_told(kind: str, request: pytest.FixtureRequest, loader: Loader) -> None:
    """One error that names it."""
    ports = {
        "kafka": lambda: request.getfixturevalue("kafka").ports[0],
        "nats": lambda: request.getfixturevalue("nats_server").port,
        "valkey": lambda: request.getfixturevalue("valkey_server").port,
    }
    with pytest.raises(StreamUnfit, match="nowhere"):
        loader.load(rk.sources.stream(f"{kind}://127.0.0.1:{ports[kind]()}/nowhere"))


def test_a_key_that_is_no_stream_is_told(valkey_server: ValkeyServer, loader: Loader) -> None:
    """A text, a list: one error."""
    valkey_server.client.set("text", "x")
    with pytest.raises(StreamUnfit, match="is no stream"):
        loader.load(rk.sources.stream(f"valkey://127.0.0.1:{valkey_server.port}/text"))


# ------------------------------------------------------------------------------------------------ messages


class Packed:
    """A decoder of a user's own."""

    name = "msgpack"

    def decode(self, message: Message) -> Any:
        assert message.value is not None
        return msgspec.msgpack.decode(message.value, type=dict[str, Any])


def test_a_decoder_of_the_users_own_is_asked(stream: Stream, loader: Loader) -> None:
    """Records are what it gives; what it does not understand goes to quarantine as it came."""
    stream.put(msgspec.msgpack.encode({"id": 7, "text": "ä"}), b"\xc1 no msgpack", msgspec.msgpack.encode([1]))
    batches = loader.batches(stream.source(decoder=Packed()))
    assert [json.loads(each) for each in batches[0].table["_rk_line"].to_pylist()] == [{"id": 7, "text": "ä"}]
    bad = malformed(batches)
    assert [(each.type, each.text) for each in bad] == [
        ("stream_undecodable", b"\xc1 no msgpack"),
        ("stream_undecodable", msgspec.msgpack.encode([1])),
    ]
    assert all("msgpack" not in each.message for each in bad)


def test_a_tombstone_goes_to_quarantine(kafka: KafkaMock, loader: Loader) -> None:
    """A message without a value is accounted for, with its key, and those around it are read."""
    made = OfKafka(kafka)
    kafka.publish(made.name, [b'{"id": 1}', None, b'{"id": 2}'], key=b"a key")
    batches = loader.batches(made.source())
    (bad,) = malformed(batches)
    assert (bad.type, bad.text, bad.row) == ("stream_tombstone", b"a key", 1)
    assert sum(each.rows_read for each in batches) == 3


def test_what_a_message_has_beside_is_told_where_it_is_asked_for(stream: Stream, loader: Loader) -> None:
    """Offset, partition, time, key and headers become members of the record, and take the place of its own."""
    stream.put(b'{"id": 1, "at": "its own"}', b"[1]")
    told = {"offset": "at", "timestamp": "when", "key": "key", "headers": "headers", "partition": "part"}
    batches = loader.batches(stream.source(columns=told))
    (record,) = [json.loads(each) for batch in batches for each in batch.table["_rk_line"].to_pylist()]
    assert record["id"] == 1
    assert record["at"] != "its own"
    assert record["when"].endswith("Z")
    assert set(record) == {"id", "at", "when", "key", "headers", "part"}
    assert [each.type for each in malformed(batches)] == ["stream_undecodable"]


def test_keys_and_headers_of_kafka_are_told(kafka: KafkaMock, loader: Loader) -> None:
    """As texts; in base 64 what is none."""
    made = OfKafka(kafka)
    kafka.publish(made.name, [b"{}"], key=b"\xff\x00", headers=[("trace", b"abc"), ("none", None)])
    (record,) = loader.load(made.source(columns={"key": "k", "headers": "h", "offset": "o", "partition": "p"}))
    assert record == {"k": "/wA=", "h": {"trace": "abc", "none": None}, "o": 0, "p": "0"}


def test_fields_of_valkey_can_be_the_record(valkey_server: ValkeyServer, loader: Loader) -> None:
    """With field=None an entry is an object of texts; with a field that it lacks it has no value."""
    made = OfValkey(valkey_server)
    valkey_server.client.xadd(made.name, {"id": "1", "name": "ä"})
    assert loader.load(made.source(field=None, name="whole")) == [{"id": "1", "name": "ä"}]
    assert [each.type for each in malformed(loader.batches(made.source()))] == ["stream_tombstone"]


def test_json_over_lines_is_one_record(stream: Stream, loader: Loader) -> None:
    """A message is a record, however it is laid out; a mark at its beginning is none of it."""
    stream.put(b'\xef\xbb\xbf{\n  "id": 1\r\n}')
    assert loader.load(stream.source()) == [{"id": 1}]


def test_partitions_of_a_topic_share_a_run(kafka: KafkaMock, loader: Loader) -> None:
    """Each is a partition of the run with a range of its own; those without anything new are left out."""
    made = OfKafka(kafka)
    for number in (0, 2):
        kafka.publish(made.name, rows(30, first=100 * number), partition=number)
    assert sorted(ids(loader.load(made.source(max_rows=20)))) == [*range(10), *range(200, 210)]
    assert [each.detail["partition"] for each in loader.loaded.values()] == ["0", "2"]
    kafka.publish(made.name, rows(5, first=300), partition=3)
    loader.load(made.source())
    assert loader.load(made.source()) == []


# ------------------------------------------------------------------------------------------------ afterwards


def test_the_broker_is_told_how_far_it_was_loaded(stream: Stream, loader: Loader) -> None:
    """The group is moved on; twice is as good as once; and a rollback moves it back."""
    stream.put(*rows(8))
    loader.load(stream.source(max_rows=5))
    source = stream.source(group="loaders").at(loader.site)
    for _ in range(2):
        source.acknowledge(loader.loaded)
    assert group_lag(stream) == 3
    loader.load(stream.source())
    source.acknowledge(loader.loaded)
    assert group_lag(stream) == 0
    del loader.loaded[list(loader.loaded)[-1]]
    source.acknowledge(loader.loaded)
    assert group_lag(stream) == 3
    source.close()


def test_lag_is_what_waits(stream: Stream, loader: Loader) -> None:
    """By partition; late is what is more than may be."""
    stream.put(*rows(8))
    loader.load(stream.source(max_rows=5))
    source = stream.source(lag_max=2).at(loader.site)
    lags = source.lag(loader.loaded)
    source.close()
    assert sum(each.messages for each in lags.values()) == 3
    assert [each.is_late for each in lags.values() if each.messages] == [True]


def group_lag(stream: Any) -> int:
    """How many messages the broker believes a group has still to read."""
    if isinstance(stream, OfKafka):
        import confluent_kafka

        part = confluent_kafka.TopicPartition(stream.name, 0)
        consumer = confluent_kafka.Consumer({"bootstrap.servers": stream.mock.servers, "group.id": "loaders"})
        (found,) = consumer.committed([part], timeout=20)
        _, high = consumer.get_watermark_offsets(part, timeout=20)
        consumer.close()
        return int(high - found.offset)
    if isinstance(stream, OfNats):
        return int(stream.server.ask(lambda js: js.consumer_info(stream.name, "loaders")).num_pending)
    (group,) = (each for each in stream.server.client.xinfo_groups(stream.name) if each["name"] == b"loaders")
    return int(group["lag"])


def loader_columns() -> Any:
    from tests.sources.stream.conftest import ANY

    return ANY
