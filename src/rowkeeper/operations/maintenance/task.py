"""What a part of the maintenance finds to do, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One thing to do, which can be repeated after a crash at any instant.

    Attributes:
        part: which part of the maintenance found it: `snapshots`, `staging`, `quarantine`, ...
        subject: what it is done to: a destination, a file, the ledger.
        told: what is done, in a few words.
        act: does it. Raises FrameworkError or OSError.
        bytes: of disk that it gives back, or rewrites; about.
    """

    part: str
    subject: str
    told: str
    act: Callable[[], None] = dataclasses.field(repr=False, compare=False)
    bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What became of a task, or why a part could not be looked at.

    Attributes:
        outcome: `done`; `would` of a dry run; `left`, for the reason told; `failed`.
        error: the error's document, if it failed.
    """

    part: str
    subject: str
    told: str
    outcome: str
    bytes: int = 0
    error: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        document = dataclasses.asdict(self)
        return (
            document if self.error is not None else {name: each for name, each in document.items() if name != "error"}
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Maintained:
    """All that was done, or would be."""

    steps: tuple[Step, ...]
    dry_run: bool

    @property
    def failed(self) -> tuple[Step, ...]:
        """What could not be done."""
        return tuple(each for each in self.steps if each.outcome == "failed")

    @property
    def status(self) -> str:
        """In one word."""
        if self.failed:
            return "failed"
        return "would" if self.dry_run else "done"

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        error = {"error": dict(self.failed[0].error or {})} if self.failed else {}
        return {"status": self.status, "steps": [each.as_dict() for each in self.steps], **error}
