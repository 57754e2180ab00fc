"""What records are made of: the names and kinds of their members, kept with each load, and what changed since the last.

Of each page the first records are looked at; no value is kept. The contract judges every record in any case: this is
for whoever has to find out when an API began to answer otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rowkeeper.apis.selecting import Unreadable, decode

RECORDS_PER_PAGE = 10
FIELDS_MAX = 1_000
CHANGES_MAX = 100
KINDS = {str: "text", bool: "boolean", int: "integer", Decimal: "number", list: "list", dict: "object"}


class Shapes:
    """The shape of the records of one load.

    Args:
        former: the shape of the load before, by path; None if there was none.
        found: what this load had before it was broken off.
    """

    def __init__(
        self,
        former: Mapping[str, Sequence[str]] | None,
        found: Mapping[str, Sequence[str]] | None = None,
        changes: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._former = former
        self._found = {path: set(kinds) for path, kinds in (found or {}).items()}
        self.changes = list(changes)

    def look(self, records: Sequence[bytes], row: int) -> list[Mapping[str, Any]]:
        """Takes in some records of a page. Returns what is new since the load before.

        Args:
            row: the number of the first, from 0.
        """
        fresh: list[Mapping[str, Any]] = []
        for number, record in enumerate(records[:RECORDS_PER_PAGE], row):
            try:
                value = decode(record)
            except Unreadable:
                continue
            for path, kind in _kinds(value, "$", 2):
                known = self._found.setdefault(path, set()) if len(self._found) < FIELDS_MAX else set()
                if kind in known:
                    continue
                known.add(kind)
                was = None if self._former is None else list(self._former.get(path, ()))
                if was is not None and kind not in was and kind != "null" and len(self.changes) < CHANGES_MAX:
                    fresh.append({"row": number, "field": path, "was": was, "now": kind})
                    self.changes.append(fresh[-1])
        return fresh

    def document(self, *, adds: bool) -> dict[str, list[str]]:
        """By path, the kinds that were found, sorted.

        Args:
            adds: this load has some of the records only, so what the load before had is still so.
        """
        found = {path: set(kinds) for path, kinds in self._found.items()}
        if adds:
            for path, kinds in (self._former or {}).items():
                found.setdefault(path, set()).update(kinds)
        return {path: sorted(found[path]) for path in sorted(found)}


def _kinds(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """The kind of a value, and of its members so deep."""
    if path != "$" or not isinstance(value, dict):
        yield path, "null" if value is None else KINDS.get(type(value), "text")
    if isinstance(value, dict) and depth:
        for name, member in value.items():
            yield from _kinds(member, f"{path}.{name}", depth - 1)
