"""Which pipelines are declared in the files that the server was given.

A file is Python that somebody else wrote, so it is read in a process of its own (`rowkeeper schedule list FILE`), and
again when it changes. One that cannot be read keeps what it declared before.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rowkeeper.logs import logger

READ_SECONDS_MAX = 60.0
LOOK_SECONDS = 5.0
COMMAND = (sys.executable, "-m", "rowkeeper.cli")

log = logger("server")


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """A pipeline that a file declares."""

    name: str
    file: Path
    schedule: str | None


class Catalogue:
    """What they declare. For the event loop; what it holds may be read anywhere."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [each.absolute() for each in dict.fromkeys(files)]
        self._seen: dict[Path, tuple[int, int, int] | None] = {}
        self._declares: dict[Path, tuple[Declared, ...]] = {}
        self._unread: set[Path] = set()
        self.pipelines: Mapping[str, Declared] = {}  # replaced, never changed
        self._good: tuple[Path, ...] = ()  # so is this

    def good(self) -> Sequence[Path]:
        """The files that could be read when they were read last."""
        return self._good

    async def keeping(self) -> None:
        """Reads the files, and goes on reading what changes."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Reads the files that changed since they were looked at."""
        changed = [each for each in self._files if self._seen.get(each, ()) != _stamp(each)]
        if not changed:
            return
        for file in changed:
            self._seen[file] = _stamp(file)
        await asyncio.gather(*(self._read(each) for each in changed))
        found: dict[str, Declared] = {}
        for file in self._files:
            for each in self._declares.get(file, ()):
                found.setdefault(each.name, each)  # of two of one name the first
        self.pipelines = found
        self._good = tuple(each for each in self._files if each not in self._unread)

    async def _read(self, file: Path) -> None:
        document = await answer_of(["schedule", "list", str(file)], READ_SECONDS_MAX)
        if "pipelines" not in document:
            error = document.get("error") or {}
            log.warning("a pipeline file cannot be read", file=str(file), code=error.get("code"))
            self._unread.add(file)
            return
        self._unread.discard(file)
        self._declares[file] = tuple(
            Declared(each["pipeline"], file, each["schedule"]) for each in document["pipelines"]
        )


async def answer_of(words: Sequence[str], seconds: float) -> dict[str, Any]:
    """What a command answers, as JSON; empty if it gives no answer, or none in time."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, "--json", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(seconds):
            told, _ = await process.communicate()
        found = json.loads(told)
    except (TimeoutError, ValueError):
        return {}
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return found if isinstance(found, dict) else {}


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
