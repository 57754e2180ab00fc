"""A destination that is really away: the engine's host is killed, and none can be started in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.arena import SECONDS_MAX, Arena

SPOOL = 'fallback="spool"'
AT_ONCE, AT_LENGTH = "start.lock", "users.xml"
"""Files of the engine's folder: what the starter locks, and what the host writes before it opens chDB."""


def cut(arena: Arena, file: str = AT_ONCE) -> None:
    """Kills the host, and puts a folder where a file of the next one has to be."""
    arena.kill_host()
    deadline = time.monotonic() + SECONDS_MAX
    while arena.host_pid() is not None:
        assert time.monotonic() < deadline, "the engine's host does not die"
        time.sleep(0.01)
    place = arena.home / "engine" / file
    place.unlink(missing_ok=True)
    place.mkdir()


def mend(arena: Arena, file: str = AT_ONCE) -> None:
    """Lets the next host start."""
    (arena.home / "engine" / file).rmdir()


@contextmanager
def outage(arena: Arena, file: str = AT_ONCE) -> Iterator[None]:
    """The engine is away as long as the block lasts."""
    cut(arena, file)
    try:
        yield
    finally:
        mend(arena, file)
