"""Bad input: one clear error, and nothing that was there is touched."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.errors import AccessDenied
from rowkeeper.operations.restoring.restoring import Wanted, restore
from rowkeeper.settings import Settings
from tests import extent
from tests.arena import Arena, Outcome
from tests.operations.restoring.history import FILE, Past, began, csv, end_engine, steps


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    made = began(tmp_path_factory.mktemp("refusals"))
    next(steps(made, whole=False))
    made.back_up()
    made.arena.write("added/b.csv", csv(50, 10))
    made.did("run", f"{FILE}:added")
    made.back_up()
    end_engine(made.arena)
    yield made
    end_engine(made.arena)


def content(*folders: Path) -> dict[str, str]:
    """All that lies in some folders: paths and hashes."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            is_file = path.is_file() and not path.is_symlink()
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
    return found


def refused(past: Past, code: str, *command: str, env: dict[str, str] | None = None) -> Outcome:
    """The command fails with one error of this code, and touches neither backups nor what lies beside the state."""
    before = content(past.store), content(past.arena.home), sorted(past.arena.folder.iterdir())
    outcome = past.arena.run(*command, env=env)
    assert outcome.status in (1, 2), outcome
    assert f"({code})" in outcome.stderr
    assert outcome.stderr.count("error:") == 1
    assert "Traceback" not in outcome.stderr
    after = content(past.store), content(past.arena.home), sorted(past.arena.folder.iterdir())
    assert after == before, outcome
    return outcome


def into(tmp_path: Path) -> tuple[str, ...]:
    return ("restore", "--into", str(tmp_path / "into"))


def test_over_data(past: Past, tmp_path: Path):
    """Without --force nothing is replaced; an `--into` folder must be empty, whatever is said."""
    assert "--force" in refused(past, "RK-7021", "restore").stderr
    (tmp_path / "file").touch()
    assert refused(past, "RK-7021", "restore", "--into", str(tmp_path), "--force")


def test_in_use(past: Past):
    """A process that has a file of the state open keeps it from being replaced, and is named."""
    code = "import sys; held = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(past.arena.home / "keys.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        outcome = refused(past, "RK-7022", "restore", "--force")
        assert f"process {user.pid}" in outcome.stderr
        user.communicate()


def test_the_engine_is_up(past: Past):
    """So does the engine's host."""
    past.arena.rows("added")
    assert "engine" in past.arena.run("restore", "--force").stderr
    end_engine(past.arena)


@pytest.mark.parametrize(("to", "code"), [("99", "RK-1002"), ("2020-01-01T00:00Z", "RK-7023")])
def test_no_such_point(past: Past, tmp_path: Path, to: str, code: str):
    """A run that never was, a time before the first."""
    refused(past, code, *into(tmp_path), "--to", to)
    assert not (tmp_path / "into").exists()


def test_a_time_without_its_zone(past: Past, tmp_path: Path):
    """Nobody can tell which moment is meant."""
    outcome = past.arena.run(*into(tmp_path), "--to", "2026-11-26T10:00")
    assert outcome.status == 2
    assert "zone" in outcome.stderr


def test_a_run_that_is_in_no_backup(past: Past):
    """A run of after the last backup can be named only once a backup has it; the error says which there are."""
    past.arena.write("added/c.csv", csv(80, 5))
    (done,) = past.arena.answers(("run", f"{FILE}:added"))
    end_engine(past.arena)
    outcome = refused(past, "RK-7023", "restore", "--force", "--to", str(done["run"]))
    assert f"to run {past.runs[-1]}" in outcome.stderr


def test_another_key(past: Past, tmp_path: Path):
    """A wrong key is refused as what it is, before anything is fetched."""
    key = tmp_path / "key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    refused(past, "RK-6002", *into(tmp_path), env={"ROWKEEPER_KEY_FILE": str(key)})
    assert not (tmp_path / "into").exists()


def test_no_key(past: Past, tmp_path: Path):
    """A key that is not there is named."""
    refused(past, "RK-6001", *into(tmp_path), env={"ROWKEEPER_KEY_FILE": str(tmp_path / "none")})


def test_another_installation(past: Past, tmp_path: Path):
    """Backups of one installation do not replace the state of another."""
    other = Arena(tmp_path / "other", {"ROWKEEPER_BACKUP_TO": str(past.store)})
    assert other.run("runs").status == 0
    before = content(other.home)
    outcome = other.run("restore", "--force")
    assert outcome.status == 2
    assert "(RK-7004)" in outcome.stderr
    assert content(other.home) == before


def test_a_base_that_is_missing(past: Past, tmp_path: Path):
    """Without what it goes on from, an incremental backup is refused; the error names what is missing."""
    store = tmp_path / "store"
    shutil.copytree(past.store, store)
    (store / "manifests" / f"{past.backups[0]}.json").unlink()
    outcome = refused(past, "RK-7003", *into(tmp_path), "--from", str(store))
    assert past.backups[0] in outcome.stderr


def test_no_backups(past: Past, tmp_path: Path):
    """An empty place has none."""
    (tmp_path / "store").mkdir()
    refused(past, "RK-7003", *into(tmp_path), "--from", str(tmp_path / "store"))


@pytest.mark.of_sqlite("restores in this process, whose ledgers without a URL are not in their folders")
def test_somebody_who_may_not(past: Past):
    """Who is not permitted is refused before anything is replaced, and the live trail has it."""
    url = past.arena.ledger_url
    settings = Settings(home=past.arena.home, backup_to=str(past.store), key_file=key_of(past), ledger_url=url)
    before = sorted(past.arena.folder.iterdir())
    with acting(Caller(CallerKind.USER, "mallory")), pytest.raises(AccessDenied):
        restore(settings, Wanted(), force=True)
    assert sorted(past.arena.folder.iterdir()) == before
    (listed,) = past.arena.answers(("audit", "list", "--action", "backup.restore"))
    assert [each["outcome"] for each in listed["entries"]] == ["refused"]


def key_of(past: Past) -> Path:
    (found,) = (past.arena.folder / "config").rglob("*.key")
    return found


def test_flipped_bits(past: Past, tmp_path: Path):
    """One bit in any file of a backup: it is not restored from, and nothing is left behind."""
    store = tmp_path / "store"
    shutil.copytree(past.store, store)
    newest, chance = past.backups[-1], extent.chance("flips")
    files = sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size)
    # What was begun is told by files that a restore does not read, nor the manifests of other backups.
    read = [each for each in files if each.suffix != ".begun" and (newest in str(each) or each.suffix != ".json")]
    for path in read if extent.whole else chance.sample(read, 2):
        whole = path.read_bytes()
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        outcome = past.arena.run(*into(tmp_path), "--from", str(store))
        assert outcome.status == 1, (path, outcome)
        assert outcome.stderr.count("error:") == 1, (path, outcome)
        assert "Traceback" not in outcome.stderr
        assert not list(tmp_path.glob("into*")), path
        path.write_bytes(whole)


def test_an_unwritable_place(past: Past):
    """A place where no folder can be made, whoever asks, is told of."""
    refused(past, "RK-7025", "restore", "--into", "/proc/rowkeeper/state")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk(past: Past, tmp_path: Path):
    """Without room for it nothing is restored, and what was laid so far is gone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=0700", "small", str(disk)], check=True)
    try:
        refused(past, "RK-3101", "restore", "--into", str(disk / "state"))
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_below_a_file(past: Past, tmp_path: Path):
    """Where no folder can be made, the error says where and why."""
    (tmp_path / "file").touch()
    refused(past, "RK-7025", "restore", "--into", str(tmp_path / "file" / "state"))
