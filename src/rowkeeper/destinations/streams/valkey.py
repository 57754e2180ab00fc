"""Valkey and Redis: scripts add messages and progress in one step, so that what is counted as sent is sent.

Beside the stream stands a hash with the control record, in the same slot of a cluster:

    record   the control record
    lock     a word of whoever sends now; another word, and a process that was taken over can add nothing any more
    next     the address after which rows of the run that was begun are still to be sent
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from rowkeeper.brokers.declaring import Broker
from rowkeeper.brokers.valkey import ValkeyClient
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
from rowkeeper.logs import logger
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint

DATA = b"data"
PORTION_MESSAGES, PORTION_BYTES = 500, 1 << 20  # of one script: about a millisecond of the server's time
READ_MESSAGES = 1_000
FSYNC_MS = 30_000

# KEYS: control. ARGV: the record that was read ('' for none), the new one, the new lock, the new next ('' keeps it).
REPLACE = """
local was = redis.call('HGET', KEYS[1], 'record') or ''
if was ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[2], 'lock', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'next', ARGV[4]) end
return 1
"""
# KEYS: control, stream. ARGV: lock, next before, next after, the ended record ('' if there is more to come), then for
# each message the number of its words, and they.
SEND = """
local now = redis.call('HMGET', KEYS[1], 'lock', 'next')
if now[1] ~= ARGV[1] then return 0 end
if now[2] ~= ARGV[2] then return now[2] == ARGV[3] and 1 or 0 end
local at = 5
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call('XADD', KEYS[2], '*', unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
redis.call('HSET', KEYS[1], 'next', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'record', ARGV[4]) end
return 1
"""

log = logger("run")


class ValkeyCarrier:
    """Implements `carrying.Carrier` for one stream of a server."""

    def __init__(self, broker: Broker, site: Site) -> None:
        self._broker = broker
        self._client = ValkeyClient(broker, site, "write")
        self._redis: Any = self._client.redis
        self._stream = broker.stream.encode()
        self._control = f"rk:{tag(broker.stream)}:runs".encode()

    def check(self) -> None:
        """The key may be missing; it must not be anything but a stream."""
        kind = self._ask(lambda: self._redis.type(self._stream))
        if kind not in (b"none", b"stream"):
            raise StreamUnsuited(
                f"{self._broker.place} is a {kind.decode()}, and no stream", hint="give the stream another key"
            )
        self.control()

    def control(self) -> Control:
        """Read from the hash."""
        return Control.parse(self._record())

    def deliver(self, delivery: Delivery) -> None:
        """Begins the run, sends portion by portion, and ends it with the last."""
        run, lock = delivery.record.run, secrets.token_hex(12)
        control, sent = self._begin(delivery, lock)
        if control is None:
            return
        failpoint("publish.after_begin")
        portions = in_portions(delivery.messages(sent), PORTION_MESSAGES, PORTION_BYTES)
        portion = next(portions, [])
        while True:
            following = next(portions, None)
            last = portion[-1].row if portion else sent
            ended = b"" if following is not None else control.ended().as_bytes()
            words = [word for message in portion for word in _words(message, run)]
            failpoint("publish.before_send")
            self._changed(SEND, [self._control, self._stream], [lock, str(sent), str(last), ended, *words])
            failpoint("publish.after_send")
            if following is None:
                break
            portion, sent = following, last
        self._make_durable()

    def settle(self, ledger_id: str, run: int, token: int) -> Control:
        """Takes the lock away from whoever may still send, and notes that nobody up to this token may begin."""
        while True:
            found = self._record()
            control = Control.parse(found)
            if control.has_committed(ledger_id, run):
                self._make_durable()
                return control
            if not control.has_begun(ledger_id, run):
                control = control.fencing(token)
            if self._replaced(found, control, secrets.token_hex(12), ""):
                failpoint("settle.after_fence")
                return control

    def read_back(self) -> Iterator[Sequence[Stored]]:
        """Page by page, from the first entry that is kept."""
        after = b"-"
        while True:
            at = after
            page: Any = self._ask(lambda at=at: self._redis.xrange(self._stream, at, b"+", READ_MESSAGES))
            if not page:
                return
            yield [
                Stored(int(fields[RUN_HEADER.encode()]), int(fields[ROW_HEADER.encode()]), fields.get(DATA, b""))
                for _, fields in page
                if RUN_HEADER.encode() in fields and ROW_HEADER.encode() in fields
            ]
            after = b"(" + page[-1][0]

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _begin(self, delivery: Delivery, lock: str) -> tuple[Control | None, int]:
        """The record with the run begun, and up to which address it is there; None if it was ended before."""
        while True:
            found = self._record()
            control = Control.parse(found)
            if control.has_committed(delivery.record.ledger_id, delivery.record.run):
                return None, -1
            goes_on = control.begun is not None
            begun = control.beginning(delivery.record, delivery.layout, 0)
            if self._replaced(found, begun, lock, "" if goes_on else "-1"):
                sent: Any = self._ask(lambda: self._redis.hget(self._control, "next"))
                return begun, int(sent)

    def _replaced(self, found: bytes | None, control: Control, lock: str, sent: str) -> bool:
        """Whether the record was still what was found, and is now another. Asked twice, it says so twice."""
        wanted = control.as_bytes()

        def once() -> bool:
            if self._redis.eval(REPLACE, 1, self._control, found or b"", wanted, lock, sent):
                return True
            # An answer that was lost: it is what we wrote, with the lock that nobody else has.
            now: Any = self._redis.hmget(self._control, "record", "lock")
            return bool(now == [wanted, lock.encode()])

        return bool(self._ask(once))

    def _changed(self, script: str, keys: list[bytes], words: list[Any]) -> None:
        if not self._ask(lambda: self._redis.eval(script, len(keys), *keys, *words)):
            raise LeaseLost(
                f"{self._broker.place} was taken over by another process",
                hint="nothing was lost; rowkeeper runs shows what became of the run",
            )

    def _make_durable(self) -> None:
        """Waits until the server's log is on its disk, where it keeps one."""
        from valkey.exceptions import ResponseError  # noqa: PLC0415

        def waited() -> Any:
            try:
                return self._redis.execute_command("WAITAOF", 1, 0, FSYNC_MS)
            except ResponseError as error:
                log.info("the server says nothing of its disk", error=type(error).__name__)
                return None

        found = self._ask(waited)
        if found is None or not found[0]:
            log.warning("the server keeps no log on its disk, or did not write it in time", place=self._broker.place)
        failpoint("publish.after_sync")

    def _record(self) -> bytes | None:
        found: bytes | None = self._ask(lambda: self._redis.hget(self._control, "record"))
        return found

    def _ask(self, ask: Any) -> Any:
        """Everything that is asked here may be asked twice: the scripts see that it was done."""
        return self._client.calls.call(ask)


def _words(message: Message, run: int) -> list[Any]:
    fields: list[Any] = [DATA, message.value]
    if message.key is not None:
        fields += [KEY_HEADER, message.key]
    for name, value in own_headers(message, run).items():
        fields += [name, value]
    for name, value in message.headers:
        fields += [name, value]
    if message.at_ms is not None:
        fields += [TIME_HEADER, str(message.at_ms)]
    return [str(len(fields)), *fields]


def tag(stream: str) -> str:
    """What stands for a stream in the name of its control record, so that a cluster keeps both in one slot.

    Raises StreamUnsuited for a name whose braces leave no such name.
    """
    start = stream.find("{")
    end = stream.find("}", start + 1) if start >= 0 else -1
    if start >= 0 and end > start + 1:
        return stream
    if "{" in stream or "}" in stream:
        raise StreamUnsuited(
            f"the braces in the stream's name {stream[:40]!r} are no hash tag of a cluster",
            hint="such as {orders}.eu, or a name without braces",
        )
    return "{" + stream + "}"
