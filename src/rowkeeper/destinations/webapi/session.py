"""An API while a run works on it: rows wait in the embedded engine, and publishing is sending them.

An API cannot be rolled back, so the publish is not all or nothing: from the first batch that was taken on there is no
way back, and whoever finds the run dead sends the rest. Which batches those are is in the journal; a run that had sent
nothing is as if it had not been published.
"""

from __future__ import annotations

import dataclasses
import decimal
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rowkeeper.apis.asking import Client
from rowkeeper.destinations.mergetree.layout import Columns
from rowkeeper.destinations.staged import LocalRecord, StagedInEngine, StagingArea
from rowkeeper.destinations.webapi.journal import Journal
from rowkeeper.destinations.webapi.refused import RefusedRows
from rowkeeper.destinations.webapi.sending import Sender
from rowkeeper.errors import DeliveryLost, StagingDamaged
from rowkeeper.protocols import Change, CommitRecord, RefusedRow, Sealed, Site
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.webapi.declaring import ApiDestination

FOLDER = "deliveries"
MICROSECONDS = 1_000_000


class ApiSession(StagedInEngine):
    """Implements `protocols.DestinationSession` and `protocols.Refusing`."""

    def __init__(self, made: ApiDestination, site: Site, schema: pa.Schema | None) -> None:
        area = StagingArea(site, made.target, schema, made.key, made.duplicates)
        super().__init__(area, f"the API at {made.place}")
        self._made = made
        self._site = site
        self._record = LocalRecord(site.home, made.target)

    def prepare(self) -> Columns:
        """An API has no columns of its own: those of the contract are sent.

        What a process kept of the last run that died after it was recorded goes now: dead runs are settled by then.
        """
        last = self._record.read()
        if self.area.schema is not None and last is not None and self._journal(last.run).exists():
            self.forget(last.run)
        return self.area.prepare(None)

    def commit_record(self) -> CommitRecord | None:
        """Who published last, as far as this machine knows."""
        return self._record.read()

    def publish(self, record: CommitRecord, change: Change) -> None:
        """Sends what is staged, from where a former process came to an end.

        Raises as `Sender.send_all` does.
        """
        self.check_change(change)
        table = self.area.table
        self.area.enter(table.run, table.token)
        journal = Journal.opened(self._journal(record.run))
        if journal is None:
            journal = self._begun(record)
        self._deliver(journal, record)

    def _begun(self, record: CommitRecord) -> Journal:
        fields = list(self.area.schema or ())
        documents = [field.name for field in fields if (field.metadata or {}).get(b"rk:type") == b"json"]
        durations = [field.name for field in fields if pa.types.is_duration(field.type)]
        return Journal(self._journal(record.run), record.run, record, documents, durations)

    def _deliver(self, journal: Journal, record: CommitRecord) -> None:
        refused = RefusedRows(self.area, record.run)
        refused.make()
        journal.take_over(record)
        failpoint("publish.after_journal")
        client = Client(self._made.where, self._site)
        try:
            Sender(self._made, client, self.area, journal, refused).send_all()
        finally:
            client.close()
            journal.close()
        staged = self.area.table.rows(self.area.table.names.staging(self.area.table.run, self.area.table.token))
        if journal.taken + journal.refused != staged:
            raise StagingDamaged(
                f"run {record.run}: {staged} rows are staged, and {journal.taken + journal.refused} were answered",
                hint="rowkeeper doctor says more; ask the API what it holds",
            )
        failpoint("publish.before_record")
        self._record.write(record)
        failpoint("publish.after_record")

    def settle(self, run: int) -> bool:
        """After a crash: a run of which anything was sent, or may have been, is sent to its end; one of which nothing
        was is not published, and cannot be any more.

        Raises:
            DestinationUnreachable, DestinationRefused, DeliveryUnread: as `publish` does; the run stays as it is.
            DeliveryLost: the run was not prepared in this state folder, so what was sent of it is not known here.
        """
        last = self._record.read()
        if last is not None and last.run == run:
            self._enter(run)
            return True
        journal = Journal.opened(self._journal(run))
        if journal is None or not journal.has_begun:
            if not self.area.is_made() or not self.area.table.companions("staging", "fenced", run=run):
                raise DeliveryLost(
                    f"run {run} was prepared with another state folder: what was sent of it is not known here",
                    hint="finish it on the machine that it ran on",
                )
            self._call_off(run, journal)
            return False
        if not self._enter(run):
            raise DeliveryLost(
                f"run {run}: what is left of it to be sent is not there any more", hint="restore the state folder"
            )
        self.area.table.statements.stop(run)
        self._deliver(journal, journal.record)
        return True

    def _enter(self, run: int) -> bool:
        """Looks at the staging area of a run, if it is there."""
        areas = self.area.table.companions("staging", run=run) if self.area.is_made() else []
        if areas:
            self.area.enter(run, areas[-1].token)
        return bool(areas)

    def _call_off(self, run: int, journal: Journal | None) -> None:
        """Who may still be at it finds journal and staging area gone."""
        if journal is not None:
            journal.drop()
        RefusedRows(self.area, run).drop()
        self.area.fence(run)

    def refused_rows(self, run: int) -> Iterator[RefusedRow]:
        """The rows of a published run that were refused."""
        journal = Journal.opened(self._journal(run))
        for row in RefusedRows(self.area, run).rows():
            yield row if journal is None else dataclasses.replace(row, values=as_given(row.values, journal))

    def delivered(self, run: int) -> Sealed:
        """What was taken."""
        return RefusedRows(self.area, run).delivered()

    def forget(self, run: int) -> None:
        """Drops staged rows, answers and journal."""
        failpoint("publish.before_forget")
        journal = Journal.opened(self._journal(run))
        self.area.table.stage_drop(run)
        RefusedRows(self.area, run).drop()
        if journal is not None:
            journal.drop()
        failpoint("publish.after_forget")

    def stage_drop(self, run: int) -> None:
        """Drops all that a run has staged, and what is left of its deliveries."""
        if self.area.is_made():
            self.area.table.stage_drop(run)
            RefusedRows(self.area, run).drop()
        journal = Journal.opened(self._journal(run))
        if journal is not None:
            journal.drop()

    def _journal(self, run: int) -> Path:
        return self._site.home / FOLDER / self.area.table.names.table / f"{run}.jsonl"


def as_given(values: Mapping[str, Any], journal: Journal) -> dict[str, Any]:
    """Stored values as a contract would read them again: documents, and durations in ISO 8601."""
    found = dict(values)
    for name in journal.documents & found.keys():
        found[name] = None if found[name] is None else json.loads(found[name])
    for name in journal.durations & found.keys():
        if found[name] is not None:
            seconds = decimal.Decimal(int(found[name])) / MICROSECONDS
            found[name] = f"{'-' if seconds < 0 else ''}PT{abs(seconds):f}S"
    return found
