"""What is new since the last load, by a column that grows, with a look back for transactions that commit late.

The highest value in the snapshot is the mark. The next load reads from the mark less the lookback on, so that it is
given rows a second time, at least those at the mark itself. Which of them were loaded is known by their digests: those
of all rows from the mark less the lookback on are kept with it. Where the table has a key, a row is known by its key
and its cursor; where it has none, by all that is in it.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rowkeeper.errors import DeclarationError, SourceError

SEEN_MAX = 100_000
DIGEST_BYTES = 12


@dataclasses.dataclass(frozen=True)
class Increment:
    """Only rows that are new since the last run are read.

    Args:
        column: what grows: the time of the last change, or a number. Never null.
        lookback: how much further back each run looks: a `timedelta` for times, a number for numbers. As long as the
            longest transaction that writes to the table: a row has its time from when it was written, and is seen when
            it is committed.
        start: what the first run reads from on; None reads everything.
    """

    column: str
    lookback: timedelta | int | None = None
    start: str | int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise DeclarationError(f"Increment(column={self.column!r})", hint='the name of one: "updated_at"')
        wrong = self.lookback is not None and (
            not isinstance(self.lookback, (int, timedelta)) or isinstance(self.lookback, bool)
        )
        if wrong or (self.lookback is not None and self.lookback < type(self.lookback)()):  # type: ignore[operator]
            raise DeclarationError(
                f"Increment(lookback={self.lookback!r})", hint="a timedelta, or a number, not below 0"
            )
        if not isinstance(self.start, (str, int, type(None))) or isinstance(self.start, bool):
            raise DeclarationError(
                f"Increment(start={self.start!r})", hint='a text as the database reads it: "2026-01-01"'
            )

    def describe(self) -> Mapping[str, Any]:
        """As JSON values."""
        lookback = self.lookback.total_seconds() if isinstance(self.lookback, timedelta) else self.lookback
        return {"column": self.column, "lookback": lookback, "start": self.start}


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What a later load has to know of an earlier one.

    Attributes:
        value: the highest value of the cursor, as text.
        seen: the digests of the rows that it may be given again, one after the other.
    """

    value: str
    seen: bytes = b""

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"value": self.value, "seen": base64.b85encode(self.seen).decode()}

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> Mark | None:
        """The inverse of `document`; None for nothing."""
        return None if document is None else cls(document["value"], base64.b85decode(document["seen"]))


class Recognising:
    """Tells rows that were loaded before, while they go by, and takes down those that will come again."""

    def __init__(self, known: Mark | None, name: str) -> None:
        seen = known.seen if known else b""
        self._left = Counter(seen[at : at + DIGEST_BYTES] for at in range(0, len(seen), DIGEST_BYTES))
        self._kept: list[bytes] = []
        self._name = name

    def is_new(self, digest: bytes) -> bool:
        """Whether a row of the past was not loaded before; each that was is met once."""
        if self._left[digest] <= 0:
            return True
        self._left[digest] -= 1
        return False

    def keep(self, digest: bytes) -> None:
        """Takes down a row that a later load may be given again. Raises SourceError if there are too many."""
        self._kept.append(digest)
        if len(self._kept) > SEEN_MAX:
            raise SourceError(
                f"{self._name} has more than {SEEN_MAX:,} rows within the lookback",
                hint="look back less far, or use a column that does not have the same value in so many rows",
            )

    @property
    def kept(self) -> bytes:
        """The digests, one after the other."""
        return b"".join(sorted(self._kept))


def digest_of(identity: Sequence[Any] | bytes) -> bytes:
    """Of a row: its cursor and its key, or all of it."""
    if not isinstance(identity, bytes):
        identity = repr(tuple(identity)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(identity, digest_size=DIGEST_BYTES).digest()
