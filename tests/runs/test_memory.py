"""The limit on memory, measured on real commands and their engines: of each the peak of what it has in RAM.

Memory that both share (libraries) counts once: the sum is of proportional set sizes.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowkeeper.batch import BATCH_BYTES
from rowkeeper.ledger import Ledger
from rowkeeper.machine import MachineMemory, MemoryGroup
from rowkeeper.protocols import Columns
from rowkeeper.runs.conveyor import ahead
from rowkeeper.runs.sharing import Share
from rowkeeper.runs.sizing import Gauge, sizes_of
from rowkeeper.settings import Settings
from rowkeeper.sources import files
from tests.auditing import AUDITING
from tests.ledgers import place

MB = 1 << 20
ANY = Columns(known=frozenset(), required=(), extra="evolve")
WIDE_ROWS, WIDE_BYTES = 1_200, 100_000
PIPELINES = """
import rowkeeper as rk
from pydantic import BaseModel

class Wide(BaseModel):
    id: int
    body: str

class Ordinary(BaseModel):
    id: int
    carrier: str
    amount: float
    name: str

def pipeline(name, contract):
    return rk.Pipeline(name.split(".")[0] + "_" + name.split(".")[1], source=rk.sources.files(name),
        contract=contract, destination=rk.destinations.clickhouse(name.replace(".", "_"), order_by=["id"]))

