"""How much memory each part of a run may take, so that command and engine together keep within the limit.

At rest the two processes hold what no setting can lower: interpreters, libraries, ClickHouse. What is left of the
limit is shared out. The sizes of batches and inserts follow from how many of them are alive at a time: of batches about
twelve (read ahead, being checked with what that makes of them, waiting to be staged), of inserts about ten at
the engine (the shared copy, the columns, the sorted ones, the part, and the merges of those before).

Measured with `tests/runs/test_memory.py`, which fails if the sum is wrong.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import pyarrow as pa

from rowkeeper import machine
from rowkeeper.settings import Settings

MB = 1 << 20
COMMAND_AT_REST_BYTES = 250 * MB
ENGINE_AT_REST_BYTES = 360 * MB
ENGINE_UNTRACKED_BYTES = 200 * MB  # of those at rest: code and stacks, which ClickHouse does not count as its own
LEFT_SHARE_MIN = 8  # a limit near to what is there at rest still leaves an eighth, and is not kept to the letter

COMMAND_SHARE = 0.4
BATCHES_ALIVE = 12
INSERTS_ALIVE = 10
BATCH_BYTES_MIN, BATCH_BYTES_MAX = 1 * MB, 64 * MB
INSERT_BYTES_MIN, INSERT_BYTES_MAX = 2 * MB, 64 * MB
ROW_BYTES_LEAST = 256  # of a row that is being checked, however small: as Python values, if the columns cannot tell
SMALL_BELOW_BYTES = 128 * MB

STATEMENT_SHARE = 0.9
GROUP_TIGHT_SHARE = 0.9
LOOK_SECONDS = 0.05
GIVE_BACK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """What follows from the limit.

    Attributes:
        memory_bytes: the limit, for the command and the engine together.
        command_bytes: the command's part of it.
        engine_bytes: the engine's, as ClickHouse counts (`max_server_memory_usage`).
        statement_bytes: of one statement at the engine (`max_memory_usage`).
        batch_rows, batch_bytes: what is read and checked at a time: whichever comes first.
        insert_bytes: what is staged at a time.
        queue_batches: how many batches may wait between two stages.
        is_small: memory counts more than speed.
    """

    memory_bytes: int
    command_bytes: int
    engine_bytes: int
    statement_bytes: int
    batch_rows: int
    batch_bytes: int
    insert_bytes: int
    queue_batches: int
    is_small: bool


def sizes_of(settings: Settings) -> Sizes:
    """The sizes for these settings on this machine."""
    limit = settings.memory_max or machine.memory_bytes()
    left = max(limit - COMMAND_AT_REST_BYTES - ENGINE_AT_REST_BYTES, limit // LEFT_SHARE_MIN)
    command = int(left * COMMAND_SHARE)
    engine = ENGINE_AT_REST_BYTES - ENGINE_UNTRACKED_BYTES + left - command
    batch_bytes = _between(command // BATCHES_ALIVE, BATCH_BYTES_MIN, BATCH_BYTES_MAX)
    return Sizes(
        memory_bytes=limit,
        command_bytes=COMMAND_AT_REST_BYTES + command,
        engine_bytes=engine,
        statement_bytes=settings.engine_memory_bytes_max or int(engine * STATEMENT_SHARE),
        batch_rows=_between(command // BATCHES_ALIVE // ROW_BYTES_LEAST, 1, settings.batch_rows),
        batch_bytes=batch_bytes,
        insert_bytes=_between((left - command) // INSERTS_ALIVE, INSERT_BYTES_MIN, INSERT_BYTES_MAX),
        queue_batches=1 if command < SMALL_BELOW_BYTES else settings.queue_batches,
        is_small=command < SMALL_BELOW_BYTES,
    )


def save_memory(sizes: Sizes) -> None:
    """Where the limit is small, Arrow allocates by jemalloc, which holds on to 40 MB less than mimalloc does."""
    if sizes.is_small and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


class Gauge:
    """Whether memory is getting short: for this process by its part of the limit, for all by the control group's.

    What the libraries keep for later is given back then. Looked at often, it measures twenty times a second.

    Args:
        used: bytes that the process has in RAM; and a control group's limit and use, if there is one.
    """

    def __init__(
        self,
        limit_bytes: int,
        used: Callable[[], int] = machine.resident_bytes,
        group: Callable[[], machine.MemoryGroup | None] = machine.memory_group,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._used = used
        self._group = group
        self._lock = threading.Lock()
        self._looked = self._gave_back = float("-inf")
        self._tight = False

    def tight(self) -> bool:
        """Whether nothing more should be begun before something is finished."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                self._tight = self._measure()
                if self._tight and now - self._gave_back >= GIVE_BACK_SECONDS:
                    self._gave_back = now
                    pa.default_memory_pool().release_unused()
            return self._tight

    def _measure(self) -> bool:
        if self._used() > self._limit_bytes:
            return True
        group = self._group()
        return group is not None and group.used_bytes > GROUP_TIGHT_SHARE * group.limit_bytes
