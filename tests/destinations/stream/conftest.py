from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.brokers.fixtures import nats_server, site, valkey_server
from tests.brokers.kafkabroker import KafkaBroker

__all__ = ["kafka_broker", "nats_server", "site", "valkey_server"]


@pytest.fixture(scope="module")
def kafka_broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as broker:
        yield broker
