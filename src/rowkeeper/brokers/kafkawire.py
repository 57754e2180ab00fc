"""What the relay reads and rewrites of Kafka's protocol (https://kafka.apache.org/protocol): as little as can be.

A broker tells in three kinds of answers where brokers are: Metadata, FindCoordinator, and ApiVersions, which tells what
may be asked at all. Of the first two the versions in which addresses stand in front and nothing is packed are asked for
(8 and 2), since in the third no later ones are offered; and none of the requests whose answers tell of addresses in
ways that are not read here (Fetch from 16 on, Produce from 10 on, DescribeCluster, groups of shares, telemetry).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

API_VERSIONS, METADATA, FIND_COORDINATOR = 18, 3, 10
SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36
READ = frozenset({API_VERSIONS, METADATA, FIND_COORDINATOR, SASL_HANDSHAKE, SASL_AUTHENTICATE})
VERSIONS_MAX = {
    0: 9,  # Produce
    1: 12,  # Fetch; from 13 on by topic ids, which Metadata 8 does not tell
    2: 7,  # ListOffsets
    METADATA: 8,
    8: 8,  # OffsetCommit
    9: 8,  # OffsetFetch
    FIND_COORDINATOR: 2,
    11: 5,  # JoinGroup
    12: 3,  # Heartbeat
    13: 3,  # LeaveGroup
    14: 3,  # SyncGroup
    SASL_HANDSHAKE: 1,
    API_VERSIONS: 0,
    19: 4,  # CreateTopics
    22: 4,  # InitProducerId
    23: 4,  # OffsetForLeaderEpoch
    24: 3,  # AddPartitionsToTxn
    25: 3,  # AddOffsetsToTxn
    26: 3,  # EndTxn
    28: 3,  # TxnOffsetCommit
    SASL_AUTHENTICATE: 1,
}
METADATA_MIN = 3
UNSUPPORTED_VERSION = 35
FRAME_BYTES_MAX = 64 << 20  # of an answer that is rewritten; the others pass piece by piece

LocalPort = Callable[[str, int], int]
"""Gives the port on loopback that stands for a broker."""


class NotKafka(Exception):  # noqa: N818 - reads as what it is
    """What came is no answer of a broker."""


class Requests:
    """What the client asks: passed on as it is, but for ApiVersions in a version that is answered here."""

    def __init__(self) -> None:
        self.asked: dict[int, int] = {}  # by correlation id, what is asked, where the answer will be read
        self._head = bytearray()
        self._left = 0
        self._swallows = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Takes in bytes of the client's. Returns what goes to the broker, and what is answered at once."""
        passed, answered = bytearray(), bytearray()
        view = memoryview(data)
        while view:
            if self._left:
                taken = view[: self._left]
                if not self._swallows:
                    passed += taken
                self._left -= len(taken)
                view = view[len(taken) :]
                continue
            missing = 12 - len(self._head)
            self._head += view[:missing]
            view = view[missing:]
            if len(self._head) == 12:
                self._begin(passed, answered)
        return bytes(passed), bytes(answered)

    def _begin(self, passed: bytearray, answered: bytearray) -> None:
        size, key, version, correlation = struct.unpack(">ihhi", self._head)
        self._left = size - 8
        if self._left < 0:
            raise NotKafka("a request is shorter than its head")
        self._swallows = key == API_VERSIONS and version > 0
        if self._swallows:  # as KIP-511 has it: the answer is of version 0, and says which versions there are
            body = struct.pack(">ihihhh", correlation, UNSUPPORTED_VERSION, 1, API_VERSIONS, 0, 0)
            answered += struct.pack(">i", len(body)) + body
        else:
            passed += self._head
            if key in READ:
                self.asked[correlation] = key
        self._head.clear()


