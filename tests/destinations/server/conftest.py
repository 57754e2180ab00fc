"""What the tests of servers share: a front for each module, and sites that reach it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from tests.destinations.server.serving import PASSWORDS, Front, serving
from tests.keys import random_disk_keys


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with serving(tmp_path_factory.mktemp("front")) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """It may reach what a connector declares, and nothing else."""
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    return Site(
        home=tmp_path,
        disk_keys=random_disk_keys(),
        ledger_id="the ledger",
        calls=Calls(),
        way_out=Gateway(Egress((), "enforce")),
    )
