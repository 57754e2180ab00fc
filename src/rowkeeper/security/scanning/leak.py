"""What a scan found: where and of what kind, never the secret."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Leak:
    """A secret in a text.

    Attributes:
        line: counted from 1.
        kind: a phrase, such as `a password in a URL`.
        certain: it is one, or stands where one belongs; otherwise it looks like one.
    """

    path: Path
    line: int
    kind: str
    certain: bool = dataclasses.field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}"

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {"file": str(self.path), "line": self.line, "kind": self.kind, "certain": self.certain}
