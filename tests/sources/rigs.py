"""Arenas as what the conformance suite runs its commands in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rowkeeper.testing import Ended
from tests.arena import Arena


@dataclasses.dataclass(frozen=True)
class InArena:
    """A Runner whose processes are forked from a server that has imported everything once."""

    arena: Arena

    @property
    def folder(self) -> Path:
        return self.arena.folder

    def run(self, *words: str, failpoints: str = "") -> Ended:
        outcome = self.arena.run(*words, failpoints=failpoints)
        return Ended(outcome.status, outcome.stdout, outcome.stderr)
