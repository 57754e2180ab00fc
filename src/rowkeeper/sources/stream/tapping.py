"""What a stream source asks of a broker. Positions are of the broker's own kind: numbers, or ids of Valkey."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Place = int | str
"""The position of a message: its offset (Kafka), its sequence (NATS), its id (Valkey)."""


class Message(NamedTuple):
    """A message as the broker gives it, for decoders.

    Attributes:
        place: where it is in its partition.
        value: what it says; None for a tombstone of Kafka.
        timestamp_ms: since 1970, where the broker has one.
        key: of Kafka the key, of NATS the subject.
        headers: names may come more than once; of Valkey the fields beside the one that is the value.
    """

    place: Place
    value: bytes | None
    timestamp_ms: int | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Mark(NamedTuple):
    """How far a partition was read.

    Attributes:
        at: the last position that is accounted for: all up to it was read, or is not there.
        number: of Valkey, which of all the entries ever added that one is; the others have no use for it.
    """

    at: Place
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Extent:
    """What a partition has at present.

    Attributes:
        before: the mark from which everything that is there follows.
        end: the last position that there is, or was.
        behind: how many messages follow the mark that was asked about; of Kafka at most so many.
        made: what tells the stream from another one of the same name, made later; empty where nothing does.
        lost: how many messages after that mark are gone; None: nobody knows how many, or whether.
        remade: it is not the stream that the mark is of.
        stale: nothing of ours follows the mark, but so much else that the mark is to be moved on.
    """

    before: Mark
    end: Place
    behind: int
    made: str = ""
    lost: int | None = 0
    remade: bool = False
    stale: bool = False


class Pace:
    """How many messages are asked for at a time: a few at first, then what fits by the size of those that came.

    Args:
        rows_max: never more than this.
        bytes_max: about so many bytes are held at a time.
    """

    FIRST = 64
    GROWTH = 8

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self._rows_max, self._bytes_max = rows_max, bytes_max
        self._next = max(1, min(self.FIRST, rows_max))

    @property
    def next(self) -> int:
        """How many to ask for now."""
        return self._next

    def took(self, messages: Sequence[Message]) -> None:
        """Notes what came."""
        largest = max((len(each.value or b"") for each in messages), default=0)
        fits = self._bytes_max // max(1, largest)
        self._next = max(1, min(self._rows_max, self._next * self.GROWTH, fits))


class Tap(Protocol):
    """A broker at work."""

    def extents(self, marks: Mapping[str, Mark]) -> Mapping[str, Extent]:
        """What each partition has, in their order.

        Args:
            marks: how far each was read; one that is not in it was never read.

        Raises StreamUnfit if there is no such stream.
        """
        ...

    def read(self, partition: str, after: Mark, upto: Place, pace: Pace) -> Iterator[Chunk]:
        """The messages after a mark, up to a position or to the end of what is there, as many at a time as `pace` says.

        Raises MessagesLost if they were removed meanwhile.
        """
        ...

    def follows(self, one: Place, other: Place) -> bool:
        """Whether one position comes after another."""
        ...

    def acknowledge(self, group: str, marks: Mapping[str, Mark]) -> None:
        """Tells the broker how far each partition was loaded. Nothing of ours depends on it."""
        ...

    def close(self) -> None:
        """Closes its connections; it can be used again."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Some messages, and the mark after them: which may lie further on, where nothing else is."""

    messages: Sequence[Message]
    after: Mark
