"""The pipeline files that a worker serves: read in processes of their own, and again when they change."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rowkeeper.operations.worker.attempt import Child, Ended
from rowkeeper.schedule import Timing

READ_SECONDS_MAX = 60.0
TRY_AGAIN_SECONDS = 60.0
Tell = Callable[..., None]
State = tuple[int, int, int] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """A pipeline that is run by itself.

    Attributes:
        version: changes when its file does.
    """

    pipeline: str
    file: Path
    timing: Timing
    version: State = None


@dataclasses.dataclass
class _File:
    path: Path
    seen: State = None
    read: bool = False
    try_again_at: float = float("inf")
    reading: Child | None = None
    declares: tuple[Declared, ...] = ()
    names: tuple[str, ...] = ()  # of all its pipelines, those that are not run by themselves too


class Files:
    """What they declare. A file that cannot be read keeps what it declared before."""

    def __init__(self, paths: Sequence[Path], tell: Tell) -> None:
        self._files = [_File(path.absolute()) for path in dict.fromkeys(paths)]
        self._tell = tell
        self._looked = 0.0

    @property
    def all_read(self) -> bool:
        """Each was read since it was last asked for, or could not be."""
        return all(each.read for each in self._files)

    def read_again(self) -> None:
        """Reads all of them anew, changed or not: what they import may have changed."""
        for each in self._files:
            each.seen, each.read = None, False
        self._looked = 0.0

    def look(self, every_seconds: float = 1.0) -> bool:
        """Starts to read files that changed, and takes in what was read. Whether anything is declared anew."""
        anew = False
        for each in self._files:
            if each.reading is not None and (ended := each.reading.ended()) is not None:
                each.reading, each.read = None, True
                anew = self._take_in(each, ended) or anew
        if time.monotonic() - self._looked >= every_seconds:
            self._looked = time.monotonic()
            for each in self._files:
                self._start(each)
        return anew

    def declared(self) -> Iterator[Declared]:
        """What is declared now; of two pipelines of one name the first."""
        names: set[str] = set()
        for each in self._files:
            for found in each.declares:
                if found.pipeline in names:
                    self._tell("ignored", file=str(found.file), error=f"another file declares {found.pipeline}")
                    continue
                names.add(found.pipeline)
                yield found

    def names(self) -> set[str]:
        """Of all pipelines that are declared now."""
        return {name for each in self._files for name in each.names}

    def good(self) -> list[Path]:
        """Those that could be read when they were read last."""
        return [each.path for each in self._files if each.read and each.try_again_at == float("inf")]

    def kill(self) -> None:
        """Ends what reads."""
        for each in self._files:
            if each.reading is not None:
                each.reading.kill()

    def _start(self, each: _File) -> None:
        state = _state(each.path)
        known = each.read and state == each.seen and time.monotonic() < each.try_again_at
        if each.reading is not None or known:
            return
        each.seen = state
        each.reading = Child(["schedule", "list", str(each.path)], READ_SECONDS_MAX)

    def _take_in(self, each: _File, ended: Ended) -> bool:
        document = ended.document or {}
        if ended.status != 0 or "pipelines" not in document:
            error = document.get("error") or {}
            what = error.get("what") or f"reading it ended with status {ended.status}"
            self._tell("unreadable", file=str(each.path), error=what, code=error.get("code", ""))
            each.try_again_at = time.monotonic() + TRY_AGAIN_SECONDS  # what it imports may be on its way
            return False
        each.try_again_at = float("inf")
        each.names = tuple(found["pipeline"] for found in document["pipelines"])
        each.declares = tuple(
            Declared(found["pipeline"], each.path, Timing.of_document(found["timing"]), each.seen)
            for found in document["pipelines"]
            if found["timing"]
        )
        self._tell("read", file=str(each.path), schedules=len(each.declares))
        return True


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
