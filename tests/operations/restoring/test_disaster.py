"""The runbook in docs/disaster.md, command by command: an empty machine, a bucket, the master key."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arena import Arena
from tests.operations.restoring.history import FILE, Past, began, csv, end_engine, steps
from tests.stores.seaweed import Seaweed, seaweed

RUNBOOK = Path(__file__).parents[3] / "docs" / "disaster.md"
ROWKEEPER = Path(sys.executable).with_name("rowkeeper")
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as started:
        yield started


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory, server: Seaweed) -> Past:
    """An installation that was backed up to a bucket, went on, and is gone; its pipeline files are kept elsewhere."""
    access = {"access_key": "env:TEST_S3_ID", "secret_key": "env:TEST_S3_KEY", "endpoint": server.url}
    env = {"ROWKEEPER_BACKUP_ACCESS": json.dumps(access), **server.environment}
    past = began(tmp_path_factory.mktemp("lost"), **env, ROWKEEPER_BACKUP_TO=f"s3://{server.bucket()}/installation")
    next(steps(past, whole=False))
    past.back_up()
    end_engine(past.arena)
    return past


def commands() -> list[str]:
    """What the runbook says to type."""
    lines = [line.strip() for block in BLOCK.findall(RUNBOOK.read_text()) for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def test_the_runbook(lost: Past, tmp_path: Path):
    """Each command does what the page says, in an empty home with nothing but the key; the tables are those of the
    backup, and what is missing is loaded.
    """
    machine = tmp_path / "machine"
    machine.mkdir()
    key = machine / "rowkeeper.key"
    (found,) = (lost.arena.folder / "config").rglob("*.key")
    shutil.copy(found, key)
    for name in ("added", "merged"):
        shutil.copytree(lost.arena.folder / name, machine / name)
    (machine / "replaced").mkdir()
    (machine / "replaced" / "r.csv").write_text(csv(0, 10))  # came since, and is missing in the backup
    shutil.copy(lost.arena.folder / FILE, machine / "pipelines.py")
    theirs = {
        "ROWKEEPER_HOME": str(machine / "state"),
        "ROWKEEPER_KEY_FILE": str(key),
        "ROWKEEPER_BACKUP_TO": lost.arena.env["ROWKEEPER_BACKUP_TO"],
        "ROWKEEPER_BACKUP_ACCESS": lost.arena.env["ROWKEEPER_BACKUP_ACCESS"],
    }
    secrets = {name: value for name, value in lost.arena.env.items() if name.startswith("TEST_S3")}
    env = {"PATH": os.environ["PATH"], "HOME": str(machine / "home"), **secrets}
    said = {}
    try:
        for line in commands():
            words = shlex.split(line)
            if words[0] == "export":
                name, _, _ = words[1].partition("=")
                env[name] = theirs.pop(name)
                continue
            assert words[0] == "rowkeeper", line
            done = subprocess.run(
                [ROWKEEPER, *words[1:], "--json"], env=env, cwd=machine, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            said[words[1]] = json.loads(done.stdout)
    finally:
        end_engine_of(machine / "state")
    assert not theirs, "the runbook sets less than is needed"
    tables = {each["target"].rpartition(".")[2]: each["fingerprint"] for each in said["restore"]["tables"]}
    assert tables == {name: mark for name, mark in lost.left[lost.runs[-1]].items() if name in tables}
    assert all(each["sound"] for each in said["verify"]["tables"])
    assert said["backup"]["run"] is not None


@pytest.mark.of_sqlite("a ledger in PostgreSQL is still there; see test_on_server.py")
def test_nobody_without_the_key(lost: Past, tmp_path: Path):
    """The bucket alone restores nothing, and leaves nothing behind."""
    bucket = Arena(tmp_path / "arena", {**lost.arena.env, "ROWKEEPER_HOME": str(tmp_path / "state")})
    outcome = bucket.run("restore", env={"ROWKEEPER_KEY_FILE": str(tmp_path / "no.key")})
    assert outcome.status == 1
    assert "(RK-6001)" in outcome.stderr
    assert not (tmp_path / "state").exists()


def end_engine_of(home: Path) -> None:
    """The engine's host of the machine, which nobody needs any more."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and str(home).encode() in _command(entry):
            os.kill(int(entry.name), signal.SIGKILL)


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
