"""A stream at work: rows wait in the embedded engine, and are sent when they are sealed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.brokers import Kind
from rowkeeper.destinations.mergetree.layout import Columns
from rowkeeper.destinations.mergetree.types import identifier
from rowkeeper.destinations.staged import StagedInEngine, StagingArea
from rowkeeper.destinations.staged.delivered import as_text
from rowkeeper.destinations.streams.carrying import Carrier, Delivery, as_destination
from rowkeeper.destinations.streams.control import Begun, Layout
from rowkeeper.destinations.streams.messages import Message
from rowkeeper.destinations.streams.verifying import verified
from rowkeeper.errors import DestinationLacks, RunUnfit
from rowkeeper.protocols import Change, CommitRecord, Health, RunRows, Sealed, Site, StagedRows
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.streams.declaring import StreamDestination

BYTES_WRITTEN = 8  # at most so many bytes of JSON for each byte of a value in memory


class StreamSession(StagedInEngine):
    """Implements `protocols.DestinationSession` for one stream."""

    def __init__(self, destination: StreamDestination, site: Site, schema: pa.Schema | None) -> None:
        super().__init__(StagingArea(site, destination.target, schema), destination.broker.place)
        self.destination = destination
        self._site = site
        self._opened: Carrier | None = None

    @property
    def _carrier(self) -> Carrier:
        if self._opened is None:
            self._opened = carrier_of(self.destination, self._site)
        return self._opened

    # ------------------------------------------------------------------------------------------ before the publish

    def prepare(self) -> Columns:
        """Sees that the stream can be written, and compares the columns with those that rows have had before."""
        if self.area.schema is None and self.area.columns:
            return self.area.prepare(None)
        with as_destination():
            if self.area.schema is not None:
                self._carrier.check()
            held = self._carrier.control().layout.columns
        return self.area.prepare(held or None)

    def commit_record(self) -> CommitRecord | None:
        """Who published last, as the broker keeps it."""
        with as_destination():
            return self._carrier.control().committed

    def seal(self, staged: Sequence[StagedRows], change: Change) -> Sealed:
        """Reads back what was staged, and sees that no row makes a message that is too large.

        Raises IntegrityError, MessageTooLarge.
        """
        sealed = super().seal(staged, change)
        making = self.destination.making
        if sealed.fingerprint.rows and (making.encoder is not None or self._largest() > making.size_max):
            for _ in self._messages(-1):
                pass
        return sealed

    def _largest(self) -> int:
        """What the largest row comes to, at most."""
        table = self.area.table
        columns = self.area.columns
        values = ", ".join(identifier(name) for name, _ in columns)
        size = table.statements.number(
            f"SELECT max(byteSize({values})) FROM {table.names.staging(table.run, table.token)}"
        )
        making = self.destination.making
        named = sum(len(name.encode()) + 8 for name, _ in columns) + max(len(kind) for _, kind in columns)
        headers = sum(len(name) + len(value.encode()) for name, value in making.headers)
        return size * BYTES_WRITTEN * 2 + named + headers + 400

    # ------------------------------------------------------------------------------------------ the publish

    def publish(self, record: CommitRecord, change: Change) -> None:
        """Sends every sealed row, once, and the commit record with them."""
        self.check_change(change)
        layout = Layout(tuple(self.area.columns), as_text(self.area.delivered_schema))
        with as_destination():
            self._carrier.deliver(Delivery(record, layout, self._messages))
        self._clear(record.run)

    def settle(self, run: int) -> bool:
        """What became of a run that died in `publish`: one that was begun is sent to its end here."""
        token = self._enter(run)
        with as_destination():
            control = self._carrier.settle(self._site.ledger_id, run, token)
            if control.has_begun(self._site.ledger_id, run):
                assert control.begun is not None
                self._send_rest(control.begun, token)
            elif not control.has_committed(self._site.ledger_id, run):
                return False
        self._clear(run)
        return True

    def _enter(self, run: int) -> int:
        """Opens the staging area that a run has left; returns the token of its process, 0 if there is none."""
        table = self.area.table
        left = table.companions("staging", run=run)
        if not left:
            return 0
        self.area.enter(run, left[0].token)
        return left[0].token

    def _send_rest(self, begun: Begun, token: int) -> None:
        if not token and begun.record.fingerprint.rows:
            raise RunUnfit(
                f"run {begun.record.run} is in {self.what} in part, and its rows are no longer here to be sent",
                hint="restore the state folder in which it ran",
            )
        self._carrier.deliver(Delivery(begun.record, begun.layout, self._messages))

    def _messages(self, after: int) -> Iterator[Sequence[Message]]:
        if self.destination.missing_encoder is not None:
            raise RunUnfit(
                f"its rows are made messages by {self.destination.missing_encoder}, which is code of a pipeline file",
                hint="rowkeeper run, with the file, goes on where it stopped",
            )
        for rows in self.area.rows(after=after):
            yield self.destination.making.messages(rows)

    def _clear(self, run: int) -> None:
        failpoint("publish.before_clear")
        if self.area.is_made():
            self.area.table.stage_drop(run)

    # ------------------------------------------------------------------------------------------ afterwards

    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Reads all messages of ours, and hashes their rows anew, as they were hashed when they were staged."""
        making = self.destination.making
        if making.encoder is not None or self.destination.missing_encoder is not None:
            raise DestinationLacks(
                f"{self.what} holds what an encoder made of rows, and no rows can be made of that",
                hint="look there by other means",
            )
        with as_destination():
            layout = self._carrier.control().layout
            return verified(self._carrier.read_back(), self.area, layout, expected)

    def health(self) -> Health:
        """Whether the broker answers, and what was sent last."""
        with as_destination():
            control = self._carrier.control()
        faults = []
        if control.begun is not None:
            faults.append(f"run {control.begun.record.run} was begun there, and is there in part")
        return Health("it answers", tuple(faults), "rowkeeper recover sends the rest")

    def close(self) -> None:
        """Gives back connections; the staged rows stay."""
        if self._opened is not None:
            self._opened.close()
        super().close()


def carrier_of(destination: StreamDestination, site: Site) -> Carrier:
    """What brings messages to this kind of broker. Raises DeclarationError if its library is not installed."""
    broker, size = destination.broker, destination.making.size_max
    if broker.kind is Kind.KAFKA:
        from rowkeeper.destinations.streams.kafka import KafkaCarrier  # noqa: PLC0415 - each is of an extra

        return KafkaCarrier(broker, site, size)
    if broker.kind is Kind.NATS:
        from rowkeeper.destinations.streams.nats import NatsCarrier  # noqa: PLC0415

        return NatsCarrier(broker, site, size)
    from rowkeeper.destinations.streams.valkey import ValkeyCarrier  # noqa: PLC0415

    return ValkeyCarrier(broker, site)
