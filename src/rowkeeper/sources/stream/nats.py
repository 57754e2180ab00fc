"""NATS JetStream, as a stream source asks it: by the stream's own sequence, through a consumer that lives as long as
the reading.

A durable consumer with acknowledgements would have the server say what was read. It does not know what a destination
committed; so nothing is acknowledged while reading, and where it begins is the ledger's to say. Streams that drop what
was acknowledged (work queues, interest) cannot be read so and are refused.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rowkeeper.brokers import Broker
from rowkeeper.brokers.nats import NatsClient
from rowkeeper.errors import MessagesLost, StreamUnfit
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.stream.tapping import Chunk, Extent, Mark, Message, Pace, Place

if TYPE_CHECKING:
    import nats.js
    from nats.js.api import ConsumerConfig, StreamInfo

IDLE_SECONDS = 60.0  # so long after its last use the server forgets a consumer
FETCH_MAX = 2_000
ONLY = "stream"  # the one partition that there is


class NatsTap:
    """A stream. Implements Tap; a position is a sequence of the stream."""

    def __init__(self, broker: Broker, site: Site, group: str | None) -> None:
        del group
        self._broker, self._site = broker, site
        self._subject = broker.parameters.get("subject")
        self._client: NatsClient | None = None

    def extents(self, marks: Mapping[str, Mark]) -> Mapping[str, Extent]:
        """Implements Tap."""
        info = self._open().ask(self._info)
        if info is None:
            raise StreamUnfit(f"{self._broker.place}: there is no such stream", hint="nats stream ls lists them")
        retention = getattr(info.config.retention, "value", info.config.retention)
        if retention not in (None, "limits"):
            raise StreamUnfit(
                f"{self._broker.place} keeps messages by {retention}: what one reader acknowledges is gone for good",
                hint="read a stream with retention by limits; one can be made beside it, with this one as its source",
            )
        first, last = info.state.first_seq, info.state.last_seq
        before = Mark(max(0, first - 1))
        at = int(marks.get(ONLY, before).at)
        behind = max(0, last - at)
        lost: int | None = max(0, first - 1 - at)
        stale = False
        if self._subject is not None:
            if behind:
                behind = self._open().ask(lambda stream: self._pending(stream, max(at, first - 1)))
            lost = None if lost else 0
            stale = not behind and last - at > info.state.messages // 2
        made = "" if info.created is None else info.created.isoformat()
        return {ONLY: Extent(before, last, behind, made, lost, remade=at > last, stale=stale)}

    async def _info(self, stream: nats.js.JetStreamContext) -> StreamInfo | None:
        from nats.js.errors import NotFoundError  # noqa: PLC0415

        try:
            return await stream.stream_info(self._broker.stream)
        except NotFoundError:
            return None

    async def _pending(self, stream: nats.js.JetStreamContext, at: int) -> int:
        found = await stream.add_consumer(self._broker.stream, self._config(at))
        await stream.delete_consumer(self._broker.stream, found.name)
        return int(found.num_pending or 0)

    def _config(self, at: int) -> ConsumerConfig:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: PLC0415

        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=at + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._subject,
            inactive_threshold=IDLE_SECONDS,
            mem_storage=True,
        )

    def read(self, partition: str, after: Mark, upto: Place, pace: Pace) -> Iterator[Chunk]:
        """Implements Tap."""
        del partition
        at, end = int(after.at), int(upto)
        line = _Line(self)
        while at < end:
            failpoint("stream.before_fetch")
            messages, pending = self._open().ask(functools.partial(line.fetch, at, min(pace.next, FETCH_MAX)))
            kept = [each for each in messages if int(each.place) <= end]
            at = int(kept[-1].place) if kept else at
            if not pending or len(kept) < len(messages):
                at = end
            yield Chunk(kept, Mark(at))

    def follows(self, one: Place, other: Place) -> bool:
        """Implements Tap."""
        return int(one) > int(other)

    def acknowledge(self, group: str, marks: Mapping[str, Mark]) -> None:
        """Implements Tap: a durable consumer of that name begins after what was loaded: `nats consumer info` tells."""
        from nats.js.api import AckPolicy  # noqa: PLC0415
        from nats.js.errors import NotFoundError  # noqa: PLC0415

        async def moved(stream: nats.js.JetStreamContext) -> None:
            for mark in marks.values():
                config = self._config(int(mark.at))
                config.durable_name, config.ack_policy = group, AckPolicy.EXPLICIT
                config.inactive_threshold, config.mem_storage = None, None
                with contextlib.suppress(NotFoundError):
                    await stream.delete_consumer(self._broker.stream, group)
                await stream.add_consumer(self._broker.stream, config)

        self._open().ask(moved)

    def close(self) -> None:
        """Implements Tap."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _open(self) -> NatsClient:
        if self._client is None:
            self._client = NatsClient(self._broker, self._site)
        return self._client


class _Line:
    """A consumer while it is read from; made anew where the connection broke, or messages did not come in order."""

    def __init__(self, tap: NatsTap) -> None:
        self._tap = tap
        self._of: Any = None
        self._sub: Any = None
        self._pending = 0
        self._count = 0

    async def fetch(self, at: int, most: int, stream: nats.js.JetStreamContext) -> tuple[list[Message], int]:
        """The next messages after a sequence, and how many there are still."""
        name = self._tap._broker.stream
        if self._sub is None or self._of is not stream._nc:
            self._sub = None
            consumer = await stream.add_consumer(name, self._tap._config(at))
            self._sub = await stream.pull_subscribe_bind(consumer=consumer.name, stream=name)
            self._of, self._pending, self._count = stream._nc, int(consumer.num_pending or 0), 0
        if not self._pending:
            return [], 0
        sub, self._sub = self._sub, None  # of an error nobody knows what became of its messages
        found: list[Message] = []
        for each in await sub.fetch(most, timeout=self._tap._open().step_seconds_max):
            known = each.metadata
            self._count += 1
            if known.sequence.consumer != self._count:
                await sub.unsubscribe()
                return found, max(1, self._pending)  # one was lost on the way: it is asked for anew
            self._pending = known.num_pending
            found.append(
                Message(
                    known.sequence.stream,
                    each.data,
                    int(known.timestamp.timestamp() * 1000),
                    each.subject.encode(),
                    [(header, text.encode()) for header, text in (each.headers or {}).items()],
                )
            )
        if found and int(found[0].place) <= at:
            raise MessagesLost(f"{self._tap._broker.place} went back while it was read", hint="run again")
        self._sub = sub
        return found, self._pending
