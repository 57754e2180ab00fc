"""Tables of the alerts file, read with the line on which each thing stands. What nobody reads is a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rowkeeper.errors import AlertsUnusable
from rowkeeper.nearest import did_you_mean, one_of
from rowkeeper.operations.alerts.spans import FORM, span


class Table:
    """One table. Each method gives what stands under a name; `done` refuses what was not asked for.

    Args:
        where: the file and, as far as it is known, the line: `rowkeeper-alerts.toml:12`.
        lines: of the names in it.
    """

    def __init__(self, values: Mapping[str, Any], where: str, lines: Mapping[str, int] | None = None) -> None:
        self._values = values
        self._where = where
        self._lines = lines or {}
        self._known: list[str] = []

    def place(self, name: str = "") -> str:
        """Where a name stands."""
        line = self._lines.get(name)
        return self._where if line is None else f"{self._where.rpartition(':')[0]}:{line}"

    def wrong(self, what: str, hint: str, name: str = "") -> AlertsUnusable:
        """An error at the place of a name."""
        return AlertsUnusable(f"{self.place(name)}: {what}", hint=hint)

    def _get(self, name: str) -> Any:
        self._known.append(name)
        return self._values.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it has to be there, and not be empty."""
        value = self._get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(
                f"{name} is no text" if value is not None else f"{name} is missing", f'{name} = "..."', name
            )
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(f"{name} is neither true nor false", f"{name} = {str(not default).lower()}", name)
        return default if value is None else value

    def span(self, name: str, default: Any) -> Any:
        """A span of time, longer than none."""
        value = self._get(name)
        if value is None:
            return default
        found = span(value) if isinstance(value, str) else None
        if found is None or found <= timedelta():
            raise self.wrong(f"{name} is no span of time", FORM, name)
        return found

    def number(self, name: str, default: float, *, least: float | None = None, most: float | None = None) -> float:
        """A number within bounds."""
        found = self.maybe_number(name)
        if found is None:
            return default
        if (least is not None and found < least) or (most is not None and found > most):
            bounds = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise self.wrong(f"{name} = {found:g} is out of bounds", f"it is {bounds}", name)
        return found

    def maybe_number(self, name: str) -> float | None:
        """A number, if it is there."""
        value = self._get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self.wrong(f"{name} is no number", f"{name} = 3", name)
        return None if value is None else float(value)

    def choice(self, name: str, known: Sequence[str], default: str) -> str:
        """One of these words."""
        value = self._get(name)
        if value is None:
            return default
        if value not in known:
            raise self.wrong(f"{name} = {value!r} is none that there is", one_of(value, known), name)
        return str(value)

    def choices(self, name: str, known: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
        """One of these words, or a list of them."""
        value = self._get(name)
        if value is None:
            return default
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not found:
            raise self.wrong(f"{name} is no list of words", f"of {', '.join(known)}", name)
        for each in found:
            if each not in known:
                raise self.wrong(f"{name}: {each!r} is none that there is", one_of(each, known), name)
        return tuple(found)

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        value = self._get(name)
        if value is None:
            return default
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.wrong(f"{name} is no list of texts", f'{name} = ["..."]', name)
        return tuple(found)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """A table of texts."""
        value = self._get(name)
        if value is not None and not (
            isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        ):
            raise self.wrong(f"{name} is no table of texts", f'{name} = {{ pipeline = "flights" }}', name)
        return dict(value or {})

    def has(self, name: str) -> bool:
        """Whether something stands there; it counts as asked for."""
        return self._get(name) is not None

    def inner(self, name: str) -> Table:
        """A table in it."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self.wrong(f"{name} is no table", f"{name} = {{ ... }}", name)
        return Table(value, self.place(name))

    def done(self, what: str) -> None:
        """Raises AlertsUnusable for the first name that is nothing which `what` has."""
        for name in self._values:
            if name not in self._known:
                otherwise = f"it has {', '.join(dict.fromkeys(self._known))}" if self._known else "it has nothing more"
                raise self.wrong(f"{name} is nothing that {what} has", did_you_mean(name, self._known, otherwise), name)


def tables_of(document: Mapping[str, Any], text: str, path: str, kind: str) -> Iterator[Table]:
    """The tables of one kind (`[[rule]]`), in their order. Raises AlertsUnusable if they are none."""
    listed = document.get(kind, [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise AlertsUnusable(f"{path}: {kind} is no list of tables", hint=f"write [[{kind}]] above each")
    places = _places(text, kind)
    for number, values in enumerate(listed):
        line, lines = places[number] if number < len(places) else (None, {})
        yield Table(values, path if line is None else f"{path}:{line}", lines)


def _places(text: str, kind: str) -> list[tuple[int, dict[str, int]]]:
    """For each table of a kind, its line and those of its names. The parser tells no lines."""
    found: list[tuple[int, dict[str, int]]] = []
    mine = False
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*\[", line):
            mine = re.match(rf"\s*\[\[\s*{kind}\s*\]\]", line) is not None
            if mine:
                found.append((number, {}))
        elif mine and (name := re.match(r"\s*([A-Za-z0-9_-]+)\s*[=.]", line)):
            found[-1][1].setdefault(name[1], number)
    return found
