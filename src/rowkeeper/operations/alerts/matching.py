"""Matchers: `severity=critical`, `pipeline=flights*`, `rule!=run-slow`. All of a list have to hold."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping

from rowkeeper.ledger.alerts import NAMES
from rowkeeper.nearest import one_of

FORM = re.compile(r"\s*([a-z_]+)\s*(!?=)\s*(.*?)\s*")


class Unmatched(ValueError):  # noqa: N818 - handled where the place is known
    """A text that is no matcher; its words are what is wrong, `hint` the mend."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclasses.dataclass(frozen=True, slots=True)
class Matcher:
    """Says whether something an alert is known by is, or is not, like a pattern (`*`, `?`, `[abc]`).

    An alert that does not have it is known by an empty text there.
    """

    name: str
    pattern: str
    equal: bool = True

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Reads `name=pattern` or `name!=pattern`. Raises Unmatched."""
        found = FORM.fullmatch(text)
        if found is None:
            raise Unmatched(f"{text!r} is no matcher", 'such as "severity=critical" or "pipeline!=test-*"')
        if found[1] not in NAMES:
            raise Unmatched(f"an alert is not known by {found[1]!r}", one_of(found[1], NAMES))
        return cls(found[1], found[3], found[2] == "=")

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether it fits an alert of these labels."""
        return fnmatch.fnmatchcase(labels.get(self.name, ""), self.pattern) is self.equal

    def __str__(self) -> str:
        return f"{self.name}{'=' if self.equal else '!='}{self.pattern}"


def all_hold(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every one fits; none at all fits everything."""
    return all(each.holds(labels) for each in matchers)
