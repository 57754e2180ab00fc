"""Room on the disk: a run stops while there is still some, cleanly, before a write fails in its midst.

ClickHouse, the ledger and everything else on that disk need some to finish what they are at.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rowkeeper.errors import DiskFull

KEPT_BYTES = 256 << 20
KEPT_SHARE = 0.05  # of a small disk


def check_room(folder: Path, needed: int, kept: int | None) -> None:
    """Raises DiskFull if the disk would have less left than is to be kept free.

    Args:
        folder: on the disk in question.
        needed: bytes that are about to be written.
        kept: bytes that stay free; None for 256 MB, or a twentieth of a disk of less than 5 GB.
    """
    disk = shutil.disk_usage(folder)
    least = kept_free(disk.total, kept)
    if disk.free < least + needed:
        raise DiskFull(
            f"no room left to go on: {disk.free / 1e6:,.0f} MB are free on the disk of {folder}, {least / 1e6:,.0f} MB "
            f"of which stay free, and {needed / 1e6:,.0f} MB are to be written",
            hint="free some space and run again: what was staged is kept; ROWKEEPER_DISK_FREE_MIN says what stays free",
        )


def kept_free(total: int, kept: int | None) -> int:
    """How many bytes of a disk stay free: what is set, or 256 MB, or a twentieth of a small disk."""
    return min(KEPT_BYTES, int(total * KEPT_SHARE)) if kept is None else kept
