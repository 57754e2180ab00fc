"""NATS JetStream: the control record is the last message of a subject of its own in the same stream, and every message
of ours demands that it still is: who writes it next has fenced everybody before.

A stream with `allow_atomic` (NATS 2.12) takes up to 1,000 messages at once: all of them or none. Others take them one
by one; then, and after an answer that was lost, what is there is read back from where the run began, and the rest is
sent. Message ids (`Nats-Msg-Id`) are set as well, and the server drops what it gets twice within its window; nothing
here depends on how long that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from rowkeeper.brokers.declaring import Broker
from rowkeeper.brokers.nats import NatsClient
from rowkeeper.destinations.streams.carrying import Delivery, Stored
from rowkeeper.destinations.streams.control import Control
from rowkeeper.destinations.streams.messages import (
    KEY_HEADER,
    ROW_HEADER,
    RUN_HEADER,
    TIME_HEADER,
    Message,
    in_portions,
    own_headers,
)
from rowkeeper.errors import LeaseLost, StreamUnsuited
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect, Happened

if TYPE_CHECKING:
    from nats.js import JetStreamContext

T = TypeVar("T")
CONTROL = "_rk_runs"  # the first token of the subject that the control record is on; the stream's name follows
# server/jetstream_batching.go and errors.json of the server
ATOMIC_MESSAGES_MAX = 1_000
PORTION_BYTES = 8 << 20
WRONG_LAST_SEQUENCE, DUPLICATE_IN_BATCH = 10071, 10201
FETCH_MESSAGES, FETCH_SECONDS = 1_000, 5.0
SECONDS_MAX = 30.0

EXPECTED, EXPECTED_ON = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID = "Nats-Msg-Id"


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """The control record, and at which place of the stream it is (0: none is there)."""

    control: Control
    at: int


class NatsCarrier:
    """Implements `carrying.Carrier` for one stream of a server.

    Args:
        message_bytes: of the largest message that may come.
    """

    def __init__(self, broker: Broker, site: Site, message_bytes: int) -> None:
        self._broker = broker
        self._message_bytes = message_bytes
        self._client = NatsClient(broker, site, "write")
        subject = broker.parameters.get("subject", f"{broker.stream}.rows")
        self._subject = subject
        self._control_subject = f"{CONTROL}.{broker.stream}"
        self._config: Mapping[str, Any] | None = None

    # ------------------------------------------------------------------------------------------ the stream

    def check(self) -> None:
        """Makes the stream if it is not there. One that is must have a place for the control record."""
        info = self._ask(self._info) or self._ask(self._made)
        config = self._config = info["config"]
        faults = [*self._faults(config), *self._limits(config)]
        if faults:
            raise StreamUnsuited(f"{self._broker.place} cannot be written to: {'; '.join(faults)}", hint=self._advice)

    @property
    def _advice(self) -> str:
        return (
            f"nats stream edit {self._broker.stream} --subjects ..., with {self._subject} and {self._control_subject} "
            "among them; docs/destinations-stream.md says why"
        )

    def _faults(self, config: Mapping[str, Any]) -> Iterator[str]:
        for wanted in (self._subject.replace("*", "_"), self._control_subject):
            if not any(covers(subject, wanted) for subject in config.get("subjects") or ()):
                yield f"it has no subject {wanted}"
        if config.get("retention", "limits") != "limits":
            yield f"its retention is {config['retention']}, which removes the control record"
        if config.get("max_age") and not config.get("allow_msg_ttl"):
            yield "it removes messages by age, and the control record with them, as it has no allow_msg_ttl"
        if config.get("max_msgs_per_subject", -1) > 0 and "*" not in self._subject:
            yield "it keeps a number of messages for each subject only"

    def _limits(self, config: Mapping[str, Any]) -> Iterator[str]:
        allowed = config.get("max_msg_size", -1)
        payload = self._ask(self._payload_max)
        least = min(allowed, payload) if allowed > 0 else payload
        if least < self._message_bytes:
            yield f"it takes messages of {least:,} bytes, and message_bytes_max is {self._message_bytes:,}"

    async def _payload_max(self, stream: JetStreamContext) -> int:
        return int(stream._nc.max_payload)

    async def _info(self, stream: JetStreamContext) -> Mapping[str, Any] | None:
        answer = await self._api(stream, f"STREAM.INFO.{self._broker.stream}", {})
        return None if _code(answer) == 10059 else _checked(answer)

    async def _made(self, stream: JetStreamContext) -> Mapping[str, Any]:
        subjects = [self._subject, self._control_subject]
        config = {
            "name": self._broker.stream,
            "subjects": [each for each in subjects if not covers(self._subject, each) or each == self._subject],
            "allow_atomic": True,
            "allow_msg_ttl": True,
        }
        return _checked(await self._api(stream, f"STREAM.CREATE.{self._broker.stream}", config))

    @staticmethod
    async def _api(stream: JetStreamContext, name: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await stream._nc.request(f"$JS.API.{name}", json.dumps(document).encode(), timeout=SECONDS_MAX)
        found: Mapping[str, Any] = json.loads(answer.data)
        return found

    # ------------------------------------------------------------------------------------------ the record

    def control(self) -> Control:
        """The last message of the control subject."""
        return self._ask(self._found).control

    async def _found(self, stream: JetStreamContext) -> _Found:
        from nats.js.errors import NotFoundError  # noqa: PLC0415

        try:
            message = await stream.get_last_msg(self._broker.stream, self._control_subject)
        except NotFoundError:
            return _Found(Control(), 0)
        return _Found(Control.parse(message.data or b""), int(message.seq or 0))

    async def _put(self, stream: JetStreamContext, was: _Found, control: Control) -> _Found | None:
        """Puts a record in the place of the one that was found; None if that is not the last any more."""
        from nats.js.errors import APIError  # noqa: PLC0415

        headers = {EXPECTED: str(was.at), **self._lasting}
        try:
            done = await stream.publish(self._control_subject, control.as_bytes(), headers=headers, timeout=SECONDS_MAX)
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                return None
            raise
        return _Found(control, done.seq)

    @property
    def _lasting(self) -> Mapping[str, str]:
        """A stream that removes messages by age must keep this one."""
        return {"Nats-TTL": "never"} if (self._config or {}).get("max_age") else {}

    @property
    def _atomic(self) -> bool:
        return bool((self._config or {}).get("allow_atomic"))

    def _look(self) -> bool:
        """Whether the stream is there; how it is made is known then."""
        if self._config is None:
            info = self._ask(self._info)
            self._config = None if info is None else info["config"]
        return self._config is not None

    # ------------------------------------------------------------------------------------------ sending

    def deliver(self, delivery: Delivery) -> None:
        """Begins the run, sends portion by portion, and ends it with the last."""
        sending = _Sending(delivery)
        if not self._look():
            raise StreamUnsuited(f"{self._broker.place} is not there any more", hint=self._advice)
        self._ask(functools.partial(self._begin, sending=sending))
        if sending.done:
            return
        failpoint("publish.after_begin")
        count = ATOMIC_MESSAGES_MAX - 1
        portions = in_portions(delivery.messages(sending.after), count, PORTION_BYTES)
        portion = next(portions, [])
        while not sending.done:
            following = next(portions, None)
            failpoint("publish.before_send")
            self._send(sending, portion, is_last=following is None)
            failpoint("publish.after_send")
            if following is None:
                break
            portion = following

    async def _begin(self, stream: JetStreamContext, sending: _Sending) -> None:
        """Writes that the run is being sent, which fences all who were at it, and looks how much of it is there."""
        record = sending.delivery.record
        while True:
            was = await self._found(stream)
            if was.control.has_committed(record.ledger_id, record.run):
                sending.done = True
                return
            begun = was.control.beginning(record, sending.delivery.layout, was.at)
            now = await self._put(stream, was, begun)
            if now is not None:
                break
        sending.now = now
        assert begun.begun is not None
        if was.control.begun is not None:
            sending.there = await self._there(stream, record.run, begun.begun.first + 1, now.at)
            sending.after = _prefix(sending.there) if self._atomic else -1

    def _send(self, sending: _Sending, portion: Sequence[Message], *, is_last: bool) -> None:
        """Sends what is not there. After an answer that was lost, the run is begun anew and looked for first."""

        async def once(stream: JetStreamContext) -> LeaseLost | None:
            try:
                await sent(stream)
            except LeaseLost as lost:
                return lost  # no reason to look, and to take the run back from whoever has it now
            return None

        async def sent(stream: JetStreamContext) -> None:
            left = [message for message in portion if message.row not in sending.there]
            if self._atomic:
                await self._batch(stream, sending, left, is_last=is_last)
            else:
                await self._one_by_one(stream, sending, left)
                if is_last:
                    await self._end(stream, sending)

        async def happened(stream: JetStreamContext) -> Happened[LeaseLost | None] | None:
            await self._begin(stream, sending)
            rows = {message.row for message in portion}
            return Happened(None) if sending.done or (not is_last and rows <= sending.there) else None

        if (lost := self._client.ask(once, effect=Effect.WRITE, happened=happened)) is not None:
            raise lost

    async def _batch(
        self, stream: JetStreamContext, sending: _Sending, left: Sequence[Message], *, is_last: bool
    ) -> None:
        """One atomic batch; the last one has the ended record in it."""
        from nats.js.errors import APIError  # noqa: PLC0415

        assert sending.now is not None
        made = [(self._subject_of(each), each.value, self._headers(each, sending)) for each in left]
        if is_last:
            ended = sending.now.control.ended().as_bytes()
            made.append((self._control_subject, ended, {EXPECTED: str(sending.now.at), **self._lasting}))
        if not made:
            return
        name = secrets.token_hex(16)
        for number, (subject, payload, headers) in enumerate(made, start=1):
            batch = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            if number < len(made):
                await stream._nc.publish(subject, payload, headers={**headers, **batch})
                continue
            batch["Nats-Batch-Commit"] = "1"
            answer = await stream._nc.request(subject, payload, headers={**headers, **batch}, timeout=SECONDS_MAX)
            found = json.loads(answer.data)
            if _code(found) == WRONG_LAST_SEQUENCE or (
                _code(found) == DUPLICATE_IN_BATCH and (await self._found(stream)).at != sending.now.at
            ):
                raise self._lost()
            if "error" in found:
                raise APIError.from_error(found["error"])

    async def _one_by_one(self, stream: JetStreamContext, sending: _Sending, left: Sequence[Message]) -> None:
        """A portion, message by message, without waiting for each answer before the next is sent."""
        from nats.js.errors import APIError  # noqa: PLC0415

        futures = []
        for each in left:
            headers = self._headers(each, sending)
            futures.append(
                await stream.publish_async(self._subject_of(each), each.value, headers=headers, wait_stall=SECONDS_MAX)
            )
        try:  # the first that is refused decides: what else is on its way is fenced before anything is sent again
            await asyncio.wait_for(asyncio.gather(*futures), SECONDS_MAX)
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                raise self._lost() from None
            raise

    async def _end(self, stream: JetStreamContext, sending: _Sending) -> None:
        assert sending.now is not None
        if await self._put(stream, sending.now, sending.now.control.ended()) is None:
            raise self._lost()

    def _headers(self, message: Message, sending: _Sending) -> dict[str, str]:
        assert sending.now is not None
        record = sending.delivery.record
        own = {**dict(message.headers), **own_headers(message, record.run)}
        if message.key is not None:
            own[KEY_HEADER] = message.key.decode()
        if message.at_ms is not None:
            own[TIME_HEADER] = str(message.at_ms)
        own[MESSAGE_ID] = f"{record.ledger_id}.{record.run}.{message.row}"
        own[EXPECTED], own[EXPECTED_ON] = str(sending.now.at), self._control_subject
        return own

    def _subject_of(self, message: Message) -> str:
        """A `*` in the subject is the key, with all that no token of a subject may have in percent signs."""
        if "*" not in self._subject:
            return self._subject
        token = quote((message.key or b"none").decode(), safe="").replace(".", "%2E").replace("~", "%7E")
        return self._subject.replace("*", token, 1)

    def _lost(self) -> LeaseLost:
        return LeaseLost(
            f"{self._broker.place} was taken over by another process",
            hint="nothing was lost; rowkeeper runs shows what became of the run",
        )

    # ------------------------------------------------------------------------------------------ after a crash

    def settle(self, ledger_id: str, run: int, token: int) -> Control:
        """Replaces the control record, which fences all who have read the former one."""

        async def settled(stream: JetStreamContext) -> Control:
            while True:
                was = await self._found(stream)
                if was.control.has_committed(ledger_id, run) or was.control.has_begun(ledger_id, run):
                    return was.control  # whoever delivers it fences all others
                now = await self._put(stream, was, was.control.fencing(token))
                if now is not None:
                    return now.control

        if not self._look():
            return Control()  # without a stream nothing was ever sent
        control = self._ask(settled)
        failpoint("settle.after_fence")
        return control

    # ------------------------------------------------------------------------------------------ reading

    async def _there(self, stream: JetStreamContext, run: int, first: int, last: int) -> frozenset[int]:
        """The addresses of the rows of a run that are there, between two places of the stream."""
        found: set[int] = set()
        async for page in self._pages(stream, first, last, headers_only=True):
            for message in page:
                headers = message.headers or {}
                if headers.get(RUN_HEADER) == str(run) and ROW_HEADER in headers:
                    found.add(int(headers[ROW_HEADER]))
        return frozenset(found)

    def read_back(self) -> Iterator[Sequence[Stored]]:
        """Page by page, from the first message that is kept to the last that there was at the beginning."""
        state = self._ask(self._state)
        first, last = int(state["first_seq"]), int(state["last_seq"])
        while first <= last:
            begin = first

            async def some(stream: JetStreamContext, begin: int = begin) -> list[Any]:
                return await self._some(stream, begin, last)

            found = self._ask(some)
            yield [
                Stored(int(each.headers[RUN_HEADER]), int(each.headers[ROW_HEADER]), each.data)
                for each in found
                if each.headers and RUN_HEADER in each.headers and ROW_HEADER in each.headers
            ]
            first = last + 1 if not found else found[-1].metadata.sequence.stream + 1

    async def _some(self, stream: JetStreamContext, first: int, last: int) -> list[Any]:
        """Some megabytes of messages from a place of the stream on; none if there are no more."""
        found: list[Any] = []
        async with contextlib.aclosing(self._pages(stream, first, last, headers_only=False)) as pages:
            async for page in pages:
                found += page
                if sum(len(each.data) for each in found) > PORTION_BYTES:
                    break
        return found

    async def _state(self, stream: JetStreamContext) -> Mapping[str, Any]:
        answer = _checked(await self._api(stream, f"STREAM.INFO.{self._broker.stream}", {}))
        state: Mapping[str, Any] = answer["state"]
        return state

    async def _pages(
        self, stream: JetStreamContext, first: int, last: int, *, headers_only: bool
    ) -> AsyncGenerator[list[Any]]:
        """Messages of the stream from one place to another, by a consumer that goes with it."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: PLC0415

        if first > last:
            return
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, first),
            headers_only=headers_only,
            inactive_threshold=60.0,
            mem_storage=True,
        )
        consumer = await stream.add_consumer(self._broker.stream, config)
        pull = await stream.pull_subscribe_bind(consumer=consumer.name, stream=self._broker.stream)
        try:
            at = first - 1
            left = int(consumer.num_pending or 0)
            while at < last and left > 0:
                page = await pull.fetch(min(FETCH_MESSAGES, left), timeout=FETCH_SECONDS)
                at = page[-1].metadata.sequence.stream
                left = int(page[-1].metadata.num_pending)
                yield [each for each in page if each.metadata.sequence.stream <= last]
        finally:
            await pull.unsubscribe()
            await stream.delete_consumer(self._broker.stream, consumer.name)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _ask(self, ask: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """What may be asked twice."""
        return self._client.ask(ask)


@dataclasses.dataclass
class _Sending:
    """A run on its way.

    Attributes:
        now: the control record that was written last, which all messages demand.
        there: the addresses of rows that were found in the stream.
        after: all rows up to this address are there.
        done: it was ended.
    """

    delivery: Delivery
    now: _Found | None = None
    there: frozenset[int] = frozenset()
    after: int = -1
    done: bool = False


def _prefix(there: frozenset[int]) -> int:
    """Batches are sent in the order of the rows, and are there as a whole: up to the highest, all are."""
    return max(there, default=-1)


def _code(answer: Mapping[str, Any]) -> int | None:
    error = answer.get("error")
    return None if error is None else error.get("err_code", 0)


def _checked(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    from nats.js.errors import APIError  # noqa: PLC0415

    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return answer


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject of a stream, with its wildcards, takes a subject without any."""
    wanted, given = subject.split("."), pattern.split(".")
    for number, word in enumerate(given):
        if word == ">":
            return len(wanted) > number
        if number >= len(wanted) or word not in ("*", wanted[number]):
            return False
    return len(given) == len(wanted)
