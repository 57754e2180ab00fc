"""Messages a second into brokers on this machine, against a bare producer: `python -m bench.streams_out [ROWS]`.

The bare producer sends texts that are made already, as its library's page says to do it quickly: librdkafka in one
transaction (against its mock cluster), nats-py without waiting for each answer, valkey-py in pipelines. Rowkeeper makes
messages of Arrow rows, with key and headers, and sends them as a publish does: fenced, counted, with its record.
Staging in the engine is not in it. Both in one process, one after the other, the quicker of two.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.brokers.servers import KafkaMock, NatsServer, ValkeyServer

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.brokers import Broker
from rowkeeper.destinations.streams.carrying import Carrier, Delivery
from rowkeeper.destinations.streams.control import Layout
from rowkeeper.destinations.streams.kafka import KafkaCarrier
from rowkeeper.destinations.streams.messages import Making, Message
from rowkeeper.destinations.streams.nats import NatsCarrier
from rowkeeper.destinations.streams.valkey import ValkeyCarrier
from rowkeeper.protocols import CommitRecord, Site
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress

ROWS = 100_000
BLOCK = 20_000
MAKING = Making(("customer",), (("origin", "shop"),), (), None, None, 100_000)


def table(rows: int) -> pa.Table:
    """Orders."""
    numbers = range(rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "customer": [f"customer {number % 1000}" for number in numbers],
            "amount": pa.array([number / 4 for number in numbers], pa.float64()),
            "placed": pa.array([1_700_000_000_000_000 + number for number in numbers], pa.timestamp("us", "UTC")),
            ROW_ID: pa.array(numbers, pa.uint64()),
        }
    )


def seconds(work: Callable[[], Any]) -> float:
    """Of one run of it."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ours(carrier: Carrier, rows: pa.Table, run: int) -> None:
    """One publish."""

    def messages(after: int) -> Iterator[Sequence[Message]]:
        del after
        for first in range(0, rows.num_rows, BLOCK):
            yield MAKING.messages(rows.slice(first, BLOCK))

    carrier.deliver(Delivery(CommitRecord("bench", run, run, Fingerprint()), Layout(), messages))


def bare_kafka(servers: str, texts: Sequence[bytes], number: int) -> None:
    """One transaction."""
    import confluent_kafka  # noqa: PLC0415

    producer = confluent_kafka.Producer(
        {"bootstrap.servers": servers, "transactional.id": f"bare{number}", "compression.type": "lz4", "linger.ms": 20}
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    for text in texts:
        while True:
            try:
                producer.produce("orders", text, b"key")
                break
            except BufferError:
                producer.poll(0.05)
    producer.commit_transaction(60)


def bare_nats(port: int, texts: Sequence[bytes]) -> None:
    """Without waiting for each answer."""

    async def work() -> None:
        import nats  # noqa: PLC0415

        client = await nats.connect(f"nats://127.0.0.1:{port}")
        stream = client.jetstream(publish_async_max_pending=4_000)
        for text in texts:
            await stream.publish_async("ORDERS.rows", text, wait_stall=60)
        await stream.publish_async_completed()
        await client.close()

    asyncio.run(work())


def bare_valkey(server: ValkeyServer, texts: Sequence[bytes]) -> None:
    """Pipelines of 500."""
    with server.client as client:
        for first in range(0, len(texts), 500):
            pipe = client.pipeline(transaction=False)
            for text in texts[first : first + 500]:
                pipe.xadd("orders", {"data": text})
            pipe.execute()


def main() -> None:
    """Prints a line for each broker."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    rows = table(count)
    texts = [each.value for each in MAKING.messages(rows)]
    folder = Path(tempfile.mkdtemp())
    site = Site(folder, dict, "bench", way_out=Gateway(Egress((), "enforce")))  # type: ignore[arg-type]
    print(f"made into messages: {count / seconds(lambda: MAKING.messages(rows)):,.0f} a second")
    with NatsServer(folder / "nats") as nats, ValkeyServer(folder / "valkey") as valkey, KafkaMock() as kafka:
        for topic in ("orders", "orders.rk-runs"):
            kafka.publish(topic, [b"first"])
        at_nats = NatsCarrier(Broker.of(f"nats://127.0.0.1:{nats.port}/ORDERS"), site, 100_000)
        at_nats.check()
        at_valkey = ValkeyCarrier(Broker.of(f"valkey://127.0.0.1:{valkey.port}/orders"), site)
        at_kafka = KafkaCarrier(Broker.of(f"kafka://{kafka.servers}/orders"), site, 100_000)
        pairs: dict[str, tuple[Carrier, Callable[[int], None]]] = {
            "kafka": (at_kafka, lambda number: bare_kafka(kafka.servers, texts, number)),
            "nats": (at_nats, lambda _number: bare_nats(nats.port, texts)),
            "valkey": (at_valkey, lambda _number: bare_valkey(valkey, texts)),
        }
        for name, (carrier, bare) in pairs.items():
            raw = min(seconds(functools.partial(bare, number)) for number in (1, 2))
            own = min(seconds(functools.partial(ours, carrier, rows, run)) for run in (1, 2))
            print(f"{name}: bare {count / raw:,.0f}/s, Rowkeeper {count / own:,.0f}/s, ratio {raw / own:.2f}")
            carrier.close()


if __name__ == "__main__":
    main()
