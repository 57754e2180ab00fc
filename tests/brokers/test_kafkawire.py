"""What the relay reads and rewrites of Kafka's protocol, in whatever pieces it comes."""

from __future__ import annotations

import struct

import pytest

from rowkeeper.brokers.kafkawire import API_VERSIONS, FIND_COORDINATOR, METADATA, Answers, NotKafka, Requests

LOCAL = {("b1.example.com", 9092): 4001, ("b2", 9093): 4002}


def local(host: str, port: int) -> int:
    return LOCAL[host, port]


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def text(words: bytes) -> bytes:
    return struct.pack(">h", len(words)) + words


def metadata(hosts: list[tuple[bytes, int]], rest: bytes = b"topics and more") -> bytes:
    brokers = b"".join(
        struct.pack(">i", node) + text(host) + struct.pack(">i", port) + (text(b"rack") if node else b"\xff\xff")
        for node, (host, port) in enumerate(hosts)
    )
    return frame(struct.pack(">iii", 7, 0, len(hosts)) + brokers + rest)


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_addresses_are_replaced_and_all_else_passes(piece: int) -> None:
    """Metadata between two answers that are passed on as they are, in pieces of any size."""
    other = frame(struct.pack(">i", 8) + b"x" * 50)
    came = other + metadata([(b"b1.example.com", 9092), (b"b2", 9093)]) + other
    answers = Answers({7: METADATA}, local)
    passed = b"".join(answers.feed(came[at : at + piece]) for at in range(0, len(came), piece))
    assert passed == other + metadata([(b"127.0.0.1", 4001), (b"127.0.0.1", 4002)]) + other


def test_the_coordinator_is_replaced_and_none_is_left() -> None:
    """Where there is one; an error has no address."""

    def coordinator(error: int, host: bytes, port: int) -> bytes:
        return frame(struct.pack(">iihhi", 7, 0, error, -1, 2) + text(host) + struct.pack(">i", port))

    found = Answers({7: FIND_COORDINATOR}, local).feed(coordinator(0, b"b2", 9093))
    assert found == coordinator(0, b"127.0.0.1", 4002)
    missing = coordinator(15, b"", -1)
    assert Answers({7: FIND_COORDINATOR}, local).feed(missing) == missing


def test_no_version_is_offered_that_tells_addresses_otherwise() -> None:
    """Metadata and Fetch are capped, DescribeCluster (60) and what nobody knows are left out."""
    offered = [(METADATA, 0, 13), (FIND_COORDINATOR, 0, 6), (1, 4, 17), (60, 0, 2), (999, 0, 1), (18, 0, 4)]
    body = struct.pack(">ihi", 7, 0, len(offered)) + b"".join(struct.pack(">hhh", *each) for each in offered)
    found = Answers({7: API_VERSIONS}, local).feed(frame(body))
    (count,) = struct.unpack_from(">i", found, 10)
    kept = list(struct.iter_unpack(">hhh", found[14:]))
    assert count == len(kept)
    assert kept == [(METADATA, 0, 8), (FIND_COORDINATOR, 0, 2), (1, 4, 12), (18, 0, 0)]


def test_later_ways_to_ask_for_versions_are_answered_here() -> None:
    """The broker never sees them; what follows passes."""
    ask = frame(struct.pack(">hhi", API_VERSIONS, 3, 1) + b"client and more")
    other = frame(struct.pack(">hhi", METADATA, 8, 2) + b"topics")
    requests = Requests()
    passed, answered = requests.feed(ask + other)
    assert passed == other
    assert struct.unpack_from(">iih", answered) == (len(answered) - 4, 1, 35)
    assert requests.asked == {2: METADATA}


@pytest.mark.parametrize(
    "came",
    [
        frame(struct.pack(">iii", 7, 0, 1000)),
        struct.pack(">ii", -5, 7),
        struct.pack(">ii", 1 << 30, 7),
        b"HTTP/1.1 400 Bad Request\r\n",
        frame(struct.pack(">iii", 7, 0, 1) + struct.pack(">i", 1) + text(b"\xff\xfe") + struct.pack(">i", 1)),
    ],
)
def test_what_is_no_answer_is_not_passed_on(came: bytes) -> None:
    """Another protocol, sizes that none has, brokers that are not there."""
    asked = {7: METADATA, struct.unpack(">i", b"/1.1")[0]: METADATA}
    with pytest.raises(NotKafka):
        Answers(asked, local).feed(came)


def test_a_broker_of_the_past_is_refused() -> None:
    """One that has no Metadata in which addresses can be read."""
    body = struct.pack(">ihi", 7, 0, 1) + struct.pack(">hhh", METADATA, 0, 2)
    with pytest.raises(NotKafka, match=r"older than Kafka 1\.0"):
        Answers({7: API_VERSIONS}, local).feed(frame(body))
