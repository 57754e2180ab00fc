"""What was sent, and what became of it: a file of JSON lines that survives the process, each line durable before the
next step.

    {"run": 7, "record": {...}, "documents": [...], "durations": [...]}  the first line
    {"send": 1, "first": 0, "last": 499, "rows": 500, "attempt": 0, "digest": "..."}    a batch is about to be sent
    {"over": 1, "taken": 498, "refused": 2, "then": []}                  it was answered; what is to be sent instead

A batch is known by the addresses of its first and its last row and by the number of its attempt; its idempotency key is
made of these, so whatever process sends it again sends it under the same key. The digest of its body is compared: the
same key with another body is what idempotency must not see.

No row and no answer is in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rowkeeper.destinations.staged.record import document_of, record_of
from rowkeeper.durable import sync_folder
from rowkeeper.errors import BooksDiffer, LeaseLost
from rowkeeper.protocols import CommitRecord
from rowkeeper.security.private import make_folder


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Span:
    """Rows that are sent together: all that are staged from one address to another.

    Attributes:
        attempt: how often these were answered and not taken.
    """

    first: int
    last: int
    attempt: int = 0

    def key(self, ledger_id: str, target: str, run: int) -> str:
        """The idempotency key: the same whatever process sends it."""
        text = json.dumps([ledger_id, target, run, self.first, self.last, self.attempt])
        return str(uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest()))


class Journal:
    """The deliveries of one run.

    Attributes:
        record: what is to be noted as published when all is sent.
        documents: the columns that are JSON text.
        durations: the columns that are whole microseconds.
        position: the address of the last row that any batch has.
        pending: spans that are to be sent before what comes after `position`.
        doubtful: spans of which it is not known whether they were taken, with the digest of what was sent.
        taken, refused: rows.
    """

    def __init__(
        self, path: Path, run: int, record: CommitRecord, documents: Sequence[str], durations: Sequence[str] = ()
    ) -> None:
        self._path = path
        self.run = run
        self.record = record
        self.documents, self.durations = frozenset(documents), frozenset(durations)
        self.position = -1
        self.pending: list[Span] = []
        self.doubtful: dict[Span, str] = {}
        self.taken = self.refused = 0
        self._numbers: dict[int, Span] = {}
        self._file: IO[str] | None = None

    # ------------------------------------------------------------------------------------------ reading

    @classmethod
    def opened(cls, path: Path) -> Journal | None:
        """What a process left behind; None if it had not begun. Changes nothing.

        Raises IntegrityError if it is no journal.
        """
        if not path.exists():
            return None
        lines = path.read_text("utf-8").split("\n")[:-1]  # a line that breaks off was never acted upon
        if not lines:
            return None
        try:
            head = json.loads(lines[0])
            journal = cls(path, head["run"], record_of(head["record"]), head["documents"], head["durations"])
            for line in lines[1:]:
                journal._replay(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise BooksDiffer(
                f"{path} is not the journal of what was sent", hint="restore the state folder from a backup"
            ) from error
        return journal

    def _replay(self, line: Mapping[str, Any]) -> None:
        if "send" in line:
            span = Span(line["first"], line["last"], line["attempt"])
            self._numbers[line["send"]] = span
            self.doubtful[span] = line["digest"]
            if span in self.pending:
                self.pending.remove(span)
            self.position = max(self.position, span.last)
        else:
            self.doubtful.pop(self._numbers[line["over"]], None)
            self.taken += line["taken"]
            self.refused += line["refused"]
            self.pending = [Span(*each) for each in line["then"]] + self.pending

    @property
    def has_begun(self) -> bool:
        """Whether any row was taken, or may have been: then there is no way back."""
        return bool(self.taken or self.doubtful)

    # ------------------------------------------------------------------------------------------ writing

    def take_over(self, record: CommitRecord) -> None:
        """Makes the file this process's own: a copy takes its place, and who wrote to the former one finds it gone.

        Args:
            record: what is to be noted as published; a later token takes the place of a former one.
        """
        self.record = record
        former = self._path.read_text("utf-8").split("\n")[1:-1] if self._path.exists() else []
        columns = {"documents": sorted(self.documents), "durations": sorted(self.durations)}
        head = {"run": self.run, "record": document_of(record), **columns}
        make_folder(self._path.parent)
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        file = os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
        file.write("".join(line + "\n" for line in (json.dumps(head), *former)))
        file.flush()
        os.fsync(file.fileno())
        beside.replace(self._path)
        sync_folder(self._path.parent)
        self._file = file

    def send(self, span: Span, rows: int, digest: str) -> None:
        """Notes that a batch is about to be sent.

        Raises IntegrityError if it was sent before with another body, LeaseLost if another process took over.
        """
        known = self.doubtful.get(span)
        if known is not None and known != digest:
            raise BooksDiffer(
                f"run {self.run}: a batch that was sent before is another one now",
                hint="finish the run with the version of Rowkeeper that began it",
            )
        if known is None:
            number = len(self._numbers)
            line = {"send": number, "first": span.first, "last": span.last, "rows": rows, "attempt": span.attempt}
            self._write({**line, "digest": digest})

    def over(self, span: Span, taken: int, refused: int, then: Sequence[Span] = ()) -> None:
        """Notes what became of a batch."""
        number = next(number for number, each in reversed(self._numbers.items()) if each == span)
        spans = [[each.first, each.last, each.attempt] for each in then]
        self._write({"over": number, "taken": taken, "refused": refused, "then": spans})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None, "it was not taken over"
        if not self._is_ours():
            raise LeaseLost(f"another process took over the deliveries of run {self.run}", hint="see rowkeeper runs")
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._replay(line)

    def _is_ours(self) -> bool:
        assert self._file is not None
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file.fileno()))

    def close(self) -> None:
        """The file stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def drop(self) -> None:
        """Nothing of the run is to be sent any more, by anybody."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
