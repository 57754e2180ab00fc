"""Kafka, as a stream source asks it: partitions are assigned by us, never by a group, so nothing is ever rebalanced.

One run at a time reads a topic (the destination's lease sees to that), and where it begins is the ledger's to say: a
group would move partitions between readers in mid-run and gain nothing. New partitions are found by the next plan.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rowkeeper.brokers import Broker
from rowkeeper.brokers.calling import unavailable
from rowkeeper.brokers.kafka import KafkaClient
from rowkeeper.errors import MessagesLost, StreamUnfit
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.stream.tapping import Chunk, Extent, Mark, Message, Pace, Place

if TYPE_CHECKING:
    import confluent_kafka

WAIT_SECONDS = 0.05  # for messages that are on their way
GROUP = "rowkeeper"  # librdkafka wants one, and does not use it
SETTINGS: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",  # what is gone is told, never passed over
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 65_536,
}


class KafkaTap:
    """A topic. Implements Tap; a position is an offset.

    Args:
        whole: messages come with their time, key and headers; a call of librdkafka each, for every message.
    """

    def __init__(self, broker: Broker, site: Site, group: str | None, *, whole: bool) -> None:
        self._broker, self._site, self._group, self._whole = broker, site, group, whole
        self._client: KafkaClient | None = None
        self._consumer: confluent_kafka.Consumer | None = None

    def extents(self, marks: Mapping[str, Mark]) -> Mapping[str, Extent]:
        """Implements Tap."""
        import confluent_kafka  # noqa: PLC0415

        client, consumer = self._open()
        topic, seconds = self._broker.stream, client.calls.step_seconds_max

        def listed() -> list[int]:
            found = consumer.list_topics(topic, timeout=seconds).topics.get(topic)
            if found is None or (found.error is not None and found.error.code() in _unknown()):
                return []
            client.check(found.error)
            return sorted(found.partitions)

        numbers = client.calls.call(listed)
        if not numbers:
            raise StreamUnfit(f"{self._broker.place}: there is no such topic", hint="compare the URL with its name")
        extents = {}
        for number in numbers:
            part = confluent_kafka.TopicPartition(topic, number)
            low, high = client.calls.call(
                functools.partial(consumer.get_watermark_offsets, part, timeout=seconds, cached=False)
            )
            before = Mark(low - 1)
            at = int(marks.get(str(number), before).at)
            extents[str(number)] = Extent(
                before, high - 1, max(0, high - 1 - at), lost=max(0, low - 1 - at), remade=at > high - 1
            )
        return extents

    def read(self, partition: str, after: Mark, upto: Place, pace: Pace) -> Iterator[Chunk]:
        """Implements Tap."""
        import confluent_kafka  # noqa: PLC0415

        client, consumer = self._open()
        at, end = int(after.at), int(upto)
        if at >= end:
            return
        client.calls.call(
            lambda: consumer.assign([confluent_kafka.TopicPartition(self._broker.stream, int(partition), at + 1)])
        )
        while at < end:
            failpoint("stream.before_fetch")
            most = min(pace.next, end - at)
            messages, at, ended = client.calls.call(functools.partial(self._fetched, at, end, most))
            if ended:
                at = max(at, end)  # what is left are gaps: markers of transactions, what was compacted away
            yield Chunk(messages, Mark(at))
        consumer.unassign()

    def _fetched(self, at: int, end: int, most: int) -> tuple[list[Message], int, bool]:
        """Messages after an offset, the offset they reach, and whether the end was reached.

        Raises BrokerUnavailable if nothing comes.
        """
        client, consumer = self._open()
        lapses_at = time.monotonic() + client.calls.step_seconds_max
        while True:
            messages: list[Message] = []
            ended = False
            for each in consumer.consume(most, timeout=WAIT_SECONDS):
                error = each.error()
                if error is not None:
                    ended = ended or self._is_end(error)
                    continue
                message = _message(each) if self._whole else _bare(each)
                if int(message.place) > end:
                    ended = True
                    break
                if int(message.place) > at:  # librdkafka gives some twice where it was assigned anew
                    at = int(message.place)
                    messages.append(message)
            if messages or ended:
                return messages, at, ended
            if time.monotonic() > lapses_at:
                raise client.away() or unavailable(self._broker, "nothing comes")

    def _is_end(self, error: Any) -> bool:
        from confluent_kafka import KafkaError  # noqa: PLC0415

        if error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise MessagesLost(
                f"{self._broker.place} removed messages while they were about to be read",
                hint="run again: it says which; let the topic keep messages for longer",
            )
        assert self._client is not None
        self._client.check(error)
        return False

    def follows(self, one: Place, other: Place) -> bool:
        """Implements Tap."""
        return int(one) > int(other)

    def acknowledge(self, group: str, marks: Mapping[str, Mark]) -> None:
        """Implements Tap: the offsets are committed for the group, which no reader of ours is a member of."""
        import confluent_kafka  # noqa: PLC0415

        client, consumer = self._open()
        parts = [
            confluent_kafka.TopicPartition(self._broker.stream, int(name), int(mark.at) + 1)
            for name, mark in marks.items()
        ]
        assert group == self._group
        client.calls.call(lambda: consumer.commit(offsets=parts, asynchronous=False))

    def close(self) -> None:
        """Implements Tap."""
        if self._consumer is not None:
            self._consumer.close()
        if self._client is not None:
            self._client.close()
        self._client = self._consumer = None

    def _open(self) -> tuple[KafkaClient, confluent_kafka.Consumer]:
        if self._client is None:
            self._client = KafkaClient(self._broker, self._site)
        if self._consumer is None:
            self._consumer = self._client.consumer({**SETTINGS, "group.id": self._group or GROUP})
        return self._client, self._consumer


def _bare(each: Any) -> Message:
    value = each.value()
    return Message(each.offset(), value) if value is not None else _message(each)


def _message(each: Any) -> Message:
    kind, at = each.timestamp()
    return Message(each.offset(), each.value(), at if kind else None, each.key(), each.headers() or ())


def _unknown() -> tuple[int, ...]:
    from confluent_kafka import KafkaError  # noqa: PLC0415

    return (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
