"""A worker as a process of its own, and what it tells."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.arena import Arena, Running

SECONDS_MAX = 180.0  # the machine may be busy with other tests


class Watched:
    """A worker under way, and what it told so far."""

    def __init__(self, arena: Arena, *files: str, failpoints: str = "", env: dict[str, str] | None = None) -> None:
        quick = {"ROWKEEPER_WORKER_RECONCILE_SECONDS": "0.5", "ROWKEEPER_LEASE_SECONDS": "10"}
        words = ("worker", *files, "--json")
        self.running: Running = arena.start(*words, failpoints=failpoints, env={**quick, **(env or {})})

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        text = self.running.base.with_suffix(".out")
        lines = text.read_text().rpartition("\n")[0].splitlines() if text.exists() else []
        found = [json.loads(line) for line in lines]
        return [each for each in found if kind in ("", each["event"])]

    def wait_for(self, kind: str, when: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS_MAX
        while not (found := [each for each in self.events(kind) if when(each)]):
            assert time.monotonic() < deadline, (kind, self.events(), self.running._read("err"))
            assert self.running.process.exitcode is None, (self.events(), self.running._read("err"))
            time.sleep(0.05)
        return found[0]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.running.signal(number)
        return self.running.wait().status


@contextlib.contextmanager
def working(arena: Arena, *files: str, **options: Any) -> Iterator[Watched]:
    """A worker that is told to stop at the end, and must do so cleanly."""
    watched = Watched(arena, *files, **options)
    try:
        yield watched
    except BaseException:
        watched.running.process.kill()
        raise
    assert watched.end() == 0, watched.running._read("err")
