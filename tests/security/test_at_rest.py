"""Nothing classified and no key lies in the clear, anywhere on the machine, while rows are loaded and after a crash.

Every byte is looked at of: the state folder, the folder of temporary files, shared memory, logs, pages and bundles, and
the arguments and environments of all processes. What is searched for are values of rows that nobody could have by
chance, and the keys themselves, as they are and as they are commonly written.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pyarrow as pa
import pytest

from rowkeeper.destinations.embedded.bulk import shared_arrow_file
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import connect
from rowkeeper.security.keysets import ENGINE, QUARANTINE, SAMPLES, SPOOL
from rowkeeper.security.statefolder import open_state_folder
from tests.arena import Arena
from tests.runs.outages import outage

PIPELINE = """
from typing import Annotated
from pydantic import AfterValidator, BaseModel
import rowkeeper as rk

def short(value: str) -> str:
    if len(value) > 40:
        raise ValueError("too long")
    return value

class Row(BaseModel):
    id: int
    name: Annotated[str, AfterValidator(short), rk.Classified("name")]

people = rk.Pipeline(
    "people",
    source=rk.sources.files("in/*.csv"),
    contract=Row,
    transform=lambda rows: rows,
    gates=[rk.unique("name", severity="warn"), rk.accepted_values("name", ["Ada"], severity="warn")],
    destination=rk.destinations.clickhouse("people", order_by=["id"], fallback="spool"),
)
"""
SHARED_MEMORY = Path("/dev/shm")
STEPS = [
    "stage.before_insert",
    "private_file.before_link",  # a sealed file has no name yet
    "gate.after_samples",
    "publish.before_exchange",
]
CANARY = f"canary-{secrets.token_hex(12)}-"


@pytest.fixture
def bank(own_arena: Arena) -> tuple[Arena, list[bytes]]:
    """An arena with temporary files of its own, and the values that its rows bring."""
    temporary = own_arena.folder / "tmp"
    temporary.mkdir()
    own_arena.env |= {"TMPDIR": str(temporary), "ROWKEEPER_LOG_LEVEL": "debug"}
    own_arena.write("p.py", PIPELINE)
    return own_arena, feed(own_arena, 0)


def feed(arena: Arena, first: int) -> list[bytes]:
    """A file of rows, some of which are rejected and some alike, each with a value that begins as nothing else does.

    Returns what to search for.
    """
    canaries = [f"{CANARY}{first + number}" for number in range(60)]
    rows = [f"{first + number},{canary}" for number, canary in enumerate(canaries)]
    rows += [f"x,{canaries[0]}", f"{first + 70},{canaries[1]}{'!' * 40}", f"{first + 71},{canaries[2]}"]
    arena.write(f"in/{first}.csv", "id,name\n" + "\n".join(rows) + "\n")
    return [CANARY.encode()]


def keys_of(arena: Arena) -> list[bytes]:
    """Every key there is, as it is, in hex and in base64."""
    folder = open_state_folder(arena.home)
    assert folder.key_path is not None
    keys = [bytes.fromhex(folder.key_path.read_text())]
    for purpose in (ENGINE, QUARANTINE, SAMPLES, SPOOL):
        keys += [key.material for key in folder.keysets.of(purpose).keys]
        keys += [key.derive("sealed file") for key in folder.keysets.of(purpose).keys]
    return [form for key in keys for form in (key, key.hex().encode(), base64.b64encode(key)[:42])]


def in_the_clear(arena: Arena, needles: list[bytes]) -> set[str]:
    """The places where one of them is found."""
    found = set()
    for folder in (arena.home, Path(arena.env["TMPDIR"]), SHARED_MEMORY, arena.folder / ".output"):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found |= {str(path)} if holds(path.read_bytes(), needles) else set()
    for path in filter(Path.is_file, arena.folder.iterdir()):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside = b"".join(archive.read(name) for name in archive.namelist())
            found |= {str(path)} if holds(inside, needles) else set()
        found |= {str(path)} if holds(path.read_bytes(), needles) else set()
    return found | in_processes(needles)


def holds(content: bytes, needles: list[bytes]) -> bool:
    return any(needle in content for needle in needles)


def in_processes(needles: list[bytes]) -> set[str]:
    """In arguments and environments, of all processes that can be looked at: as root of all there are."""
    found = set()
    for process in psutil.pids():
        for what in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{process}/{what}").read_bytes()
            except OSError:
                continue  # it has ended, or is another user's
            found |= {f"/proc/{process}/{what}"} if holds(content, needles) else set()
    return found


def test_nothing_is_left_by_runs_rejects_samples_and_pages(bank: tuple[Arena, list[bytes]]):
    """A run with rejected rows, samples and a profile, pages, bundle, lists, a rotation, and a run in the spool."""
    arena, canaries = bank
    arena.ok("run", "p.py")
    runs = [("show", "1", "--html", "run.html"), ("bundle", "1", "--output", "run.zip"), ("doctor",), ("keys", "list")]
    for words in (*runs, ("quarantine", "list"), ("keys", "rotate", "--all")):
        assert arena.run(*words, "--debug").status == 0, words
    with outage(arena):
        feed(arena, 100)
        assert arena.ok("run", "p.py")["status"] == "spooled"
        assert not in_the_clear(arena, canaries + keys_of(arena))
    arena.ok("spool", "drain")
    assert arena.ok("query", "SELECT uniqExact(name) FROM people")["rows"] == [[120]]
    for place in ("quarantine/1", "samples/1", "spool", "engine/disk/enc"):
        assert (arena.home / place).is_dir(), place  # there was something to find
    assert not in_the_clear(arena, canaries + keys_of(arena))


@pytest.mark.in_turns("steps of a run", 2)
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_there_in_the_middle_of_a_run_or_left_when_it_is_killed(bank: tuple[Arena, list[bytes]], step: str):
    """Stopped where rows are under way, and killed there: disk, temporary files, shared memory, processes."""
    arena, canaries = bank
    arena.ok("keys", "list")  # the first use makes a key file, outside
    running = arena.start("run", "p.py", failpoints=f"{step}=stop")
    running.wait_stopped()
    try:
        needles = canaries + keys_of(arena)
        assert not in_the_clear(arena, needles)
    finally:
        running.signal(signal.SIGKILL)
    running.wait()
    arena.kill_host()
    assert not in_the_clear(arena, needles)
    assert arena.run("run", "p.py").status == 0
    assert not in_the_clear(arena, needles)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_rows_in_shared_memory_are_for_their_owner_alone():
    """The batch on its way to the engine has no name, and another user cannot open it through the process."""
    with shared_arrow_file(pa.table({"name": [CANARY]})) as path:
        assert CANARY.encode() in Path(path).read_bytes()
        assert "deleted" in os.readlink(path)
        code = "import os, sys\nos.setgid(65534)\nos.setuid(65534)\nopen(sys.argv[1], 'rb').read()"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
        assert b"PermissionError" in other.stderr, other


def test_the_engine_joins_and_sorts_in_memory_alone(bank: tuple[Arena, list[bytes]]):
    """Whatever a client sets: no statement writes a temporary file, which chDB would not encrypt."""
    arena, _ = bank
    arena.ok("query", "SELECT 1")
    folder = arena.home / "engine" / "data" / "tmp"
    before = folder.stat().st_mtime_ns
    many = "(SELECT number AS id, concat('canary-', toString(number)) AS name FROM numbers(50000))"
    joined = f"SELECT count() FROM {many} AS a JOIN {many} AS b USING name"
    for algorithm in ("grace_hash", "partial_merge", "prefer_partial_merge", "auto", "full_sorting_merge"):
        answer = by_hand(
            arena, joined, join_algorithm=algorithm, max_bytes_in_join=100_000, grace_hash_join_initial_buckets=4
        )
        assert b"SET_SIZE_LIMIT_EXCEEDED" in answer, answer
    ordered = f"SELECT count() FROM (SELECT * FROM {many} ORDER BY name LIMIT 49999)"
    assert b"49999" in by_hand(arena, ordered, max_bytes_before_external_sort=1000, max_block_size=1000)
    assert (folder.stat().st_mtime_ns, list(folder.iterdir())) == (before, [])


def by_hand(arena: Arena, query: str, **settings: object) -> bytes:
    """A statement by any client of the engine, with settings in its address."""
    with connect(EnginePlaces.under(arena.home), 60) as client:
        head = f"POST /?{urlencode(settings)} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n"
        client.sendall(f"{head}Content-Length: {len(query)}\r\n\r\n{query}".encode())
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_the_search_would_find_something(bank: tuple[Arena, list[bytes]]):
    """Files, archives, temporary files, shared memory, arguments and environments are looked into."""
    arena, canaries = bank
    arena.home.mkdir(mode=0o700)
    needle = canaries[0]
    shared = SHARED_MEMORY / f"rowkeeper-test-{os.getpid()}"
    places = [arena.home / "a" / "b", Path(arena.env["TMPDIR"]) / "c", arena.folder / "page.html", shared]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x" * 100 + needle)
    with zipfile.ZipFile(arena.folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/inside", needle * 100)
    words = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    told = [
        subprocess.Popen([*words, needle], stdin=subprocess.PIPE),
        subprocess.Popen(words, stdin=subprocess.PIPE, env={"X": needle.decode()}),
    ]
    try:
        expected = {str(place) for place in [*places, arena.folder / "a.zip"]}
        expected |= {f"/proc/{told[0].pid}/cmdline", f"/proc/{told[1].pid}/environ"}
        assert expected <= in_the_clear(arena, canaries)
    finally:
        shared.unlink()
        for process in told:
            process.communicate()
