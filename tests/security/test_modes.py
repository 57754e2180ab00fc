"""The state folder is its owner's alone, to the last file, whatever the umask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arena import Arena

PIPELINES = """
import rowkeeper as rk
from pydantic import BaseModel

class Item(BaseModel):
    id: int
    text: str

items = rk.Pipeline(
    "items",
    source=rk.sources.files("items/*.csv"),
    contract=Item,
    gates=[rk.volume(at_least=1), rk.between("id", 0, 1, severity="warn")],
    destination=rk.destinations.clickhouse("items", order_by=["id"], fallback="spool"),
)
"""


def loose(folder: Path) -> list[str]:
    """Everything below a folder that is not 0700 or, as a file, 0600. A socket is behind the folder's door."""
    found = []
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink() or path.is_socket():
            continue
        mode = path.lstat().st_mode & 0o7777
        if mode != (0o700 if path.is_dir() else 0o600):
            found.append(f"{mode:04o} {path}")
    return found


def run(arena: Arena, umask: int, *words: str, check: bool = True) -> None:
    """A command as a shell with this umask starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "rowkeeper.cli", *words],
        cwd=arena.folder,
        env={**os.environ, **arena.env, "ROWKEEPER_LOG_LEVEL": "debug"},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done


@pytest.mark.in_turns("umasks", 1)
@pytest.mark.parametrize("umask", [0, 0o022])
def test_everything_under_the_state_folder_is_private(own_arena: Arena, umask: int):
    """After a load with quarantine and samples, a profile, an export, a bundle, a page, and a run in the spool."""
    own_arena.write("items.py", PIPELINES)
    own_arena.write("items/a.csv", "id,text\n1,one\n2,two\nx,bad\n")
    run(own_arena, umask, "run", "items.py")
    run(own_arena, umask, "quarantine", "export", "1", "--to", "out.jsonl")
    run(own_arena, umask, "bundle", "1", "--output", "b.zip")
    run(own_arena, umask, "show", "1", "--html", "page.html")
    run(own_arena, umask, "profile", "items", "--html", "profile.html", check=False)
    own_arena.kill_host()
    engine = own_arena.home / "engine"
    engine.rename(own_arena.home / "engine.away")
    engine.touch(mode=0o600)  # no engine can start there
    own_arena.write("items/b.csv", "id,text\n3,three\nx,bad\n")
    run(own_arena, umask, "run", "items.py")
    for part in ("spool", "quarantine", "samples", "logs", "engine.away/data", "engine.away/disk"):
        assert [each for each in (own_arena.home / part).rglob("*") if each.is_file()], part
    assert loose(own_arena.home) == []
    made = ("out.jsonl", "b.zip", "page.html")
    assert [oct((own_arena.folder / name).stat().st_mode & 0o777) for name in made] == ["0o600"] * 3
    assert (own_arena.folder / "config").stat().st_mode & 0o777 == 0o700


def test_the_test_would_find_a_loose_file(tmp_path: Path):
    """A file of 0640 and a folder of 0750 are told."""
    tmp_path.chmod(0o700)
    (tmp_path / "a").mkdir(mode=0o750)
    (tmp_path / "a" / "b").touch()
    (tmp_path / "a" / "b").chmod(0o640)
    assert [each[:4] for each in loose(tmp_path)] == ["0750", "0640"]
