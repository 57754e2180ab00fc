"""A state folder built beside its future place, and put there in one step.

    state.restoring    is being built; `restoring.json` in it says so; who builds it holds a lock on the folder
    state              the live one

The step is one call to the kernel that exchanges two folders (renameat2 with RENAME_EXCHANGE), or a rename where there
is none yet. Whoever looks finds the former or the new one, whole, and so does whoever comes after a crash:

    `state.restoring` with the mark     the step was not taken: it is removed
    `state.restoring` without the mark  the step was taken: it is the former state, and is set aside under a name with
                                        the time, which nobody removes but a person

Where the ledger is in PostgreSQL there is a step before that one: its commit there. Before it is tried the mark says by
which entry it is known (a promise), durably. Whoever finds a promise asks the server: was that committed, this step is
taken as well, and otherwise the promise is withdrawn, and the folder is one that is being built.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rowkeeper.destinations.embedded.durable import sync
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import end_host
from rowkeeper.durable import sync_folder
from rowkeeper.errors import RestorePlaceUnfit, RestoreUnfinished, StateInUse
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.keyfile import replace_private
from rowkeeper.security.private import make_folder

MARK = "restoring.json"
PROMISE = "ledger"
AT_FDCWD, RENAME_EXCHANGE = -100, 2


class Swap:
    """A state folder that is to take a place.

    Args:
        target: the state folder; followed, if it is a link.

    Attributes:
        draft: where it is built.
    """

    def __init__(self, target: Path) -> None:
        self.target = target.expanduser().absolute().resolve()
        self.draft = self.target.with_name(f"{self.target.name}.restoring")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there. Raises RestorePlaceUnfit."""
        try:
            return not self.target.exists() or not any(self.target.iterdir())
        except OSError as error:
            raise self._unfit(error.strerror or "it is no folder") from error

    @contextmanager
    def building(self) -> Iterator[Path]:
        """An empty private folder to build in; it is removed if the step was not taken when the block ends.

        Raises RestorePlaceUnfit, or StateInUse if another restore is under way.
        """
        if self.target.is_mount():
            raise self._unfit(
                "it is a volume of its own, which cannot be exchanged",
                f"restore into a folder on it: --into {self.target / 'state'}",
            )
        try:
            if not self.target.parent.exists():
                make_folder(self.target.parent)
            if self.draft.exists():
                with self._alone():
                    self.settle()
            (self.target / MARK).unlink(missing_ok=True)
            os.mkdir(self.draft, 0o700)
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            raise self._unfit(f"{self.target.parent}: {error.strerror}") from error
        with self._alone():
            try:
                yield self._begin()
            finally:
                if (self.draft / MARK).exists() and self.promised() is None:
                    _remove(self.draft)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the lock on the folder that is built, which goes with the process. Raises StateInUse."""
        lock = os.open(self.draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise self._taken() from error
        try:
            yield
        finally:
            os.close(lock)

    def _taken(self) -> StateInUse:
        return StateInUse(f"another restore into {self.target} is under way", hint="wait until it has ended")

    def promised(self) -> dict[str, Any] | None:
        """By what it is known that the folder has to take its place; None if there is no promise."""
        try:
            mark = json.loads((self.draft / MARK).read_bytes())
        except (OSError, ValueError):
            return None
        found: dict[str, Any] | None = mark.get(PROMISE) if isinstance(mark, dict) else None
        return found

    def promise(self, by: Mapping[str, Any]) -> None:
        """From here on the folder is kept, until it is in its place or the promise is withdrawn. Durable."""
        self._mark({PROMISE: dict(by)})
        sync(self.draft)
        failpoint("restore.after_promise")

    def withdraw(self) -> None:
        """It was not committed: the folder is one that is being built, which whoever restores next removes."""
        self._mark({})

    def _mark(self, more: Mapping[str, Any]) -> None:
        replace_private(self.draft / MARK, json.dumps({"target": str(self.target), **more}).encode())

    def refuse_promised(self) -> None:
        """Raises RestoreUnfinished where a ledger elsewhere has to be asked first which state is the live one."""
        if self.promised() is not None:
            raise RestoreUnfinished(
                f"{self.draft} is of a restore whose ledger is, or is not, in PostgreSQL",
                hint="rowkeeper doctor, with ROWKEEPER_HOME and ROWKEEPER_LEDGER_URL as they were then, finishes it",
            )

    @contextmanager
    def settling(self) -> Iterator[None]:
        """For whoever finds a promise. Raises StateInUse while the restore that gave it is under way."""
        with self._alone():
            yield

    def settle(self) -> Path | None:
        """Finishes what a restore that died has left. Returns where the former state is, if it was replaced by it.

        Raises RestoreUnfinished.
        """
        self.refuse_promised()
        if (self.draft / MARK).exists():
            _remove(self.draft)
        elif not any(self.draft.iterdir()):
            self.draft.rmdir()  # it died before it could leave its mark
        else:
            return self._set_aside()
        return None

    def _begin(self) -> Path:
        """The mark is there before anything else is, and is durable before anything could be lost by it."""
        try:
            (self.draft / MARK).write_text(json.dumps({"target": str(self.target)}))
            os.chmod(self.draft / MARK, 0o600)
        except OSError as error:
            raise self._unfit(f"{self.draft}: {error.strerror}") from error
        failpoint("restore.after_begin")
        return self.draft

    def rehearse(self) -> None:
        """Raises RestorePlaceUnfit if `put_in_place` could not exchange two folders here."""
        one, other = (self.draft.with_name(f"{self.draft.name}.{each}") for each in ("one", "other"))
        try:
            for each in (one, other):
                each.mkdir(mode=0o700, exist_ok=True)
            _exchange(one, other)
        except OSError as error:
            raise self._not_exchanged(error) from error
        finally:
            for each in (one, other):
                with contextlib.suppress(OSError):
                    each.rmdir()

    def put_in_place(self) -> Path | None:
        """Takes the step, durably. Returns where the former state is now; None if there was none.

        Raises RestorePlaceUnfit if the volume cannot do it; then all is as it was.
        """
        sync(self.draft)
        failpoint("restore.before_swap")
        replaces = not self.is_empty
        try:
            if replaces:
                _exchange(self.draft, self.target)
            else:
                os.rename(self.draft, self.target)
        except OSError as error:
            raise self._not_exchanged(error) from error
        failpoint("restore.after_swap")
        sync_folder(self.target.parent)
        aside = self._set_aside() if replaces else None
        failpoint("restore.after_aside")
        (self.target / MARK).unlink(missing_ok=True)
        return aside

    def _set_aside(self) -> Path:
        name = f"{self.target.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        aside = self.target.with_name(name)
        os.rename(self.draft, aside)
        sync_folder(aside.parent)
        return aside

    def _not_exchanged(self, error: OSError) -> RestorePlaceUnfit:
        return self._unfit(
            f"its volume does not put folders in each other's place ({error.strerror})",
            "restore --into another folder, stop everything, and rename the two by hand",
        )

    def _unfit(self, why: str, hint: str = "") -> RestorePlaceUnfit:
        return RestorePlaceUnfit(
            f"{self.target} cannot be restored into: {why}", hint=hint or "name another folder: --into FOLDER"
        )


def _remove(draft: Path) -> None:
    """A folder that was not finished, with the engine that was working in it. The mark goes last."""
    end_host(EnginePlaces.under(draft))
    for path in draft.iterdir():
        if path.name != MARK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(draft)


def _exchange(one: Path, other: Path) -> None:
    """Each is under the other's name, in one step. Raises OSError."""
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
