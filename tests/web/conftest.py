from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.arena import Arena
from tests.web.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[Site]:
    """A server that the tests of this folder share; its limits are wide, as all of them come from one address."""
    made = Site(Arena(tmp_path_factory.mktemp("site")))
    made.env = {"ROWKEEPER_SERVER_ADDRESS_RATE": "100000", "ROWKEEPER_SERVER_CALLER_RATE": "100000"}
    made.prepare()
    made.admit()
    made.start()
    yield made
    made.stop()
    made.arena.kill_host()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, without pipelines, not started yet."""
    made = Site(Arena(tmp_path / "site"))
    yield made
    if made.running is not None:
        made.stop()


@pytest.fixture
def admin(site: Site) -> Iterator[httpx.Client]:
    """A client that asks as an administrator."""
    with site.client("admin") as client:
        yield client
