"""A filesystem that passes everything through to a folder, until an armed fault strikes.

It runs as its own process: `python -m tests.torture.faultfs BACKING MOUNTPOINT CONTROL`. It says `ready` on
standard output once it is mounted, takes commands on the Unix socket CONTROL (a JSON line each: `arm` with a
fault, `calm`), and unmounts when its standard input ends: so it ends with its parent, however that ends.

Why it is built the way it is:
- One thread serves, so that operations have one order and one counter. Nothing it does blocks: locks are not
  passed on, so the kernel keeps flock and POSIX locks itself.
- Attributes are never cached, for hard links share them. Names are: nobody but this filesystem changes the
  backing folder, so the kernel knows of every change, and chDB's publish takes 0.6 s instead of 1.4 s.
- Pages are cached by the kernel (`direct_io` off), for SQLite maps its -shm file, and two processes that map it
  must see the same pages.
- An unlinked file that is still open is really unlinked (`hard_remove`), or folders would not go away; so
  operations on open files go by handle and may come without a path (`nullpath_ok`).
- fsync is counted but not passed on: the backing folder's page cache outlives any process that is killed.
  Power loss is another tool's subject. syncfs(2) never reaches a FUSE server, so it cannot be struck.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy

from tests.torture.faults import Fault, Meter, Mode, Verdict

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_MNT_DETACH = 2
ENTRY_SECONDS = 3600
_ENDED_FROM_OUTSIDE = 8  # what libfuse returns from its loop after a signal
_STAT_NS = ("atime", "mtime", "ctime")
_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blocks", "st_blksize")
_STATVFS = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax")


def _thread_group(thread: int) -> int:
    """The process of a thread; 0 when it has gone. Reads `status`, which never waits for the process's memory map."""
    try:
        status = Path(f"/proc/{thread}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(status.partition("\nTgid:")[2].split(None, 1)[0])


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


class _Gate:
    """The armed meter, and every process that came by since it was armed."""

    def __init__(self) -> None:
        self.meter = Meter(Fault(Mode.COUNT))
        self._groups: dict[int, int] = {}

    def arm(self, fault: Fault) -> None:
        self._groups = {}
        self.meter = Meter(fault)

    def judge(self, operation: str, path: str) -> Verdict:
        thread: int = mfusepy.fuse_get_context()[2]
        process = self._groups.get(thread)
        if process is None:
            process = self._groups[thread] = _thread_group(thread) if thread else 0
        verdict = self.meter.judge(operation, path, process)
        if verdict is Verdict.KILL_ONE:
            _kill(process)
        elif verdict is Verdict.KILL:
            self.kill_all()
        return verdict

    def kill_all(self) -> None:
        for process in set(self._groups.values()) - {0, os.getpid()}:
            _kill(process)


class FaultFs(mfusepy.Operations):  # type: ignore[misc]
    """The operations: each is judged, then passed through to the backing folder."""

    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(self, backing: Path, gate: _Gate) -> None:
        self._root = str(backing)
        self._gate = gate
        self._names: dict[int, str] = {}
        self.mounted = threading.Event()

    def _check(self, operation: str, path: str) -> None:
        if self._gate.judge(operation, path) is not Verdict.PASS:
            raise OSError(self._gate.meter.errno, operation)

    def _name(self, path: str | None, handle: int | None) -> str:
        return path if path is not None else self._names.get(handle or -1, "?")

    def init(self, path: str) -> None:
        self.mounted.set()
        print("ready", flush=True)

    # What only looks.

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, int]:
        found = os.fstat(fh) if fh is not None else os.lstat(self._root + str(path))
        attributes = {name: getattr(found, name) for name in _STAT}
        return attributes | {f"st_{name}": getattr(found, f"st_{name}_ns") for name in _STAT_NS}

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._root + path)
        return {name: getattr(found, name) for name in _STATVFS}

    def readlink(self, path: str) -> str:
        return os.readlink(self._root + path)

    def opendir(self, path: str) -> int:
        self._check("opendir", path)
        return self._remember(os.open(self._root + path, os.O_RDONLY | os.O_DIRECTORY), path)

    def readdir(self, path: str | None, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """With inode numbers: an entry whose number is 0 is not shown by the C library."""
        self._check("readdir", self._name(path, fh))
        for name in (".", "..", *os.listdir(fh)):
            found = os.stat(name, dir_fd=fh, follow_symlinks=False)
            yield name, {"st_mode": found.st_mode, "st_ino": found.st_ino}, 0

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        self._check("read", self._name(path, fh))
        return os.pread(fh, size, offset)

    # Opening and closing. The kernel resolves O_APPEND, and O_DIRECT would ask for aligned memory here.

    def _remember(self, handle: int, path: str) -> int:
        self._names[handle] = path
        return handle

    def open(self, path: str, flags: int) -> int:
        self._check("truncate" if flags & os.O_TRUNC else "open", path)
        return self._remember(os.open(self._root + path, flags & ~(os.O_APPEND | os.O_DIRECT)), path)

    def create(self, path: str, mode: int, flags: int) -> int:
        self._check("create", path)
        handle = os.open(self._root + path, (flags | os.O_CREAT) & ~(os.O_APPEND | os.O_DIRECT), mode)
        return self._remember(handle, path)

    def release(self, path: str | None, fh: int) -> int:
        self._names.pop(fh, None)
        os.close(fh)
        return 0

    releasedir = release

    # What changes something.

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        verdict = self._gate.judge("write", self._name(path, fh))
        if verdict is Verdict.TEAR:
            os.pwrite(fh, data[: len(data) // 2], offset)
            self._gate.kill_all()
        if verdict is not Verdict.PASS:
            raise OSError(self._gate.meter.errno, "write")
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        self._check("truncate", self._name(path, fh))
        os.truncate(fh if fh is not None else self._root + str(path), length)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        self._check("fsync", self._name(path, fh))
        return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        self._check("fsyncdir", self._name(path, fh))
        return 0

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, fh: int) -> int:
        self._check("fallocate", self._name(path, fh))
        if _libc.fallocate(fh, mode, ctypes.c_long(offset), ctypes.c_long(size)):
            raise OSError(ctypes.get_errno(), "fallocate")
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._check("mkdir", path)
        os.mkdir(self._root + path, mode)
        return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        self._check("mknod", path)
        os.mknod(self._root + path, mode, dev)
        return 0

    def symlink(self, target: str, source: str) -> int:
        self._check("symlink", target)
        os.symlink(source, self._root + target)
        return 0

    def link(self, target: str, source: str) -> int:
        self._check("link", target)
        os.link(self._root + source, self._root + target, follow_symlinks=False)
        return 0

    def unlink(self, path: str) -> int:
        self._check("unlink", path)
        os.unlink(self._root + path)
        return 0

    def rmdir(self, path: str) -> int:
        self._check("rmdir", path)
        os.rmdir(self._root + path)
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        """With the flags of renameat2: chDB exchanges and refuses to replace in one step."""
        self._check("rename", f"{old} -> {new}")
        source, target = os.fsencode(self._root + old), os.fsencode(self._root + new)
        if _libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, flags):
            raise OSError(ctypes.get_errno(), "rename")
        return 0

    def chmod(self, path: str | None, mode: int, fh: int | None = None) -> int:
        self._check("chmod", self._name(path, fh))
        os.chmod(fh if fh is not None else self._root + str(path), mode)
        return 0

    def chown(self, path: str | None, uid: int, gid: int, fh: int | None = None) -> int:
        self._check("chown", self._name(path, fh))
        if fh is not None:
            os.fchown(fh, uid, gid)
        else:
            os.lchown(self._root + str(path), uid, gid)
        return 0

    def utimens(self, path: str | None, times: tuple[int, int] | None = None, fh: int | None = None) -> int:
        self._check("utimens", self._name(path, fh))
        now = time.time_ns()
        if fh is not None:
            os.utime(fh, ns=times or (now, now))
        else:
            os.utime(self._root + str(path), ns=times or (now, now), follow_symlinks=False)
        return 0


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy drops two things that we need: the flags of a rename, and the handle of what changes an open file."""

    def _handle(self, pointer: Any) -> int | None:
        return int(pointer.contents.fh) if pointer else None

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return int(self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags))

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> int:
        return int(self.operations.chmod(None if path is None else os.fsdecode(path), mode, self._handle(fip)))

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: Any) -> int:
        # An unchanged owner comes as an unsigned -1.
        owner, group = (-1 if value == 0xFFFFFFFF else value for value in (uid, gid))
        name = None if path is None else os.fsdecode(path)
        return int(self.operations.chown(name, owner, group, self._handle(fip)))

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        return int(self.operations.truncate(None if path is None else os.fsdecode(path), length, self._handle(fip)))

    def utimens_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        times = None
        if buf:
            stamps = (buf.contents.actime, buf.contents.modtime)
            times = tuple(stamp.tv_sec * 10**9 + stamp.tv_nsec for stamp in stamps)
        return int(self.operations.utimens(None if path is None else os.fsdecode(path), times, self._handle(fip)))


def _obey(listener: socket.socket, gate: _Gate) -> None:
    """Answers commands, one connection each, for as long as the process lives."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as lines:
            command = json.loads(lines.readline())
            answer = gate.meter.as_json()
            if command["do"] == "arm":
                gate.arm(Fault(**command["fault"] | {"mode": Mode(command["fault"]["mode"])}))
            elif command["do"] == "calm":
                gate.arm(Fault(Mode.COUNT))
            lines.write(json.dumps(answer) + "\n")


def _unmount_at_end(mountpoint: Path, mounted: threading.Event) -> None:
    """Waits for the end of standard input, which comes however the parent ends; the loop ends with the mount."""
    sys.stdin.read()
    mounted.wait()
    _libc.umount2(os.fsencode(mountpoint), _MNT_DETACH)
    os.kill(os.getpid(), signal.SIGTERM)  # somebody may still use it, and would keep the loop waiting


def main() -> None:
    """Mounts, serves until ended, unmounts."""
    backing, mountpoint, control = (Path(argument).absolute() for argument in sys.argv[1:4])
    os.umask(0)
    gate = _Gate()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(control))
    listener.listen()
    files = FaultFs(backing, gate)
    threading.Thread(target=_obey, args=(listener, gate), daemon=True).start()
    threading.Thread(target=_unmount_at_end, args=(mountpoint, files.mounted), daemon=True).start()
    try:
        _Fuse(
            files,
            str(mountpoint),
            foreground=True,
            nothreads=True,
            hard_remove=True,
            use_ino=True,
            attr_timeout=0,
            entry_timeout=ENTRY_SECONDS,
            negative_timeout=ENTRY_SECONDS,
            fsname="faultfs",
        )
    except RuntimeError as error:
        if error.args != (_ENDED_FROM_OUTSIDE,):
            sys.exit(f"faultfs: libfuse ended with {error}")


if __name__ == "__main__":
    main()
