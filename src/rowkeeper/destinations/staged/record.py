"""The commit record of a destination that cannot keep one itself: a small file in the state folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from rowkeeper.batch import Fingerprint
from rowkeeper.durable import sync_folder
from rowkeeper.errors import BooksDiffer
from rowkeeper.protocols import CommitRecord


class LocalRecord:
    """Who published last, as far as this machine knows. It is written after the destination has taken the rows, so it
    proves nothing about what a process did that died in between: that the destination must be asked, or the rows are
    handed over again.

    Args:
        home: the state folder.
        target: of the destination.
    """

    def __init__(self, home: Path, target: str) -> None:
        self.path = home / "published" / f"{hashlib.sha256(target.encode()).hexdigest()[:24]}.json"
        self._target = target

    def read(self) -> CommitRecord | None:
        """The record; None if nothing was published yet. Raises IntegrityError if the file is not one."""
        try:
            document = json.loads(self.path.read_text("utf-8"))
            return record_of(document)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise BooksDiffer(
                f"{self.path} is not the commit record of {self._target}",
                hint="somebody changed it; restore the state folder from a backup",
            ) from error

    def write(self, record: CommitRecord) -> None:
        """Keeps a record, durably, in the place of the former one."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        beside = self.path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({**document_of(record), "target": self._target}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        sync_folder(self.path.parent)


def document_of(record: CommitRecord) -> dict[str, object]:
    """A commit record as JSON."""
    return {
        "ledger": record.ledger_id,
        "run": record.run,
        "token": record.token,
        "fingerprint": str(record.fingerprint),
    }


def record_of(document: dict[str, object]) -> CommitRecord:
    """The inverse of `document_of`. Raises ValueError, KeyError or TypeError for anything else."""
    run, token = document["run"], document["token"]
    if not isinstance(run, int) or not isinstance(token, int):
        raise TypeError("run and token are numbers")
    return CommitRecord(str(document["ledger"]), run, token, Fingerprint.parse(str(document["fingerprint"])))
