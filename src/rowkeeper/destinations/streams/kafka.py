"""Kafka: all messages of a run and the control record are one transaction.

The transactional id is the stream's own, so that whoever begins fences all who were at it (KIP-98): what they had begun
is aborted, or ended if they had got as far as that. The control record is a message in a compacted topic beside the
stream's, `TOPIC.rk-runs`. A run is never there in part.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rowkeeper.brokers.declaring import Broker
from rowkeeper.brokers.kafka import KafkaClient
from rowkeeper.destinations.streams.carrying import Delivery, Stored
from rowkeeper.destinations.streams.control import Control
from rowkeeper.destinations.streams.messages import ROW_HEADER, RUN_HEADER, Message
from rowkeeper.errors import BrokerUnavailable, LeaseLost, RunTooLarge, StreamUnsuited
from rowkeeper.protocols import Site
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    import confluent_kafka

CONTROL_SUFFIX = ".rk-runs"
CONTROL_KEY = b"control"
TRANSACTION_MS = 900_000  # what brokers allow, unless they are told otherwise (transaction.max.timeout.ms)
DELIVERY_MS = 120_000  # of one message
STEP_SECONDS = 20.0
QUEUE_SECONDS = 1.0
CONTROL_TAIL = 500  # of the control topic is read first: each change of it is two places
READ_MESSAGES = 5_000


class KafkaCarrier:
    """Implements `carrying.Carrier` for one topic of a cluster.

    Args:
        message_bytes: of the largest message that may come.
    """

    def __init__(self, broker: Broker, site: Site, message_bytes: int) -> None:
        self._broker = broker
        self._message_bytes = message_bytes
        self._client = KafkaClient(broker, site, "write")
        self._topic = broker.stream
        self._control_topic = broker.stream + CONTROL_SUFFIX
        self._id = "rowkeeper-" + hashlib.sha256(broker.stream.encode()).hexdigest()[:24]

    # ------------------------------------------------------------------------------------------ the topics

    def check(self) -> None:
        """Both topics must be there; the control topic is made if it is not."""
        with self._consumer() as consumer:
            if not self._partitions(consumer, self._topic):
                raise StreamUnsuited(
                    f"{self._broker.place} is not there",
                    hint="make the topic: how many partitions it has is yours to say",
                )
            if not self._partitions(consumer, self._control_topic):
                self._make_control_topic()
            elif len(self._partitions(consumer, self._control_topic)) != 1:
                raise StreamUnsuited(
                    f"the topic {self._control_topic} has several partitions, and the control record is one message",
                    hint="make it anew: 1 partition, cleanup.policy=compact",
                )

    def _partitions(self, consumer: confluent_kafka.Consumer, topic: str) -> list[int]:
        found = self._client.calls.call(lambda: consumer.list_topics(topic, timeout=STEP_SECONDS)).topics.get(topic)
        if found is None:
            return []
        if found.error is not None:
            from confluent_kafka import KafkaError  # noqa: PLC0415

            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            self._client.check(found.error)
        return sorted(found.partitions)

    def _make_control_topic(self) -> None:
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415
        from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415 - `admin` has it, but does not export it

        admin = self._client.admin()
        topic = NewTopic(self._control_topic, 1, -1, config={"cleanup.policy": "compact"})

        def made() -> None:
            try:
                admin.create_topics([topic], operation_timeout=STEP_SECONDS)[self._control_topic].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

        self._client.calls.call(made)

    # ------------------------------------------------------------------------------------------ the record

    def control(self) -> Control:
        """The last message of the control topic, of a transaction that was committed."""
        with self._consumer() as consumer:
            if not self._partitions(consumer, self._control_topic):
                return Control()
            low, high = self._ends(consumer, self._control_topic, 0)
            for first in dict.fromkeys((max(low, high - CONTROL_TAIL), low)):
                last = None
                for page in self._messages_between(consumer, self._control_topic, 0, first, high):
                    last = next((each for each in reversed(page) if each.key() == CONTROL_KEY), last)
                if last is not None:
                    return Control.parse(last.value())
            return Control()

    # ------------------------------------------------------------------------------------------ sending

    def deliver(self, delivery: Delivery) -> None:
        """One transaction: begun by whoever holds the lease, ended or as if it had never been."""
        record = delivery.record
        with self._producer() as producer:
            control = self.control()
            if control.has_committed(record.ledger_id, record.run):
                return
            ended = control.beginning(record, delivery.layout, 0).ended()
            failpoint("publish.after_begin")
            with self._in_transaction(producer):
                sending = _Sending(producer, self._client, self._topic, record.run)
                for block in delivery.messages(-1):
                    for message in block:
                        sending.send(message)
                producer.produce(self._control_topic, ended.as_bytes(), CONTROL_KEY, partition=0)
                sending.finish()
                failpoint("publish.before_commit")
            failpoint("publish.after_commit")

    @contextmanager
    def _producer(self) -> Iterator[confluent_kafka.Producer]:
        """A producer that has fenced all others of this stream."""
        producer = self._client.producer(
            {
                "transactional.id": self._id,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.timeout.ms": DELIVERY_MS,
                "message.max.bytes": max(1_000_000, self._message_bytes + 10_000),
                "partitioner": "murmur2_random",  # as Java's, so that the same key is in the same partition
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.kbytes": 65_536,
            }
        )
        try:
            self._client.calls.call(lambda: producer.init_transactions(STEP_SECONDS))
            yield producer
        finally:
            producer.purge(in_flight=True)

    @contextmanager
    def _in_transaction(self, producer: confluent_kafka.Producer) -> Iterator[None]:
        """Committed at the end, aborted where the body raises.

        Raises LeaseLost if another process has fenced this one.
        """
        from confluent_kafka import KafkaException  # noqa: PLC0415

        try:
            producer.begin_transaction()
            yield
            # Asked again until it is known: librdkafka goes on with the same commit.
            self._client.calls.call(lambda: producer.commit_transaction(STEP_SECONDS))
        except BaseException as error:
            aborting = self._aborted(producer)
            for each in (error, error.__cause__, aborting):
                if (told := self._fenced(each)) is not None:
                    raise told from None
            if isinstance(error, KafkaException):
                self._client.check(error.args[0])
            raise

    @staticmethod
    def _aborted(producer: confluent_kafka.Producer) -> BaseException | None:
        """Why it cannot be aborted, where it cannot: then the next that begins does, or the broker when its time is
        over. A producer that was fenced says so here, if it has only said "fatal" before.
        """
        from confluent_kafka import KafkaException  # noqa: PLC0415

        producer.purge()
        try:
            producer.abort_transaction(STEP_SECONDS)
        except KafkaException as error:
            return error
        return None

    def _fenced(self, error: BaseException | None) -> LeaseLost | None:
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415

        fences = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
        if isinstance(error, KafkaException) and error.args[0].code() in fences:
            return LeaseLost(
                f"{self._broker.place} was taken over by another process",
                hint="nothing was lost; rowkeeper runs shows what became of the run",
            )
        return None

    # ------------------------------------------------------------------------------------------ after a crash

    def settle(self, ledger_id: str, run: int, token: int) -> Control:
        """Fences the process that died, which ends or aborts its transaction; then the record is asked."""
        with self._producer() as producer:
            control = self.control()
            if control.has_committed(ledger_id, run):
                return control
            fenced = control.fencing(token)
            with self._in_transaction(producer):
                producer.produce(self._control_topic, fenced.as_bytes(), CONTROL_KEY, partition=0)
                _Sending(producer, self._client, self._topic, run).finish()
            failpoint("settle.after_fence")
            return fenced

    # ------------------------------------------------------------------------------------------ reading

    def read_back(self) -> Iterator[Sequence[Stored]]:
        """Partition by partition, what readers of committed transactions find."""
        with self._consumer() as consumer:
            for partition in self._partitions(consumer, self._topic):
                low, high = self._ends(consumer, self._topic, partition)
                for page in self._messages_between(consumer, self._topic, partition, low, high):
                    yield [found for each in page if (found := _stored(each)) is not None]

    @contextmanager
    def _consumer(self) -> Iterator[confluent_kafka.Consumer]:
        consumer = self._client.consumer(
            {
                "group.id": "rowkeeper",  # nothing is kept of it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()

    def _ends(self, consumer: confluent_kafka.Consumer, topic: str, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        place = TopicPartition(topic, partition)
        found = self._client.calls.call(lambda: consumer.get_watermark_offsets(place, timeout=STEP_SECONDS))
        return int(found[0]), int(found[1])

    def _messages_between(
        self, consumer: confluent_kafka.Consumer, topic: str, partition: int, first: int, end: int
    ) -> Iterator[list[Any]]:
        """Committed messages from one place to before another. The last places may be of markers, which nobody sees."""
        from confluent_kafka import KafkaError, TopicPartition  # noqa: PLC0415

        if first >= end:
            return
        consumer.assign([TopicPartition(topic, partition, first)])
        heard_at = time.monotonic()
        while True:
            one = consumer.poll(QUEUE_SECONDS)  # `consume` waits its whole time for as many as it may have
            found: list[Any] = [] if one is None else [one, *consumer.consume(READ_MESSAGES, timeout=0)]
            page, ended = [], False
            for each in found:
                error = each.error()
                if error is None:
                    page.append(each)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended = True
                else:
                    self._client.check(error)
            if found:
                heard_at = time.monotonic()
            elif seconds_left(1.0) and time.monotonic() - heard_at > 3 * STEP_SECONDS:
                raise BrokerUnavailable(
                    f"{self._broker.place} says nothing", hint="see whether it is up, then run again: it goes on here"
                )
            if page:
                yield page
            if ended or (page and page[-1].offset() >= end - 1):
                return

    def close(self) -> None:
        """Ends all connections."""
        self._client.close()


class _Sending:
    """The messages of one transaction, as they are handed to librdkafka."""

    def __init__(self, producer: confluent_kafka.Producer, client: KafkaClient, topic: str, run: int) -> None:
        self._producer, self._client, self._topic, self._run = producer, client, topic, run
        self._run_header = (RUN_HEADER, str(run))
        self._failed: Any = None
        self._ends_at = time.monotonic() + TRANSACTION_MS / 1000

    def send(self, message: Message) -> None:
        """Hands a message over; waits while the queue is full."""
        headers: Any = [self._run_header, (ROW_HEADER, str(message.row)), *message.headers]
        more: dict[str, Any] = {} if message.at_ms is None else {"timestamp": message.at_ms}
        while True:
            try:
                self._producer.produce(
                    self._topic, message.value, message.key, headers=headers, on_delivery=self._delivered, **more
                )
                break
            except BufferError:
                self._wait()
        if message.row & 0xFF == 0:
            self._producer.poll(0)

    def finish(self) -> None:
        """Waits until all is with the broker. Raises what a delivery raised."""
        while self._producer.flush(QUEUE_SECONDS):
            self._check()
        self._check()

    def _wait(self) -> None:
        self._producer.poll(QUEUE_SECONDS / 10)
        self._check()

    def _check(self) -> None:
        from confluent_kafka import KafkaException  # noqa: PLC0415

        seconds_left(1.0)
        if self._failed is not None:
            raise KafkaException(self._failed)
        if time.monotonic() > self._ends_at:
            raise RunTooLarge(
                f"run {self._run} did not fit into one transaction of {TRANSACTION_MS // 60_000} minutes",
                hint="load it in smaller parts: fewer or smaller files at a time",
            )

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None and self._failed is None:
            self._failed = error


def _stored(message: Any) -> Stored | None:
    headers = dict(message.headers() or ())
    if RUN_HEADER not in headers or ROW_HEADER not in headers:
        return None
    return Stored(int(headers[RUN_HEADER]), int(headers[ROW_HEADER]), message.value() or b"")
