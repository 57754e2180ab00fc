"""Which points are tried, and in which order: evenly spread wherever the time ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.torture.faults import Fault, Mode

MODES = (
    (Mode.KILL, False),
    (Mode.EIO, False),
    (Mode.ENOSPC, True),
    (Mode.TORN, False),
    (Mode.KILL_ONE, False),
    (Mode.EIO, True),
    (Mode.ENOSPC, False),
)


def spread(count: int) -> Iterator[int]:
    """0 ... count-1, each once, in an order that is evenly spread wherever it is cut off (bits reversed)."""
    bits = max(1, (count - 1).bit_length())
    for index in range(1 << bits if count else 0):
        value = int(f"{index:0{bits}b}"[::-1], 2)
        if value < count:
            yield value


def plan(numbers: Sequence[int], modes: Sequence[tuple[Mode, bool]] = MODES) -> Iterator[Fault]:
    """These operations in each mode, evenly spread over the run and over the modes from the beginning."""
    for index in spread(len(numbers)):
        for mode, sticky in modes:
            yield Fault(mode, numbers[index], sticky)
