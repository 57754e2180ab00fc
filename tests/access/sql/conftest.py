import os
import signal

import pytest

from rowkeeper.destinations import engine_pid
from tests.access.sql.world import World, made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One state folder for all the tests of governed SQL: they only read."""
    folder = tmp_path_factory.mktemp("governed")
    with made(folder) as opened:
        yield opened
        if pid := engine_pid(opened.space.site):
            os.kill(pid, signal.SIGTERM)