wide = [pipeline(f"wide.{kind}", Wide) for kind in ("csv", "ndjson", "parquet")]
wide_csv, wide_ndjson, wide_parquet = wide
ordinary_csv = pipeline("ordinary.csv", Ordinary)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("memory")
    bodies = [base64.b64encode(os.urandom(WIDE_BYTES * 3 // 4)).decode() for _ in range(WIDE_ROWS)]
    (made / "pipelines.py").write_text(PIPELINES)
    with (made / "wide.csv").open("w") as csv, (made / "wide.ndjson").open("w") as ndjson:
        csv.write("id,body\n")
        for number, body in enumerate(bodies):
            csv.write(f"{number},{body}\n")
            ndjson.write(f'{{"id": {number}, "body": "{body}"}}\n')
    table = pa.table({"id": list(range(WIDE_ROWS)), "body": bodies})
    pq.write_table(table, made / "wide.parquet", write_batch_size=8)  # its pages would have 1,024 rows otherwise
    with (made / "ordinary.csv").open("w") as ordinary:
        ordinary.write("id,carrier,amount,name\n")
        ordinary.writelines(f"{n},A{n % 10},{n / 7:.3f},passenger {n * 7919 % 1000003}\n" for n in range(600_000))
    return made


class Measured:
    """Commands with an engine of their own, and what they had at most: each of them, the engine, and all at once."""

    def __init__(self, folder: Path, home: str, *names: str, **settings: str) -> None:
        self.home = folder / f"state-{home}"
        env = {
            **os.environ,
            "ROWKEEPER_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "5",
            **settings,
        }
        if ledger := place(self.home):
            env["ROWKEEPER_LEDGER_URL"] = ledger
        command = [sys.executable, "-c", "from rowkeeper.cli import main; main()"]
        self.processes = []
        self.outputs = [folder / f"{home}-{name}.out" for name in names]
        for name, output in zip(names, self.outputs, strict=True):
            with output.open("wb") as out:
                self.processes.append(
                    subprocess.Popen(
                        [*command, "run", f"pipelines.py:{name}", "--json"], cwd=folder, env=env, stdout=out, stderr=out
                    )
                )
        self.all = self.command = self.engine = 0

    def wait(self) -> None:
        host: int | None = None
        try:
            while any(process.poll() is None for process in self.processes):
                host = host or self._host()
                commands = [_measured(process.pid) for process in self.processes]
                engine = _measured(host) if host else (0, 0)
                self.command = max(self.command, *(rss for rss, _ in commands))
                self.engine = max(self.engine, engine[0])
                self.all = max(self.all, engine[1] + sum(pss for _, pss in commands))
                time.sleep(0.05)
        finally:
            for process in self.processes:
                process.kill()
            if host is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(host, signal.SIGKILL)
        for process, output in zip(self.processes, self.outputs, strict=True):
            assert process.returncode == 0, output.read_text()[-2000:]

    def _host(self) -> int | None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes()
                    if b"embedded.host" in argv and str(self.home).encode() in argv:
                        return int(entry.name)
        return None

    def runs(self) -> list[dict[str, Any]]:
        """What the ledger has of them, in the order in which they began."""
        with Ledger.open(None, self.home, auditing=AUDITING) as ledger:
            return [dataclasses.asdict(run) for run in reversed(ledger.runs())]

    def __str__(self) -> str:
        return f"command {self.command >> 20} MB, engine {self.engine >> 20} MB, all at once {self.all >> 20} MB"


def _measured(pid: int) -> tuple[int, int]:
    """RSS and PSS in bytes; zero of a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    found = {name: int(kb) << 10 for name, kb in re.findall(r"^(Rss|Pss):\s+(\d+)", text, re.M)}
    return found.get("Rss", 0), found.get("Pss", 0)


@pytest.mark.in_turns("kinds of files", 1)
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_rows_of_100_kb_are_loaded_within_800_mb(folder: Path, kind: str):
    """As many rows as a batch may have would be 6.5 GB of them."""
    measured = Measured(folder, kind, f"wide_{kind}", ROWKEEPER_MEMORY_MAX="800MiB")
    measured.wait()
    print(kind, measured)
    assert measured.all < 800 * MB, measured


def test_ordinary_rows_are_loaded_within_700_mb(folder: Path):
    """A limit that leaves little more than what the two processes hold at rest."""
    measured = Measured(folder, "ordinary", "ordinary_csv", ROWKEEPER_MEMORY_MAX="700MiB")
    measured.wait()
    print(measured)
    assert measured.all < 700 * MB, measured
    assert max(measured.command, measured.engine) < 600 * MB, measured


@contextlib.contextmanager
def control_group(limit_bytes: int) -> Iterator[Path]:
    """A memory control group (v1) below our own, or none at all: the test is skipped."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory"), None)
    group = Path(f"/sys/fs/cgroup/memory{own}/rowkeeper-test-{os.getpid()}")
    try:
        if own is None:
            raise OSError("there is no memory controller of v1")
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield group
    finally:
        deadline = time.monotonic() + 10
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()


@pytest.mark.root
def test_a_control_group_s_limit_is_found_and_kept(folder: Path):
    """Nothing is set: the limit is the group's, the kernel would end whoever goes beyond it, and nobody is ended."""
    with control_group(700 * MB) as group:
        measured = born_in(group, lambda: Measured(folder, "group", "wide_csv"))
        measured.wait()
        print(measured, "group at most", int((group / "memory.max_usage_in_bytes").read_text()) >> 20, "MB")
        assert "oom_kill 0" in (group / "memory.oom_control").read_text()


def born_in(group: Path, start: Callable[[], Measured]) -> Measured:
    """Starts commands as members of the group."""
    (group / "cgroup.procs").write_text("0")
    try:
        return start()
    finally:
        (group.parent / "cgroup.procs").write_text("0")


def overlapped(measured: Measured) -> bool:
    """Whether the second run began before the first had ended."""
    first, second = measured.runs()
    return bool(second["started_at"] < first["finished_at"])


def test_two_runs_share_the_limit(folder: Path):
    """Two loads of wide rows at once, of one engine: together they stay below what is set for all of them."""
    measured = Measured(folder, "shared", "wide_csv", "wide_ndjson", ROWKEEPER_MEMORY_MAX="1400MiB")
    measured.wait()
    print(measured)
    assert overlapped(measured)
    assert measured.all < 1400 * MB, measured
    assert measured.command < 1.2 * sizes_of(Settings(memory_max="1400MiB")).command_bytes, measured


@pytest.mark.root
def test_two_runs_share_the_limit_of_their_control_group(folder: Path):
    """Nothing is set, and the kernel ends nobody."""
    with control_group(1400 * MB) as group:
        measured = born_in(group, lambda: Measured(folder, "shared-group", "wide_csv", "wide_ndjson"))
        measured.wait()
        print(measured, "group at most", int((group / "memory.max_usage_in_bytes").read_text()) >> 20, "MB")
        assert overlapped(measured)
        assert "oom_kill 0" in (group / "memory.oom_control").read_text()


def test_a_run_that_does_not_fit_beside_another_waits_for_it(folder: Path):
    """The limit has room for one: the second begins to load when the first has ended, and says that it waited."""
    measured = Measured(folder, "waiting", "wide_csv", "wide_ndjson", ROWKEEPER_MEMORY_MAX="800MiB")
    measured.wait()
    print(measured)
    assert overlapped(measured)
    notes = [note for output in measured.outputs for note in json_of(output)["notes"]]
    assert [note for note in notes if note.startswith("waited ")], notes
    assert measured.all < 800 * MB, measured


def json_of(output: Path) -> dict[str, Any]:
    """The report that a command printed among what it told on standard error."""
    text = output.read_text()
    return json.loads(text[text.index("\n{") if not text.startswith("{") else 0 : text.rindex("}") + 1])


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_a_batch_has_as_few_rows_as_its_bytes_ask_for(folder: Path, kind: str):
    """Ten rows of 100 kB are a megabyte; all of them come, in order."""
    source = files(str(folder / f"wide.{kind}"))
    partition = source.plan({}, whole=False).load[0]
    seen = 0
    for batch in source.read(partition, start_row=0, batch_rows=65_536, columns=ANY, batch_bytes=MB):
        assert batch.table.nbytes <= 1.2 * MB
        assert batch.first_row == seen
        seen = batch.next_row
    assert seen == WIDE_ROWS


def test_a_dictionary_of_long_texts_is_not_unfolded_at_once(tmp_path: Path):
    """20,000 rows of 100 kB are a file of 40 kB, if all of them are one of two texts."""
    texts = pa.array(["x" * WIDE_BYTES, "y" * WIDE_BYTES])
    numbers = pa.array([number % 2 for number in range(20_000)], pa.int32())
    pq.write_table(
        pa.table({"body": pa.DictionaryArray.from_arrays(numbers, texts)}), tmp_path / "a.parquet", store_schema=False
    )
    source = files(str(tmp_path / "a.parquet"))
    partition = source.plan({}, whole=False).load[0]
    batches = source.read(partition, start_row=3, batch_rows=65_536, columns=ANY, batch_bytes=2 * MB)
    first = next(batches)
    assert first.table.nbytes <= 2.4 * MB
    assert [text[0] for text in first.table["body"].slice(0, 3).to_pylist()] == ["y", "x", "y"]
    assert first.first_row == 3
    assert sum(batch.rows_read for batch in batches) + first.rows_read == 19_997


def test_without_a_tight_limit_the_sizes_are_the_usual_ones():
    """What is set for rows holds; a tight limit lowers everything and keeps engine and command within it."""
    usual, tight = sizes_of(Settings(memory_max="8GiB")), sizes_of(Settings(memory_max="700MiB"))
    assert (usual.batch_rows, usual.batch_bytes, usual.queue_batches) == (65_536, BATCH_BYTES, 2)
    assert tight.batch_rows < usual.batch_rows
    assert tight.batch_bytes < 8 * MB
    assert tight.command_bytes + tight.engine_bytes < 700 * MB
    assert tight.statement_bytes < tight.engine_bytes


def test_the_share_of_a_run_is_that_of_those_that_fit(tmp_path: Path):
    """Equal shares of the runs' part; whoever waits has none, and makes nobody's smaller."""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        for number, (limit, runs) in enumerate([("2GiB", 1), ("2GiB", 2), ("2GiB", 3), ("2GiB", 3), ("700MiB", 1)], 1):
            ledger.acquire_lease(f"clickhouse:{number}", 60)
            settings = Settings(memory_max=limit)
            share = Share(ledger, settings)
            assert share.runs() == runs
            assert share.command_bytes() == sizes_of(settings).runs_bytes // runs
            assert share.sizes().batch_rows > 100
    assert sizes_of(Settings(memory_max="700MiB"), 5) == sizes_of(Settings(memory_max="700MiB"))


def test_while_memory_is_short_no_more_than_one_item_waits():
    """And still every item comes through, in order."""
    made: list[int] = []
    short = [True]

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    taken = []
    with ahead(items(), 8, "test", lambda: short[0]) as coming:
        for number in coming:
            taken.append(number)
            time.sleep(0.002)
            if number < 25:
                assert len(made) <= number + 4  # one waits, one is being put, one is taken
            else:
                short[0] = False
    assert taken == list(range(50))


PLENTY = MachineMemory(8000 * MB, 4000 * MB, 0.0)


@pytest.mark.parametrize(
    ("short", "used", "group", "whole"),
    [
        (False, 90, None, PLENTY),
        (True, 110, None, PLENTY),
        (True, 10, MemoryGroup(1000, 950), PLENTY),
        (False, 10, MemoryGroup(1000, 500), PLENTY),
        (True, 10, None, MachineMemory(8000 * MB, 200 * MB, 0.0)),
        (True, 10, None, MachineMemory(8000 * MB, 4000 * MB, 25.0)),
        (False, 10, None, MachineMemory(1000 * MB, 60 * MB, 0.0)),  # of a small machine less is kept for others
    ],
)
def test_the_gauge_goes_by_the_process_the_group_around_it_and_the_machine(
    short: bool, used: int, group: MemoryGroup | None, whole: MachineMemory
):
    """Each of them alone makes memory short: what the machine has left, and how long everybody waits for it, too."""
    gauge = Gauge(lambda: 100, used=lambda: used, group=lambda: group, whole=lambda: whole)
    assert gauge.tight() is short
