"""Durability: ClickHouse itself does not see to it, and cannot on encrypted disks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rowkeeper.durable import opened, sync_volume
from rowkeeper.errors import DiskFull


def sync(home: Path) -> None:
    """Makes everything on the volume of the state folder durable. Raises DiskFull."""
    with opened(home) as descriptor:
        try:
            sync_volume(descriptor)
        except OSError as error:
            raise DiskFull(
                f"what was staged could not be made durable: {error.strerror}",
                hint="see to the disk and run again: nothing was published",
            ) from error


@contextmanager
def written_back(home: Path) -> Iterator[None]:
    """Syncs while the block does its work: so the sync of the publish has little left to do, whatever was staged.

    Raises DiskFull when the block has ended.
    """
    with ThreadPoolExecutor(1, "rowkeeper-sync") as pool:
        syncing = pool.submit(sync, home)
        yield
        syncing.result()
