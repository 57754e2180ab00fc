import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import rowkeeper.ledger.ledger
from tests import extent, ledgers
from tests.arena import Arena

# A shell ignores SIGINT in what it starts in the background, and children inherit that. The processes that these tests
# start, to be interrupted, must not depend on how the tests themselves were started.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make torture` tries what `make test` samples."""
    parser.addoption("--whole", action="store_true", help="every failpoint of every scenario, all random examples")
    kinds = (ledgers.SQLITE, ledgers.POSTGRESQL)
    parser.addoption("--ledger", choices=kinds, default=ledgers.SQLITE, help="where the ledgers of arenas are")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "of_sqlite(why): about the ledger's SQLite file; not with --ledger=postgresql")
    config.addinivalue_line("markers", "in_turns(of, count): alike but for what they are tried on, so many at a time")
    extent.whole = config.getoption("--whole")
    ledgers.kind = config.getoption("--ledger")
    # How fast examples are made is a matter of what else the machine does.
    hypothesis.settings.register_profile("tests", suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("tests")
    extent.seed()  # before pytest-xdist starts its workers, which inherit it


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves those whose turn it is of tests that are alike, and those that are asked for by their names."""
    if not extent.whole:
        out = {item for item in extent.left_out(items) if not extent.is_named(item, config.args)}
        config.hook.pytest_deselected(items=list(out))
        items[:] = [item for item in items if item not in out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out, with their reason, those that have no meaning for a ledger on PostgreSQL."""
    mark = item.get_closest_marker("of_sqlite")
    if mark is not None and ledgers.kind != ledgers.SQLITE:
        pytest.skip(f"about SQLite's file: {mark.args[0]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was sampled can be sampled again."""
    if not extent.whole:
        terminalreporter.write_line(f"{extent.SEED}={extent.seed()} tries the same samples again")


@pytest.fixture(scope="session", autouse=True)
def _ledgers_elsewhere() -> Iterator[None]:
    """With `--ledger=postgresql` no ledger of this process is SQLite; those that are, are founded in no time."""
    with pytest.MonkeyPatch.context() as patch:
        migrate = rowkeeper.ledger.ledger.migrate
        patch.setattr(rowkeeper.ledger.ledger, "migrate", ledgers.founded_alike(migrate))
        if ledgers.kind != ledgers.SQLITE:
            patch.setattr(rowkeeper.ledger.ledger, "connect", ledgers.elsewhere(rowkeeper.ledger.ledger.connect))
        yield


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
