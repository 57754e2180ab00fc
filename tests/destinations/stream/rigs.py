"""Rigs of streams: what a reader finds, by clients of another kind than ours or by plain requests."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rowkeeper.testing import Fault
from rowkeeper.testing.loading import Row
from tests.brokers.kafkabroker import KafkaBroker
from tests.brokers.servers import NatsServer, ValkeyServer
from tests.sources.rigs import InArena


def row_of(payload: bytes) -> Row:
    """A message's row, decimals as they were written."""
    found: dict[str, Any] = json.loads(payload, parse_float=str)
    return found


@dataclasses.dataclass
class ValkeyRig:
    """Streams of one server."""

    runner: InArena
    server: ValkeyServer

    def declare(self, name: str, options: str = "") -> str:
        return f'rk.destinations.stream("valkey://127.0.0.1:{self.server.port}/{name}", {options})'

    def messages(self, name: str) -> list[dict[bytes, bytes]]:
        with self.server.client as client:
            found: Any = client.xrange(name)
        return [fields for _, fields in found]

    def rows(self, name: str) -> Sequence[Row]:
        return [row_of(fields[b"data"]) for fields in self.messages(name)]

    def damage(self, name: str) -> None:
        with self.server.client as client:
            found: Any = client.xrange(name)
            client.xdel(name, found[3][0])

    def faults(self) -> Sequence[Fault]:
        return ()


@dataclasses.dataclass
class NatsRig:
    """Streams of one server."""

    runner: InArena
    server: NatsServer

    def declare(self, name: str, options: str = "") -> str:
        return f'rk.destinations.stream("nats://127.0.0.1:{self.server.port}/{name}", {options})'

    def messages(self, name: str) -> list[Any]:
        """The messages of a reader of the subject of rows."""

        async def work(js: Any) -> list[Any]:
            from nats.js.errors import NotFoundError

            try:
                total = (await js.stream_info(name)).state.messages
            except NotFoundError:
                return []
            pull = await js.pull_subscribe(f"{name}.rows", stream=name)
            found: list[Any] = []
            left = (await pull.consumer_info()).num_pending
            assert left <= total
            while len(found) < left:
                found += await pull.fetch(min(1_000, left - len(found)), timeout=10)
            await pull.unsubscribe()
            return found

        found: list[Any] = self.server.ask(work)
        return found

    def rows(self, name: str) -> Sequence[Row]:
        return [row_of(each.data) for each in self.messages(name)]

    def damage(self, name: str) -> None:
        sequence = self.messages(name)[3].metadata.sequence.stream
        self.server.ask(lambda js: js.delete_msg(name, sequence))

    def faults(self) -> Sequence[Fault]:
        return ()


@dataclasses.dataclass
class KafkaRig:
    """Topics of one broker."""

    runner: InArena
    broker: KafkaBroker
    partitions: int = 2

    def declare(self, name: str, options: str = "") -> str:
        self.broker.make(name, self.partitions)
        return f'rk.destinations.stream("kafka://127.0.0.1:{self.broker.port}/{name}", {options})'

    def messages(self, name: str) -> list[Any]:
        """What a reader of committed messages finds, partition by partition."""
        import confluent_kafka as ck

        consumer = ck.Consumer(
            {
                "bootstrap.servers": f"127.0.0.1:{self.broker.port}",
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "log_level": 0,
            }
        )
        found, open_partitions = [], set(range(self.partitions))
        consumer.assign([ck.TopicPartition(name, each, 0) for each in open_partitions])
        while open_partitions:
            message = consumer.poll(20)
            assert message is not None, "the broker says nothing"
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == ck.KafkaError._PARTITION_EOF, message.error()
                open_partitions.discard(message.partition())
        consumer.close()
        return sorted(found, key=lambda each: (each.partition(), each.offset()))

    def rows(self, name: str) -> Sequence[Row]:
        return [row_of(each.value()) for each in self.messages(name)]

    def damage(self, name: str) -> None:
        self.broker.clear(name, self.messages(name)[0].partition())

    def faults(self) -> Sequence[Fault]:
        return ()
