"""Servers that the tests of one module share, and a site that reaches them. Fixtures to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from tests.brokers.servers import NatsServer, ValkeyServer


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that reaches what brokers declare, and nothing else."""
    return Site(tmp_path, _no_keys, "L", calls=Calls(), way_out=Gateway(Egress((), "enforce")))


def _no_keys() -> Any:
    raise AssertionError("no engine is started here")
