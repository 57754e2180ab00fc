"""The ledger's server dies at any step of a run, or of what recovers it: nothing is lost or doubled.

The process is stopped at a failpoint, its PostgreSQL is ended by `pg_ctl stop -m immediate` and started again, and the
process goes on with every connection dead.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import extent
from tests.arena import KILLED, Arena
from tests.ledgers import Server, served
from tests.runs.scenarios import SCENARIOS, Command, all_left_behind, prepare, prepare_all
from tests.runs.test_failpoints import passed_points

FIRST = next(each for each in SCENARIOS if each.name == "changed_file")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It waits for its disk, as one in use does."""
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def town(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """An arena whose ledger is on that server."""
    made = Arena(tmp_path_factory.mktemp("town"), {"ROWKEEPER_LEDGER_URL": server.schema()})
    made.ok("query", "SELECT 1")
    yield made
    made.kill_host()


def struck(town: Arena, server: Server, command: Command, point: str) -> str:
    """Runs a command whose ledger dies at this point; what is wrong with how it ended, if anything."""
    running = town.start(*command, failpoints=f"{point}=stop")
    running.wait_stopped()
    server.stop()
    server.start()
    running.go_on()
    ended = running.wait()
    told = ended.status == 0 or ("RK-50" in ended.stdout + ended.stderr and "Traceback" not in ended.stderr)
    return "" if told else f"{point}: {ended}"


def test_the_ledger_dies_under_a_run(town: Arena, server: Server):
    """At any step: the run ends well, or in one clear error, and the next one leaves what an undisturbed run leaves."""
    points = passed_points(town, prepare(town, FIRST, "calm"), "calm.log")
    tried = points if extent.whole else extent.sample("deaths of the ledger", points, 2)
    names = {f"dies_{number}": point for number, point in enumerate(tried)}
    commands = prepare_all(town, FIRST, list(names))
    faults = [fault for name, point in names.items() if (fault := struck(town, server, commands[name], point))]
    again = [town.run(*commands[name]) for name in names]
    assert not faults, "\n".join(faults)
    assert [each for each in again if each.status] == []
    found = all_left_behind(town, ["calm", *names])
    assert [names[name] for name in names if found[name] != found["calm"]] == []
    assert town.ok("audit", "verify")["sound"]


def test_the_ledger_dies_under_a_recovery(town: Arena, server: Server):
    """A run is killed, and the ledger dies under what finishes it: the command after that leaves all as it should."""
    killed = "publish.after_exchange=kill"
    command = prepare(town, FIRST, "recovered_calm")
    assert town.run(*command, failpoints=killed).status == KILLED
    points = passed_points(town, ("recover",), "recovered.log")
    tried = points if extent.whole else extent.sample("deaths of the ledger in recoveries", points, 1)
    town.run(*command)
    names = {f"recovered_{number}": point for number, point in enumerate(tried)}
    commands = prepare_all(town, FIRST, list(names))
    faults = []
    for name, point in names.items():
        assert town.run(*commands[name], failpoints=killed).status == KILLED
        faults += [fault for fault in [struck(town, server, ("recover",), point)] if fault]
        assert town.run(*commands[name]).status == 0
    assert not faults, "\n".join(faults)
    found = all_left_behind(town, ["recovered_calm", *names])
    assert [names[name] for name in names if found[name] != found["recovered_calm"]] == []
    assert town.ok("audit", "verify")["sound"]
