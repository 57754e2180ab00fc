"""Messages per second of a stream, against a bare consumer of the same client: `python -m bench.streaming`.

Kafka is librdkafka's mock cluster in a process of its own, NATS and Valkey are their servers. The bare consumers use
the drivers as Rowkeeper does (consume, pull, XRANGE, thousands at a time) and only count. Rowkeeper does what a run
does up to the contract: the way out, positions, JSON as batches. Needs the development dependencies.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import nats
import valkey
from nats.js.api import AckPolicy, ConsumerConfig
from tests.brokers.servers import KafkaMock, NatsServer, ValkeyServer

import rowkeeper as rk
from rowkeeper.protocols import Columns, Site
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress

MESSAGES = 40_000
CHUNK = 10_000


def messages() -> list[bytes]:
    return [
        json.dumps({"id": number, "name": f"customer {number}", "amount": number + 0.25, "none": None}).encode()
        for number in range(MESSAGES)
    ]


def serve_kafka() -> None:
    """A mock cluster with the messages in it, until standard input ends; prints its port."""
    with KafkaMock() as mock:
        mock.publish("bench", messages())
        print(mock.ports[0], flush=True)
        sys.stdin.read()


def bare_kafka(port: int) -> int:
    consumer = confluent_kafka.Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": "bare"})
    consumer.assign([confluent_kafka.TopicPartition("bench", 0, 0)])
    count = 0
    while count < MESSAGES:
        count += sum(1 for each in consumer.consume(min(CHUNK, MESSAGES - count), timeout=0.05) if not each.error())
    consumer.close()
    return count


def bare_nats(port: int) -> int:
    async def counted() -> int:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE)
        line = await client.jetstream().pull_subscribe("bench.>", stream="bench", config=unacknowledged)
        count = 0
        while count < MESSAGES:
            count += len(await line.fetch(min(2_000, MESSAGES - count), timeout=5))
        await client.close()
        return count

    return asyncio.run(counted())


def bare_valkey(port: int) -> int:
    client, at, count = valkey.Valkey(port=port), "0", 0
    while True:
        found: Any = client.xrange("bench", min=f"({at}", count=CHUNK)
        if not found:
            return count
        at, count = found[-1][0].decode(), count + len(found)


def ours(url: str) -> int:
    source = rk.sources.stream(url, max_rows=MESSAGES).at(Site(Path(), _no_keys, "bench", way_out=Gateway(Egress(()))))
    count = 0
    columns = Columns(frozenset(), (), "ignore")
    for partition in source.plan({}, whole=False).load:
        batches = source.read(partition, start_row=0, batch_rows=100_000, columns=columns)
        count += sum(batch.table.num_rows for batch in batches)
    source.close()
    return count


def _no_keys() -> Any:
    raise AssertionError("no engine is started here")


def compared(bare: Callable[[], int], own: Callable[[], int]) -> dict[str, float]:
    """Three rounds of both in turn, the quickest of each."""
    times = [(_timed(bare), _timed(own)) for _ in range(3)]
    least_bare, least_own = (min(each) for each in zip(*times, strict=True))
    return {
        "bare_per_second": round(MESSAGES / least_bare),
        "rowkeeper_per_second": round(MESSAGES / least_own),
        "ratio": round(least_bare / least_own, 2),
    }


def _timed(read: Callable[[], int]) -> float:
    began = time.perf_counter()
    assert read() == MESSAGES
    return time.perf_counter() - began


def main() -> None:
    """Prints one JSON document."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.streaming", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            url = f"kafka://127.0.0.1:{port}/bench"
            found["kafka"] = compared(lambda: bare_kafka(port), lambda: ours(url))
        finally:
            process.kill()
            process.wait()
        with NatsServer(Path(folder, "nats"), durable=False) as server:
            server.publish("bench", messages())
            found["nats"] = compared(
                lambda: bare_nats(server.port), lambda: ours(f"nats://127.0.0.1:{server.port}/bench")
            )
        with ValkeyServer(Path(folder, "valkey")) as store:
            store.publish("bench", messages())
            found["valkey"] = compared(
                lambda: bare_valkey(store.port), lambda: ours(f"valkey://127.0.0.1:{store.port}/bench")
            )
    print(json.dumps({"messages": MESSAGES, **found}, indent=2))


if __name__ == "__main__":
    serve_kafka() if sys.argv[1:] == ["serve"] else main()
