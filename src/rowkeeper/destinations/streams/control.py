"""What a broker keeps of Rowkeeper's runs beside their messages: the control record, one for each stream.

It says which run was committed last, which one is being sent, and which processes may begin nothing any more. Each
broker replaces it only if it is still what was read, or under a lock of its own: so of two processes one loses.

    committed   the commit record of the last publish, and the columns that rows have had since
    begun       a run that is being sent: its messages may be there in part, and whoever comes next sends the rest
    fenced      the fencing token up to which nobody may begin a run
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree.layout import Columns
from rowkeeper.errors import BooksDiffer, LeaseLost
from rowkeeper.protocols import CommitRecord

FORM = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """What rows have: name and type (of ClickHouse) of each column, and the Arrow schema as text."""

    columns: Columns = ()
    schema: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """A run that is being sent.

    Attributes:
        record: the commit record that it will leave.
        first: where its messages begin, in the broker's own counting.
    """

    record: CommitRecord
    layout: Layout
    first: int


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """The control record. A stream that nothing was sent to has an empty one."""

    committed: CommitRecord | None = None
    layout: Layout = Layout()
    begun: Begun | None = None
    fenced: int = 0

    def beginning(self, record: CommitRecord, layout: Layout, first: int) -> Control:
        """The same while this run is being sent; a run that was begun goes on where it began.

        Raises LeaseLost if its process has lost the lease, BooksDiffer if another run was begun and never ended.
        """
        if record.token <= self.fenced or (self.committed is not None and record.token < self.committed.token):
            raise LeaseLost(
                f"run {record.run} was taken over by another process while it was stopped",
                hint="nothing was lost; rowkeeper runs shows what became of it",
            )
        if self.begun is not None:
            if not _same(self.begun.record, record):
                raise BooksDiffer(
                    f"run {self.begun.record.run} was begun in this stream and never ended",
                    hint="rowkeeper recover, in the state folder of that run, sends the rest",
                )
            first = self.begun.first
        return dataclasses.replace(self, begun=Begun(record, layout, first))

    def ended(self) -> Control:
        """The same when the run that was begun is wholly there."""
        assert self.begun is not None
        return Control(self.begun.record, self.begun.layout, None, self.fenced)

    def fencing(self, token: int) -> Control:
        """The same with nobody up to this token able to begin anything."""
        return dataclasses.replace(self, fenced=max(self.fenced, token))

    def has_committed(self, ledger_id: str, run: int) -> bool:
        """Whether this run was the last to be published."""
        return self.committed is not None and (self.committed.ledger_id, self.committed.run) == (ledger_id, run)

    def has_begun(self, ledger_id: str, run: int) -> bool:
        """Whether this run is being sent."""
        return self.begun is not None and (self.begun.record.ledger_id, self.begun.record.run) == (ledger_id, run)

    def as_bytes(self) -> bytes:
        """As JSON, to be kept by the broker."""
        document = {
            "rowkeeper": FORM,
            "committed": None if self.committed is None else _document(self.committed),
            "layout": _layout_document(self.layout),
            "begun": None
            if self.begun is None
            else {
                "record": _document(self.begun.record),
                "layout": _layout_document(self.begun.layout),
                "first": self.begun.first,
            },
            "fenced": self.fenced,
        }
        return json.dumps(document).encode()

    @classmethod
    def parse(cls, text: bytes | None) -> Control:
        """The inverse of `as_bytes`; an empty record for None. Raises BooksDiffer for anything else."""
        if text is None:
            return cls()
        try:
            document = json.loads(text)
            if document["rowkeeper"] != FORM:
                raise ValueError("another form")
            begun = document["begun"]
            return cls(
                None if document["committed"] is None else _record(document["committed"]),
                _layout(document["layout"]),
                None if begun is None else Begun(_record(begun["record"]), _layout(begun["layout"]), begun["first"]),
                document["fenced"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BooksDiffer(
                "what the stream keeps of Rowkeeper's runs is not a control record",
                hint="somebody changed it, or a newer version of Rowkeeper wrote it",
            ) from error


def _same(one: CommitRecord, other: CommitRecord) -> bool:
    return (one.ledger_id, one.run) == (other.ledger_id, other.run)


def _document(record: CommitRecord) -> dict[str, Any]:
    return {
        "ledger": record.ledger_id,
        "run": record.run,
        "token": record.token,
        "fingerprint": str(record.fingerprint),
    }


def _record(document: Mapping[str, Any]) -> CommitRecord:
    return CommitRecord(
        document["ledger"], document["run"], document["token"], Fingerprint.parse(document["fingerprint"])
    )


def _layout_document(layout: Layout) -> dict[str, Any]:
    return {"columns": [list(each) for each in layout.columns], "schema": layout.schema}


def _layout(document: Mapping[str, Any]) -> Layout:
    return Layout(tuple((name, kind) for name, kind in document["columns"]), document["schema"])
