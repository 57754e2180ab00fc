"""How much memory each part of a run may take, so that all runs and the engine together keep within the limit.

At rest the processes hold what no setting can lower: interpreters, libraries, ClickHouse. What is left of the limit by
one run and the engine is shared out: the engine has its part of it whoever works, and the runs have the other part
together, in equal shares. A run is sized from its start as if there were as many as a worker would have under way, if
so many fit; where more are there, their shares are smaller. The sizes of batches and inserts follow from how many of
them are alive at a time: of batches about twelve (read ahead, being checked with what that makes of them, waiting to be
staged), of inserts about ten at the engine (the shared copy, the columns, the sorted ones, the part, and the merges of
those before).

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
RUN_BYTES_LEAST = COMMAND_AT_REST_BYTES + BATCHES_ALIVE * 2 * BATCH_BYTES_MIN  # with less a run does not fit

STATEMENT_SHARE = 0.9
GROUP_TIGHT_SHARE = 0.9
MACHINE_KEPT_BYTES = 256 * MB  # what is left to others
MACHINE_KEPT_SHARE = 0.05  # of a small machine
STALLED_PERCENT_MAX = 10.0
LOOK_SECONDS = 0.05
GIVE_BACK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """What follows from the limit.

    Attributes:
        memory_bytes: the limit, for all runs and the engine together.
        runs_bytes: the runs' part of it.
        runs_max: how many of them fit.
        command_bytes: the share of each, where as many are there as this was asked for.
        engine_bytes: the engine's, as ClickHouse counts (`max_server_memory_usage`).
        statement_bytes: of one statement at the engine (`max_memory_usage`).
        batch_rows, batch_bytes: what is read and checked at a time: whichever comes first.
        insert_bytes: what is staged at a time.
        queue_batches: how many batches may wait between two stages.
        is_small: memory counts more than speed.
    """

    memory_bytes: int
    runs_bytes: int
    runs_max: int
    command_bytes: int
    engine_bytes: int
    statement_bytes: int
    batch_rows: int
    batch_bytes: int
    insert_bytes: int
    queue_batches: int
    is_small: bool


def sizes_of(settings: Settings, runs: int = 1) -> Sizes:
    """The sizes for these settings on this machine.

    Args:
        runs: how many are there now; those that do not fit wait, and have no share.
    """
    limit = settings.memory_max or machine.memory_bytes()
    left = max(limit - COMMAND_AT_REST_BYTES - ENGINE_AT_REST_BYTES, limit // LEFT_SHARE_MIN)
    runs_bytes = COMMAND_AT_REST_BYTES + int(left * COMMAND_SHARE)
    engine = left - int(left * COMMAND_SHARE)
    runs_max = max(1, runs_bytes // RUN_BYTES_LEAST)
    runs = min(max(runs, settings.worker_runs_max), runs_max)
    command = max(0, runs_bytes // runs - COMMAND_AT_REST_BYTES)
    engine_bytes = ENGINE_AT_REST_BYTES - ENGINE_UNTRACKED_BYTES + engine
    return Sizes(
        memory_bytes=limit,
        runs_bytes=runs_bytes,
        runs_max=runs_max,
        command_bytes=COMMAND_AT_REST_BYTES + command,
        engine_bytes=engine_bytes,
        statement_bytes=settings.engine_memory_bytes_max or int(engine_bytes * STATEMENT_SHARE),
        batch_rows=_between(command // BATCHES_ALIVE // ROW_BYTES_LEAST, 1, settings.batch_rows),
        batch_bytes=_between(command // BATCHES_ALIVE, BATCH_BYTES_MIN, BATCH_BYTES_MAX),
        insert_bytes=_between(engine // INSERTS_ALIVE // runs, INSERT_BYTES_MIN, INSERT_BYTES_MAX),
        queue_batches=1 if command < SMALL_BELOW_BYTES else settings.queue_batches,
        is_small=command < SMALL_BELOW_BYTES,
    )


def save_memory(sizes: Sizes) -> None:
    """Where the limit is small, Arrow allocates by jemalloc, which holds on to 40 MB less than mimalloc does."""
    if sizes.is_small and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def kept_for_others(memory: machine.MachineMemory) -> int:
    """Bytes of the machine's memory that are not taken, whatever the limit is."""
    return min(MACHINE_KEPT_BYTES, int(memory.total_bytes * MACHINE_KEPT_SHARE))


class Gauge:
    """Whether memory is getting short: for this process by its share, for all by the control group's and the machine's.

    What the libraries keep for later is given back then. Looked at often, it measures twenty times a second.

    Args:
        share: bytes that the process may have now.
        used: bytes that it has in RAM.
        group: a control group's limit and use, if there is one.
        whole: what the machine has left.
    """

    def __init__(
        self,
        share: Callable[[], int],
        *,
        used: Callable[[], int] = machine.resident_bytes,
        group: Callable[[], machine.MemoryGroup | None] = machine.memory_group,
        whole: Callable[[], machine.MachineMemory] = machine.machine_memory,
    ) -> None:
        self._share = share
        self._used = used
        self._group = group
        self._whole = whole
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
        if self._used() > self._share():
            return True
        group = self._group()
        if group is not None and group.used_bytes > GROUP_TIGHT_SHARE * group.limit_bytes:
            return True
        whole = self._whole()
        return whole.available_bytes < kept_for_others(whole) or whole.stalled_percent > STALLED_PERCENT_MAX
