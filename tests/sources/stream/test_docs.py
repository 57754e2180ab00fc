"""docs/sources-stream.md: its examples run, against brokers that are started here, and its tests are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from tests.arena import Arena
from tests.brokers.front import Front
from tests.brokers.servers import KafkaMock, NatsServer

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sources-stream.md").read_text()
FILES = dict(re.findall(r"```python file=(\S+)\n(.*?)```", PAGE, re.DOTALL))


def test_the_example_of_kafka_runs(own_arena: Arena, kafka: KafkaMock, authority: Any) -> None:
    """As it stands, but for the hosts and the mechanism that the front speaks."""
    kafka.publish("orders", [json.dumps({"id": 1, "amount": 2.5}).encode()])
    with Front(kafka.ports[0], authority[1], kafka=True, sasl=True) as front:
        own_arena.env |= {"ROWKEEPER_TLS_CA": str(authority[0]), "KAFKA_PASSWORD": "sesame"}
        text = FILES["orders.py"].replace("b1.example.com,b2.example.com", f"localhost:{front.port}")
        own_arena.write("orders.py", text.replace('"env:KAFKA_PASSWORD"', '"env:KAFKA_PASSWORD", mechanism="PLAIN"'))
        own_arena.ok("endpoints", "orders.py")
        assert own_arena.ok("explain", "orders.py")["source"]["guarantee"] == "exactly once"
        assert own_arena.ok("run", "orders.py")["account"]["committed"] == 1
        own_arena.ok("health", "orders.py")


def test_the_example_of_a_decoder_runs(own_arena: Arena, nats_server: NatsServer) -> None:
    """As it stands, but for the port."""
    nats_server.ask(lambda js: js.add_stream(name="ORDERS", subjects=["orders.>"]))
    nats_server.publish("ORDERS", [msgspec.msgpack.encode({"id": 1, "amount": 2.5})], subject="orders.eu")
    text = FILES["packed.py"].replace("nats://localhost/", f"nats://localhost:{nats_server.port}/")
    own_arena.write("packed.py", text)
    assert own_arena.ok("run", "packed.py")["account"]["committed"] == 1
