"""Tables on servers that a restore has decided on, and that wait for their places.

A restore takes its step by exchanging state folders. What it has made on a server lies ready there by then, and the new
folder says so: a file for each table below `restored/`. From the step on the table is put in its place by whoever holds
its lease first: the restore itself, or, if that died or the server was away, the next command. Each file goes when that
is done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rowkeeper.durable import sync_folder
from rowkeeper.errors import StateError
from rowkeeper.ledger import Ledger
from rowkeeper.logs import logger
from rowkeeper.protocols import DestinationSession, Replaceable
from rowkeeper.security.keyfile import replace_private
from rowkeeper.security.private import make_folder

FOLDER = "restored"

log = logger("recovery")


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A table that is to be put in its place.

    Attributes:
        pipeline: that loads it.
        destination: what rebuilds its declaration.
        run, token: by which the restored table is named, and which its commit record has.
        second: by which the former one is named afterwards.
        there: whether there is to be a table.
    """

    target: str
    pipeline: str
    destination: Mapping[str, Any]
    run: int
    token: int
    second: int
    there: bool

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{hashlib.sha256(self.target.encode()).hexdigest()[:32]}.json"

    def note(self, home: Path) -> None:
        """Writes it into a state folder that is being built. Raises OSError."""
        folder = home / FOLDER
        if not folder.exists():
            make_folder(folder)
        replace_private(folder / self.file, json.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises StateError for a file that is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise StateError(
                f"{path} does not say which table waits for its place",
                hint="restore once more; or remove the file, and see what rowkeeper verify says of the table",
            ) from error


def waiting(home: Path) -> list[Waiting]:
    """The tables that wait, in the order of their targets. Raises StateError."""
    folder = home / FOLDER
    if not folder.is_dir():
        return []
    return sorted((Waiting.read(path) for path in folder.glob("*.json")), key=lambda each: each.target)


def put_in_place(home: Path, ledger: Ledger, session: DestinationSession, target: str) -> tuple[Waiting, str] | None:
    """Puts a table in its place, if it waits. For whoever holds its lease.

    Returns what waited, and the name of the table that was there before, empty if there was none; None if nothing
    waits.

    Raises DatabaseError; it waits on then.
    """
    for each in waiting(home):
        if each.target == target:
            former = _put(ledger, session, each)
            (home / FOLDER / each.file).unlink(missing_ok=True)
            sync_folder(home / FOLDER)
            return each, former
    return None


def _put(ledger: Ledger, session: DestinationSession, each: Waiting) -> str:
    """A file that a power cut has brought back is of no interest: the ledger knows of later runs."""
    last = ledger.last_published(each.target)
    expected = each.run if each.there else None
    if (None if last is None else last.run) != expected or not isinstance(session, Replaceable):
        return ""
    former = session.put_in_place(each.run, each.token, each.second, there=each.there)
    log.info("restored table put in its place", run=each.run, pipeline=each.pipeline)
    return former
