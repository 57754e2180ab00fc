"""Rigs of streams: what a reader finds, by clients of another kind than ours or by plain requests."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import trustme

from rowkeeper.testing import Fault
from rowkeeper.testing.loading import Row
from tests.brokers.front import Front
from tests.brokers.kafkabroker import KafkaBroker
from tests.brokers.servers import NatsServer, ValkeyServer
from tests.sources.rigs import InArena


def row_of(payload: bytes) -> Row:
    """A message's row, decimals as they were written."""
    found: dict[str, Any] = json.loads(payload, parse_float=str)
    return found


QUICK = "resilience=rk.Resilience(retry=rk.Retry(attempts=3, wait_seconds_initial=0.05), breaker=None)"
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Way:
    """The way to a broker by TLS, on which things can go wrong. A context manager.

    Args:
        cuts: after how many bytes of answers connections are cut: Valkey says ten words in a run, Kafka many.

    Attributes:
        ca: the file of the authority that is to be trusted.
    """

    def __init__(self, port: int, folder: Path, cuts: tuple[int, int], *, kafka: bool = False) -> None:
        self._cuts = cuts
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self._good, self._expired = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._good)
        late = authority.issue_cert(
            "localhost", "127.0.0.1", not_before=PAST, not_after=PAST + datetime.timedelta(days=1)
        )
        late.configure_cert(self._expired)
        self.front = Front(port, self._good, kafka=kafka)

    def __enter__(self) -> Way:
        self.front.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.front.__exit__()

    @property
    def options(self) -> str:
        return f'tls=rk.TLS(ca="{self.ca}"), {QUICK}'

    @contextlib.contextmanager
    def expired(self) -> Iterator[None]:
        self.front._context = self._expired
        yield
        self.front._context = self._good

    @contextlib.contextmanager
    def cut(self, after: int) -> Iterator[None]:
        self.front.cut_after, before = after, self.front.cuts
        yield
        assert self.front.cuts > before, "nothing was cut"
        self.front.cut_after = None

    def faults(self) -> Sequence[Fault]:
        return (
            Fault("an expired certificate", self.expired(), ("RK-6041",)),
            Fault("the beginning of an answer is lost", self.cut(self._cuts[0])),
            Fault("a later answer is lost", self.cut(self._cuts[1])),
        )


@contextlib.contextmanager
def gone(server: NatsServer | ValkeyServer) -> Iterator[None]:
    """The server is killed, and comes back."""
    server.kill()
    yield
    server.start()


@dataclasses.dataclass
class ValkeyRig:
    """Streams of one server."""

    runner: InArena
    server: ValkeyServer
    way: Way

    def declare(self, name: str, options: str = "") -> str:
        url = f"valkeys://localhost:{self.way.front.port}/{name}"
        return f'rk.destinations.stream("{url}", {self.way.options}, {options})'

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
        return (*self.way.faults(), Fault("the server is gone", gone(self.server), ("RK-3121",)))


@dataclasses.dataclass
class NatsRig:
    """Streams of one server."""

    runner: InArena
    server: NatsServer

    def declare(self, name: str, options: str = "") -> str:
        return f'rk.destinations.stream("nats://127.0.0.1:{self.server.port}/{name}", {QUICK}, {options})'

    def messages(self, name: str) -> list[Any]:
        """The messages of a reader of the subject of rows."""

        async def work(js: Any) -> list[Any]:
            from nats.js.api import AckPolicy, ConsumerConfig
            from nats.js.errors import NotFoundError

            try:
                total = (await js.stream_info(name)).state.messages
            except NotFoundError:
                return []
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            pull = await js.pull_subscribe(f"{name}.rows", stream=name, config=config)
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
        return (Fault("the server is gone", gone(self.server), ("RK-3121",)),)


@dataclasses.dataclass
class KafkaRig:
    """Topics of one broker."""

    runner: InArena
    broker: KafkaBroker
    way: Way
    partitions: int = 2

    def declare(self, name: str, options: str = "") -> str:
        self.broker.make(name, self.partitions)
        url = f"kafkas://localhost:{self.way.front.port}/{name}"
        return f'rk.destinations.stream("{url}", {self.way.options}, {options})'

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
        return self.way.faults()
