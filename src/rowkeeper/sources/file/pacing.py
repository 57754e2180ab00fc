"""How far a reader in the background may run ahead of its consumer.

pyarrow's CSV reader fetches up to 32 blocks ahead, whatever their size: with blocks of 64 MB that is 2 GB. It returns
one batch for each block (from the first block with a good row on), so counting both keeps it near.
"""

from __future__ import annotations

import threading

STARVED_SECONDS = 0.1
SLOWEST_BYTES_PER_SECOND = 16 << 20


class Pace:
    """Blocks handed out against batches taken. One thread hands out, another takes.

    It only slows down: a consumer that waits for a batch longer than a block could take gets one more in any case, so
    a reader that needs more blocks for a batch goes on, if slowly.

    Args:
        blocks_max: how many blocks may be out at a time.
        block_bytes: how large a block is.
    """

    def __init__(self, blocks_max: int, block_bytes: int) -> None:
        self._blocks_max = blocks_max
        self._starved_seconds = max(STARVED_SECONDS, block_bytes / SLOWEST_BYTES_PER_SECOND)
        self._out = 0
        self._is_waited_for = True  # opening a reader waits for the first batch
        self._closed = False
        self._changed = threading.Condition()

    def hand_out(self) -> bool:
        """Waits until a block may be handed out. False if nobody will take it any more."""
        with self._changed:
            while not self._changed.wait_for(self._may, self._starved_seconds):
                if self._is_waited_for:
                    break  # some of the blocks that are out had no batch: this one takes the place of such a one
            else:
                self._out += 1
            return not self._closed

    def wait_for_batch(self) -> None:
        """The consumer has nothing to do until the next batch is there."""
        with self._changed:
            self._is_waited_for = True

    def take(self) -> None:
        """A batch was taken."""
        with self._changed:
            self._is_waited_for = False
            self._out -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """No more batch will be taken: the reader's thread must not wait for one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _may(self) -> bool:
        return self._closed or self._out < self._blocks_max
