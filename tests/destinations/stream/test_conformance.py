"""Streams keep what every destination must, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rowkeeper.testing import DestinationConformance
from tests.arena import Arena
from tests.brokers.kafkabroker import KafkaBroker
from tests.brokers.servers import NatsServer, ValkeyServer
from tests.destinations.stream.rigs import KafkaRig, NatsRig, ValkeyRig
from tests.sources.rigs import InArena


class Streams(DestinationConformance):
    """What is said of all of them: messages cannot be taken back."""

    own_failpoints = r"^(publish|settle)\."
    kill_every = 25
    rolls_back = replaces_changed = replaces_all = False
    duplicates = ()


class TestValkey(Streams):
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
        with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
            yield server

    @pytest.fixture
    def rig(self, class_arena: Arena, server: ValkeyServer) -> ValkeyRig:
        return ValkeyRig(InArena(class_arena), server)


class TestNats(Streams):
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
        with NatsServer(tmp_path_factory.mktemp("nats")) as server:
            yield server

    @pytest.fixture
    def rig(self, class_arena: Arena, server: NatsServer) -> NatsRig:
        return NatsRig(InArena(class_arena), server)


class TestKafka(Streams):
    @pytest.fixture(scope="class")
    def broker(self) -> Iterator[KafkaBroker]:
        with KafkaBroker() as broker:
            yield broker

    @pytest.fixture
    def rig(self, class_arena: Arena, broker: KafkaBroker) -> KafkaRig:
        return KafkaRig(InArena(class_arena), broker)
