from __future__ import annotations

from collections.abc import Iterator

import pytest

import rowkeeper as rk
from tests.brokers.fixtures import nats_server, site, valkey_server
from tests.brokers.servers import KafkaMock

__all__ = ["QUICK", "kafka", "nats_server", "site", "valkey_server"]


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaMock]:
    with KafkaMock() as mock:
        yield mock


QUICK = rk.Resilience(
    retry=rk.Retry(attempts=2, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=3.0),
    breaker=None,
    deadline_seconds=10.0,
)
