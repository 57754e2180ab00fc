import signal
from pathlib import Path

import pytest

from tests import extent
from tests.arena import Arena

# A shell ignores SIGINT in what it starts in the background, and children inherit that. The processes that these tests
# start, to be interrupted, must not depend on how the tests themselves were started.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make torture` tries what `make test` samples."""
    parser.addoption("--whole", action="store_true", help="every failpoint of every scenario, all random examples")


def pytest_configure(config: pytest.Config) -> None:
    extent.whole = config.getoption("--whole")
    extent.seed()  # before pytest-xdist starts its workers, which inherit it


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was sampled can be sampled again."""
    if not extent.whole:
        terminalreporter.write_line(f"{extent.SEED}={extent.seed()} tries the same samples again")


@pytest.fixture(scope="module")
def arena(tmp_path_factory) -> Arena:
    """An arena that the tests of one module share; each uses pipelines and tables of its own names."""
    made = Arena(tmp_path_factory.mktemp("arena"))
    yield made
    made.kill_host()


@pytest.fixture(scope="class")
def class_arena(tmp_path_factory) -> Arena:
    """An arena that the tests of one class share."""
    made = Arena(tmp_path_factory.mktemp("arena"))
    yield made
    made.kill_host()


@pytest.fixture
def own_arena(tmp_path: Path) -> Arena:
    """An arena of the test's own, where the state folder itself is the subject."""
    made = Arena(tmp_path / "arena")
    yield made
    made.kill_host()
