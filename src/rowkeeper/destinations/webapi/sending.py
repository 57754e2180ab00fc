"""From the staged rows to the last answer: batches in order, each noted before it is sent and after it was answered.

taken                 the next
some rows refused     they are kept for quarantine; those that may be taken in a moment are sent again, one by one
refused as a whole    halves are sent instead, until the rows at fault stand alone
too large             halves as well
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from rowkeeper.apis.asking import Client
from rowkeeper.apis.requests import Answer, Delivery
from rowkeeper.destinations.staged import StagingArea
from rowkeeper.destinations.webapi import rendering
from rowkeeper.destinations.webapi.journal import Journal, Span
from rowkeeper.destinations.webapi.outcomes import Outcome, Refusal, Verdict, outcome_of
from rowkeeper.destinations.webapi.refused import RefusedRows
from rowkeeper.errors import (
    AnswerTooLarge,
    AnswerUnreadable,
    ApiUnauthorised,
    ApiUnavailable,
    DeliveryUnread,
    DestinationRefused,
    DestinationUnreachable,
)
from rowkeeper.resilience.clock import SYSTEM_CLOCK
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.webapi.declaring import ApiDestination

ATTEMPTS = 6  # of a row that may be taken in a moment
WAIT_SECONDS_INITIAL, WAIT_SECONDS_MAX = 0.25, 10.0
REFUSED_BEFORE_ANY = 20  # rows refused one by one, and none taken: it is not the rows
KEY_IN_USE = 409  # another request with this key is under way


@dataclasses.dataclass(frozen=True, slots=True)
class _Batch:
    span: Span
    lines: tuple[bytes, ...]
    addresses: tuple[int, ...]


class Sender:
    """Sends what is staged of one run.

    Args:
        area: entered.
        journal: taken over.
    """

    def __init__(
        self,
        made: ApiDestination,
        client: Client,
        area: StagingArea,
        journal: Journal,
        refused: RefusedRows,
    ) -> None:
        self._made = made
        self._client = client
        self._area = area
        self._journal = journal
        self._refused = refused

    def send_all(self) -> None:
        """Sends all that is left.

        Raises:
            DestinationUnreachable: it could not, however often it was asked; the run goes on here.
            DestinationRefused: it takes no rows of ours.
            DeliveryUnread: what became of a batch is not known.
        """
        for span in list(self._journal.doubtful):
            self._send(self._batch_of(span))
        self._send_pending()
        for batch in self._batches():
            self._send(batch)
            self._send_pending()

    def _send_pending(self) -> None:
        while self._journal.pending:
            span = self._journal.pending[0]
            if span.attempt >= ATTEMPTS:
                raise DestinationUnreachable(
                    f"{self._made.url.partition('?')[0]} puts off a row however often it is sent",
                    hint="run again later: it goes on there",
                )
            if span.attempt:
                SYSTEM_CLOCK.sleep(min(WAIT_SECONDS_MAX, WAIT_SECONDS_INITIAL * 2 ** (span.attempt - 1)))
            self._send(self._batch_of(span))

    def _batches(self) -> Iterator[_Batch]:
        """What no batch has had yet, in order: as many rows as fit."""
        lines: list[bytes] = []
        addresses: list[int] = []
        size = 0
        for table in self._area.rows(after=self._journal.position):
            for address, line in rendering.records(table, self._journal.documents):
                if lines and (len(lines) >= self._made.batch_rows or size + len(line) > self._made.batch_bytes):
                    yield _batch(lines, addresses)
                    lines, addresses, size = [], [], 0
                lines.append(line)
                addresses.append(address)
                size += len(line)
        if lines:
            yield _batch(lines, addresses)

    def _batch_of(self, span: Span) -> _Batch:
        """A batch that was fixed before."""
        lines: list[bytes] = []
        addresses: list[int] = []
        for table in self._area.rows(after=span.first - 1, rows_max=self._made.batch_rows):
            for address, line in rendering.records(table, self._journal.documents):
                if address > span.last:
                    return _Batch(span, tuple(lines), tuple(addresses))
                lines.append(line)
                addresses.append(address)
        return _Batch(span, tuple(lines), tuple(addresses))

    def _send(self, batch: _Batch) -> None:
        made = self._made
        content = rendering.body(batch.lines, made.form, made.field, made.beside)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        self._journal.send(batch.span, len(batch.lines), digest)
        failpoint("publish.before_send")
        answer = self._asked(self._delivery(batch.span, content), batch)
        failpoint("publish.after_answer")
        try:
            outcome = outcome_of(answer, len(batch.lines), made.results)
        except DestinationRefused:
            self._journal.over(batch.span, 0, 0, [batch.span])
            raise
        self._note(batch, outcome)
        failpoint("publish.after_note")

    def _delivery(self, span: Span, content: bytes) -> Delivery:
        made = self._made
        headers, again = {}, frozenset[int]()
        if made.idempotency_key is not None:
            headers[made.idempotency_key] = span.key(self._journal.record.ledger_id, made.target, self._journal.run)
            again = frozenset({KEY_IN_USE})
        content_type = rendering.CONTENT_TYPES.get(made.form, "application/json")
        return Delivery(made.url, content, made.method, content_type, headers, again)

    def _asked(self, delivery: Delivery, batch: _Batch) -> Answer:
        try:
            return self._client.deliver(delivery)
        except ApiUnavailable as error:
            raise DestinationUnreachable(error.what, hint="run again later: it goes on with this batch") from error
        except ApiUnauthorised as error:
            self._journal.over(batch.span, 0, 0, [batch.span])
            raise DestinationRefused(error.what, hint=error.hint, context=error.context) from error
        except (AnswerTooLarge, AnswerUnreadable) as error:
            raise DeliveryUnread(error.what, hint="see what it answers, by asking it by hand") from error

    def _note(self, batch: _Batch, outcome: Outcome) -> None:
        match outcome.verdict:
            case Verdict.TAKEN:
                final = [each for each in outcome.refusals if not each.again]
                later = [batch.addresses[each.place] for each in outcome.refusals if each.again]
                self._keep(batch, final)
                spans = [Span(address, address, batch.span.attempt + 1) for address in later]
                self._journal.over(batch.span, len(batch.lines) - len(outcome.refusals), len(final), spans)
            case Verdict.REFUSED if len(batch.lines) == 1:
                self._keep(batch, outcome.refusals)
                self._journal.over(batch.span, 0, 1)
                self._check_rows_are_at_fault(outcome.refusals[0].status)
            case Verdict.TOO_LARGE if len(batch.lines) == 1:
                self._keep(batch, [Refusal(0, 413, "a row alone is too large")])
                self._journal.over(batch.span, 0, 1)
            case _:
                self._journal.over(batch.span, 0, 0, _halves(batch))

    def _keep(self, batch: _Batch, refusals: Sequence[Refusal]) -> None:
        self._refused.keep([(batch.addresses[each.place], each.status, each.answer) for each in refusals])

    def _check_rows_are_at_fault(self, status: int) -> None:
        """What refuses every row refuses something else: it is told before all of them are in quarantine."""
        if self._journal.taken == 0 and self._journal.refused >= REFUSED_BEFORE_ANY:
            self._stop(status)

    def _stop(self, status: int) -> NoReturn:
        raise DestinationRefused(
            f"{self._made.url.partition('?')[0]} answers {status} to every row, {self._journal.refused} so far",
            hint="see what it wants, by asking it by hand: method=, body=, field=",
            context={"status": status},
        )


def _batch(lines: Sequence[bytes], addresses: Sequence[int]) -> _Batch:
    return _Batch(Span(addresses[0], addresses[-1]), tuple(lines), tuple(addresses))


def _halves(batch: _Batch) -> list[Span]:
    middle = len(batch.addresses) // 2
    parts = batch.addresses[:middle], batch.addresses[middle:]
    return [Span(part[0], part[-1], batch.span.attempt) for part in parts]
