"""Files of policies, taken apart: Cedar's parser says what is wrong and not where, so each policy is parsed alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy as it was written.

    Attributes:
        place: file and line where it begins, as `access/extra.cedar:12`.
        text: from its first annotation or word to its semicolon.
    """

    place: str
    text: str


def policies_in(text: str, file: str) -> Iterator[PolicyText]:
    """Takes a file apart at its semicolons, those in strings and comments left aside.

    What comes after the last semicolon, if it is more than comments and space, is given out as well: it cannot be
    parsed, which tells of a semicolon that was forgotten.
    """
    begun: int | None = None
    at, size = 0, len(text)
    while at < size:
        character = text[at]
        if text.startswith("//", at):
            at = _after(text, "\n", at)
            continue
        if begun is None and not character.isspace():
            begun = at
        if character == '"':
            at = _after_string(text, at)
            continue
        at += 1
        if character == ";" and begun is not None:
            yield _policy(text, file, begun, at)
            begun = None
    if begun is not None:
        yield _policy(text, file, begun, size)


def _policy(text: str, file: str, begun: int, end: int) -> PolicyText:
    return PolicyText(f"{file}:{text.count(chr(10), 0, begun) + 1}", text[begun:end])


def _after(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _after_string(text: str, at: int) -> int:
    """The place after a string literal that begins here; a backslash takes the next character with it."""
    at += 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1
