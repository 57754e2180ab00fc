"""A table of files under kills at random failpoints, and kills during the recovery from them; `make torture`: 500."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations import files
from rowkeeper.destinations.file.log import Log
from rowkeeper.protocols import Change, CommitRecord, Site, StagedRows
from rowkeeper.resilience.failpoints import arm
from rowkeeper.stores import Folder
from tests import extent
from tests.arena import FORKSERVER, KILLED, Arena
from tests.keys import disk_keys_of

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("text", pa.string())])
ROWS = 20
KILLS, KILLS_SAMPLED = 500, 6
SECONDS_MAX = 120.0


def attempt(home: Path, folder: Path, run: int, token: int, failpoints: str) -> None:
    """What a run does at its destination, without the rest of it."""
    arm(failpoints)
    session = files(str(folder), rows_per_file=8).connect(Site(home, disk_keys_of(home), ledger_id="here"), SCHEMA)
    session.prepare()
    session.stage_open(run, token)
    numbers = range(run * 100, run * 100 + ROWS)
    columns = [list(numbers), [f"text {each}" for each in numbers], list(range(ROWS))]
    fields = [*SCHEMA, pa.field(ROW_ID, pa.uint64(), nullable=False)]
    session.stage(
        pa.table([pa.array(each, field.type) for each, field in zip(columns, fields, strict=True)], pa.schema(fields))
    )
    sealed = session.seal([StagedRows(0, ROWS, ROWS)], Change())
    session.publish(CommitRecord("here", run, token, sealed.fingerprint), Change())
    session.close()


def recovery(home: Path, folder: Path, run: int, token: int, failpoints: str) -> None:
    """What the next command does: it asks the destination, and does it again if it was not done."""
    arm(failpoints)
    session = files(str(folder), rows_per_file=8).connect(Site(home, disk_keys_of(home), ledger_id="here"), None)
    published = session.settle(run)
    session.close()
    if not published:
        attempt(home, folder, run, token, failpoints="")


def ended(work: object, *arguments: object) -> int:
    process = FORKSERVER.Process(target=work, args=arguments)
    process.start()
    process.join(SECONDS_MAX)
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture
def home(own_arena: Arena) -> Path:
    """A state folder with an engine that is up."""
    own_arena.ok("query", "SELECT 1")
    return own_arena.home


def test_killed_anywhere_the_table_holds_each_run_once(home: Path, tmp_path: Path):
    """Whatever dies when: each run's rows are there once, and no file that no version names."""
    folder, log = tmp_path / "lake", tmp_path / "points"
    assert ended(attempt, home, folder, 1, 1, f"*=log:{log}") == 0
    passed = Counter(log.read_text().split())
    chance = extent.chance("kills of a table of files")
    token, killed = 1, 0
    kills = extent.examples(KILLS_SAMPLED, KILLS)
    for run in range(2, kills + 2):
        point = chance.choice(sorted(passed))
        strike = f"{point}=kill@{chance.randint(1, passed[point])}"
        token += 1
        killed += ended(attempt, home, folder, run, token, strike) == KILLED
        token += 1
        if chance.random() < 0.5:  # a second one, in the midst of recovering from the first
            again = chance.choice(
                ["settle.after_fence", "files.before_manifest", "files.after_manifest", "files.after_drafts"]
            )
            killed += ended(recovery, home, folder, run, token, f"{again}=kill") == KILLED
            token += 1
        assert ended(recovery, home, folder, run, token, "") == 0
        _check(folder, run, strike)
    assert killed >= kills


def _check(folder: Path, run: int, strike: str) -> None:
    table = Log(Folder(folder), "")
    newest = table.newest()
    assert newest is not None
    found = Counter[int]()
    for file in newest.files:
        assert (folder / file.path).stat().st_size == file.size, strike
        found[file.run] += file.rows
    assert found == dict.fromkeys(range(1, run + 1), ROWS), strike
    assert newest.record is not None
    assert newest.record.run == run
    assert sum((each.fingerprint for each in newest.files), Fingerprint()).rows == ROWS * run
    named = {file.path for version in table.versions() for file in table.read(version).files}
    assert {path.name for path in folder.glob("run-*")} == named, strike
    assert not list(folder.glob("_rowkeeper/draft-*")), strike
