"""What each broker must be able to do for a stream to be a destination; and what all of them share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rowkeeper.destinations.streams.control import Control, Layout
from rowkeeper.destinations.streams.messages import Message
from rowkeeper.errors import BrokerRefused, BrokerUnavailable, DestinationRefused, DestinationUnreachable
from rowkeeper.protocols import CommitRecord


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """A sealed run on its way.

    Attributes:
        messages: gives those of the rows after an address, in their order; always the same.
    """

    record: CommitRecord
    layout: Layout
    messages: Callable[[int], Iterator[Sequence[Message]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A message of ours, as it was read back."""

    run: int
    row: int
    value: bytes


class Carrier(Protocol):
    """Brings the messages of runs to one stream, each once."""

    def check(self) -> None:
        """Sees that the stream is there and can be written as promised; makes what is missing.

        Raises StreamUnfit.
        """
        ...

    def control(self) -> Control:
        """What the broker keeps of our runs."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """Sends what is not there yet, and ends the run; nothing if it was ended before.

        Raises LeaseLost if another process has fenced this one.
        """
        ...

    def settle(self, ledger_id: str, run: int, token: int) -> Control:
        """What became of a run whose process died. Unless it was begun, nobody up to this token can begin it any more.

        A run that was begun (`Control.begun`) may be there in part, and has to be delivered.
        """
        ...

    def read_back(self) -> Iterator[Sequence[Stored]]:
        """All messages of ours that a reader finds now."""
        ...

    def close(self) -> None:
        """Ends its connections."""
        ...


@contextmanager
def as_destination() -> Iterator[None]:
    """Errors of brokers in the words of destinations: what it means for a run that is to be published."""
    try:
        yield
    except BrokerUnavailable as error:
        raise DestinationUnreachable(error.what, hint=error.hint) from error
    except BrokerRefused as error:
        raise DestinationRefused(error.what, hint=error.hint) from error
