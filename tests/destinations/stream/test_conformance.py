"""Streams keep what every destination must, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.testing import DestinationConformance
from tests.arena import Arena
from tests.brokers.kafkabroker import KafkaBroker
from tests.brokers.servers import NatsServer, ValkeyServer
from tests.destinations.stream.rigs import KafkaRig, NatsRig, ValkeyRig, Way
from tests.extent import Sampled
from tests.sources.rigs import InArena


@pytest.mark.in_turns("streams as destinations", 1)
class Streams(Sampled, DestinationConformance):
    """What is said of all of them: messages cannot be taken back."""

    own_failpoints = r"^(publish|settle)\."
    kill_every = 25
    rolls_back = replaces_changed = replaces_all = False
    duplicates = ()


class TestValkey(Streams):
    @pytest.fixture
    def rig(self, class_arena: Arena, valkey_server: ValkeyServer, tmp_path: Path) -> Iterator[ValkeyRig]:
        with Way(valkey_server.port, tmp_path, (10, 25)) as way:
            yield ValkeyRig(InArena(class_arena), valkey_server, way)


class TestNats(Streams):
    @pytest.fixture
    def rig(self, class_arena: Arena, nats_server: NatsServer) -> NatsRig:
        return NatsRig(InArena(class_arena), nats_server)


class TestKafka(Streams):
    @pytest.fixture
    def rig(self, class_arena: Arena, kafka_broker: KafkaBroker, tmp_path: Path) -> Iterator[KafkaRig]:
        with Way(kafka_broker.port, tmp_path, (60, 160), kafka=True) as way:
            yield KafkaRig(InArena(class_arena), kafka_broker, way)
