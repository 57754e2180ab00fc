"""A table of files that cannot be reached: its runs wait in the spool, and are drained into it once and in order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from rowkeeper.testing.loading import Bench, DestinationRig, some_rows
from tests import extent
from tests.arena import KILLED, Arena
from tests.destinations.test_file_conformance import FolderRig
from tests.destinations.test_file_s3_conformance import Bare
from tests.runs.outages import outage
from tests.sources.rigs import InArena
from tests.stores.seaweed import Seaweed, seaweed

TRIES = 1
OWN = ("files.", "drain.", "settle.")


@dataclasses.dataclass
class Place:
    """Where tables are, and how they cannot be reached for a while."""

    rig: DestinationRig
    away: Callable[[], AbstractContextManager[None]]

    def bench(self, name: str) -> Bench:
        """A pipeline that has run once."""
        made = Bench(self.rig, name)
        made.write('fallback="spool"')
        made.offer(some_rows(20))
        made.done()
        return made

    def drain(self, name: str, failpoints: str = "") -> int:
        return self.rig.runner.run("spool", "drain", name, "--json", failpoints=failpoints).status


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as made:
        yield made


@pytest.fixture(params=["no engine to stage in", "no object store"])
def place(request: pytest.FixtureRequest, class_arena: Arena) -> Place:
    runner = InArena(class_arena)
    if request.param == "no engine to stage in":
        return Place(FolderRig(runner, ""), lambda: outage(class_arena))
    server: Seaweed = request.getfixturevalue("server")
    class_arena.env |= server.environment
    return Place(Bare(runner, server, server.bucket()), lambda: _killed(server))


@contextlib.contextmanager
def _killed(server: Seaweed) -> Iterator[None]:
    """The store's process is killed, and started anew over what it had stored."""
    server.kill()
    yield
    server.start()


def more(bench: Bench, number: int) -> None:
    """Another file. Rows are added: a table of files takes no others while it has runs that wait."""
    bench.offer(some_rows(10, first=20 * number), f"more{number}")


def spooled(bench: Bench) -> None:
    ended = bench.run()
    assert ended.status == 0, ended
    assert ended.document["status"] == "spooled", ended


@pytest.mark.in_turns("places out of reach", 1)
def test_what_waited_is_what_an_undisturbed_table_has(place: Place):
    """Two runs wait; drained, and killed in the midst of that and drained again, they are there once and in order."""
    calm = place.bench("calm")
    for number in (1, 2):
        more(calm, number)
        calm.done()
    probe = place.bench("probe")
    with place.away():
        for number in (1, 2):
            more(probe, number)
            spooled(probe)
    log = place.rig.runner.folder / "points.log"
    assert place.drain("probe", f"*=log:{log}") == 0
    wanted = calm.left_behind()
    assert probe.left_behind() == wanted
    passed = [each for each in dict.fromkeys(log.read_text().split()) if not each.endswith(":renew_lease")]
    own = [each for each in passed if each.startswith(OWN)]
    assert own
    tried = passed if extent.whole else extent.sample("kills of a drain into files", passed, TRIES, own)
    benches = {point: place.bench(f"killed_{number}") for number, point in enumerate(tried)}
    with place.away():
        for bench in benches.values():
            for number in (1, 2):
                more(bench, number)
                spooled(bench)
    for point, bench in benches.items():
        assert place.drain(bench.name, f"{point}=kill") == KILLED, point
        assert place.drain(bench.name) == 0, point
        assert bench.left_behind() == wanted, point