class Answers:
    """What the broker answers: passed on, with brokers' addresses replaced by those that stand for them.

    Args:
        asked: `Requests.asked`.

    Attributes:
        denied: whether the broker refused our credentials; None while it was not asked.
    """

    def __init__(self, asked: dict[int, int], local: LocalPort) -> None:
        self._asked, self._local = asked, local
        self.denied: bool | None = None
        self._head = bytearray()
        self._left = 0
        self._body: bytearray | None = None
        self._key = 0

    def feed(self, data: bytes) -> bytes:
        """Takes in bytes of the broker's. Returns what goes to the client. Raises NotKafka."""
        passed = bytearray()
        view = memoryview(data)
        while view:
            if self._left:
                taken = view[: self._left]
                into = passed if self._body is None else self._body
                into += taken
                self._left -= len(taken)
                view = view[len(taken) :]
                if not self._left and self._body is not None:
                    passed += self._rewritten()
                continue
            missing = 8 - len(self._head)
            self._head += view[:missing]
            view = view[missing:]
            if len(self._head) == 8:
                self._begin(passed)
        return bytes(passed)

    def _begin(self, passed: bytearray) -> None:
        size, correlation = struct.unpack(">ii", self._head)
        self._left = size - 4
        key = self._asked.pop(correlation, None)
        if self._left < 0 or (key is not None and not 0 < self._left <= FRAME_BYTES_MAX):
            raise NotKafka("an answer has a size that none has")
        if key is None:
            passed += self._head
        else:
            self._key, self._body = key, bytearray(self._head[4:])
        self._head.clear()

    def _rewritten(self) -> bytes:
        assert self._body is not None
        body, self._body = bytes(self._body), None
        try:
            if self._key == METADATA:
                found = _metadata(body, self._local)
            elif self._key == FIND_COORDINATOR:
                found = _coordinator(body, self._local)
            elif self._key == API_VERSIONS:
                found = _versions(body)
            else:
                self.denied, found = struct.unpack_from(">h", body, 4) != (0,), body
        except (struct.error, UnicodeDecodeError):
            raise NotKafka("an answer is not of the form that was asked for") from None
        return struct.pack(">i", len(found)) + found


def _metadata(body: bytes, local: LocalPort) -> bytes:
    """MetadataResponse 3 to 8: correlation, throttle time, brokers, the rest."""
    _, _, count = struct.unpack_from(">iii", body)
    out, at = bytearray(body[:12]), 12
    for _ in range(count):
        (node,) = struct.unpack_from(">i", body, at)
        host, port, at = _address(body, at + 4)
        out += struct.pack(">i", node) + _local_address(host, port, local)
        (rack,) = struct.unpack_from(">h", body, at)
        end = at + 2 + max(0, rack)
        out += body[at:end]
        at = end
    return bytes(out) + body[at:]


def _coordinator(body: bytes, local: LocalPort) -> bytes:
    """FindCoordinatorResponse 1 and 2: correlation, throttle time, error, message, node, host, port."""
    (message,) = struct.unpack_from(">h", body, 10)
    at = 12 + max(0, message)
    (error,) = struct.unpack_from(">h", body, 8)
    host, port, end = _address(body, at + 4)
    if error or port <= 0:
        return body
    return body[: at + 4] + _local_address(host, port, local) + body[end:]


def _versions(body: bytes) -> bytes:
    """ApiVersionsResponse 0: correlation, error, and of each request what it is, its least and its latest version."""
    head, (count,) = body[:6], struct.unpack_from(">i", body, 6)
    found = {key: (least, most) for key, least, most in struct.iter_unpack(">hhh", body[10 : 10 + 6 * count])}
    if found.get(METADATA, (0, 0))[1] < METADATA_MIN or found.get(FIND_COORDINATOR, (0, 0))[1] < 1:
        raise NotKafka("the broker is older than Kafka 1.0")
    if found.get(SASL_HANDSHAKE, (0, 1))[1] < 1:
        del found[SASL_HANDSHAKE]  # what follows such a handshake has no heads that could be read
    kept = [
        struct.pack(">hhh", key, least, min(most, VERSIONS_MAX[key]))
        for key, (least, most) in found.items()
        if key in VERSIONS_MAX and least <= VERSIONS_MAX[key]
    ]
    return head + struct.pack(">i", len(kept)) + b"".join(kept)


def _address(body: bytes, at: int) -> tuple[str, int, int]:
    """A host and a port, and where they end."""
    (size,) = struct.unpack_from(">h", body, at)
    host = body[at + 2 : at + 2 + max(0, size)].decode()
    (port,) = struct.unpack_from(">i", body, at + 2 + max(0, size))
    return host, port, at + 6 + max(0, size)


def _local_address(host: str, port: int, local: LocalPort) -> bytes:
    own = b"127.0.0.1"
    return struct.pack(">h", len(own)) + own + struct.pack(">i", local(host, port))
