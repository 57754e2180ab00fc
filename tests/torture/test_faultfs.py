"""The faulty filesystem is a good one until it is armed, and fails as it is told to when it is."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.torture.faults import Fault, Mode
from tests.torture.mounting import FaultyFolder, why_no_fuse

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(why_no_fuse() is not None, reason=f"the faulty filesystem {why_no_fuse()}"),
]
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2
WRITER = (
    "import os, sys\nhandle = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\nwhile True: os.write(handle, b'8 bytes.')"
)
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyFolder]:
    with FaultyFolder(tmp_path / "backing", tmp_path / "mount") as mounted:
        yield mounted


def _rename(source: Path, target: Path, flags: int) -> int:
    return int(libc.renameat2(AT_FDCWD, bytes(source), AT_FDCWD, bytes(target), flags))


def test_hard_links_are_one_file(disk: FaultyFolder) -> None:
    """A part that is cloned by hard links has one inode, and outlives the removal of the first name."""
    first, second = disk.mountpoint / "first", disk.mountpoint / "second"
    first.write_text("part")
    os.link(first, second)
    assert first.stat().st_ino == second.stat().st_ino
    assert second.stat().st_nlink == 2
    first.unlink()
    assert second.read_text() == "part"
    assert os.listdir(disk.mountpoint) == ["second"]


def test_two_folders_exchange_in_one_step(disk: FaultyFolder) -> None:
    """RENAME_EXCHANGE and RENAME_NOREPLACE do what they do on ext4."""
    live, new = disk.mountpoint / "live", disk.mountpoint / "new"
    live.mkdir()
    new.mkdir()
    (new / "row").write_text("x")
    assert _rename(live, new, RENAME_EXCHANGE) == 0
    assert (os.listdir(live), os.listdir(new)) == (["row"], [])
    assert _rename(live, new, RENAME_NOREPLACE) == -1
    assert ctypes.get_errno() == errno.EEXIST


def test_an_unlinked_file_lives_while_it_is_open(disk: FaultyFolder) -> None:
    """It can be read, written, cut and synced, and its folder can be removed meanwhile."""
    folder = disk.mountpoint / "folder"
    folder.mkdir()
    handle = os.open(folder / "file", os.O_CREAT | os.O_RDWR)
    os.unlink(folder / "file")
    folder.rmdir()
    os.write(handle, b"still here")
    os.ftruncate(handle, 5)
    os.fsync(handle)
    assert os.pread(handle, 100, 0) == b"still"
    os.close(handle)


def test_sockets_and_locks_work(disk: FaultyFolder) -> None:
    """The engine's Unix socket can live in the state folder, and flock keeps a second one out."""
    with closing(socket.socket(socket.AF_UNIX)) as server, closing(socket.socket(socket.AF_UNIX)) as client:
        server.bind(str(disk.mountpoint / "socket"))
        server.listen()
        client.connect(str(disk.mountpoint / "socket"))
    with (disk.mountpoint / "lock").open("w") as one, (disk.mountpoint / "lock").open("w") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_mapped_pages_are_shared(disk: FaultyFolder) -> None:
    """What one process writes into a shared map, another sees: SQLite's -shm needs it."""
    path = disk.mountpoint / "shared"
    path.write_bytes(bytes(4096))
    reader = "import mmap, sys\nwith open(sys.argv[1], 'r+b') as f: print(mmap.mmap(f.fileno(), 4096)[:5])"
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as pages:
        pages[:5] = b"hello"
        said = subprocess.run([sys.executable, "-c", reader, path], capture_output=True, text=True, check=True)
    assert said.stdout == "b'hello'\n"


def test_sqlite_counts_alike_in_two_runs(disk: FaultyFolder) -> None:
    """The same work in WAL mode is the same number of operations, and a second connection reads it."""
    counts = []
    for name in ("one", "two"):
        with closing(sqlite3.connect(disk.mountpoint / name)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE t (x)")
            disk.count()
            for number in range(20):
                with database:
                    database.execute("INSERT INTO t VALUES (?)", (number,))
            counts.append(disk.calm().operations)
            with closing(sqlite3.connect(disk.mountpoint / name)) as second:
                assert second.execute("SELECT count(*) FROM t").fetchone() == (20,)
    assert counts[0] == counts[1] >= 20


def test_eio_and_enospc_come_once_or_for_good(disk: FaultyFolder) -> None:
    """The operation that is named fails with its error; the next ones only where the fault is sticky."""
    for mode, number in ((Mode.EIO, errno.EIO), (Mode.ENOSPC, errno.ENOSPC)):
        for sticky in (False, True):
            handle = os.open(disk.mountpoint / f"{mode}{sticky}", os.O_CREAT | os.O_WRONLY)
            disk.arm(Fault(mode, 2, sticky))
            os.write(handle, b"1")
            with pytest.raises(OSError, match=os.strerror(number)):
                os.write(handle, b"2")
            if sticky:
                with pytest.raises(OSError, match=os.strerror(number)):
                    os.write(handle, b"3")
            else:
                os.write(handle, b"3")
            tally = disk.calm()
            os.close(handle)
            assert tally.struck == f"2 write /{mode}{sticky}"
            assert (disk.mountpoint / f"{mode}{sticky}").read_bytes() == (b"1" if sticky else b"13")


@pytest.mark.parametrize(("mode", "size"), [(Mode.KILL, 9 * 8), (Mode.TORN, 9 * 8 + 4), (Mode.KILL_ONE, 9 * 8)])
def test_a_kill_comes_before_the_operation_and_a_torn_write_in_its_middle(
    disk: FaultyFolder, mode: Mode, size: int
) -> None:
    """Killed at the 11th operation, a creation and then writes: nine whole writes, and half of one where it is torn."""
    disk.arm(Fault(mode, 11))
    process = subprocess.Popen([sys.executable, "-c", WRITER, disk.mountpoint / "file"], start_new_session=True)
    assert process.wait(timeout=20) == -signal.SIGKILL
    assert disk.calm().struck == "11 write /file"
    assert (disk.mountpoint / "file").stat().st_size == size


def test_it_is_always_unmounted(tmp_path: Path) -> None:
    """With a file still open in it, after an error in the block, nothing stays mounted."""
    mountpoint = tmp_path / "mount"
    handles: list[int] = []
    with pytest.raises(ZeroDivisionError):
        _fail_inside(tmp_path / "backing", mountpoint, handles)
    assert not os.path.ismount(mountpoint)
    with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
        os.close(handles[0])
    assert (tmp_path / "backing" / "file").exists()


def _fail_inside(backing: Path, mountpoint: Path, handles: list[int]) -> None:
    with FaultyFolder(backing, mountpoint):
        handles.append(os.open(mountpoint / "file", os.O_CREAT | os.O_WRONLY))
        raise ZeroDivisionError
