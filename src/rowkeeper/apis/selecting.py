"""JSONPath (RFC 9535) over what an API answers, with numbers exact and records as they stand.

A path of names, indexes and `*` is walked over the text itself: a record keeps its bytes, as a line of an NDJSON file
does, so that null and absent stay apart and no digit is lost. Filters, slices and descents (`$..items[?@.id > 7]`) are
for python-jsonpath (the one maintained library that is strict about the RFC and needs nothing else; jsonpath-ng has a
grammar of its own): the answer is decoded with exact numbers, and what is found is written out again.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from rowkeeper.errors import ConfigurationError, DeclarationError

Raw = msgspec.Raw
Top = Mapping[str, Raw] | Sequence[Raw] | None
STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][\w-]*)|\[(?:'(?P<single>[^'\\\]]*)'|\"(?P<double>[^\"\\\]]*)\"|(?P<index>\d+))\]"
)
ALL = re.compile(r"\[\*\]|\.\*")
EXACT = msgspec.json.Decoder(float_hook=Decimal)
WRITER = msgspec.json.Encoder(decimal_format="number")
OBJECT = msgspec.json.Decoder(dict[str, Raw])
ARRAY = msgspec.json.Decoder(list[Raw])
BREAKS = bytes.maketrans(b"\r\n", b"  ")  # in JSON they stand between tokens alone


class _Missing:
    """Told apart from null, which is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class Unreadable(ValueError):  # noqa: N818 - reads as what it is
    """A text is not JSON."""


class Document:
    """One answer, or one record: its text, and what was made of it so far.

    Raises Unreadable, from any of its methods, if it is not JSON.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._top: Top = None

    @functools.cached_property
    def decoded(self) -> Any:
        """All of it, with numbers exact."""
        return decode(self.text)

    @property
    def top(self) -> Top:
        """Its members or elements; None if it is a scalar."""
        if self._top is None:
            self._top = _parts(self.text)
        return self._top


def decode(text: bytes | Raw) -> Any:
    """A JSON text as Python values, with numbers exact. Raises Unreadable."""
    try:
        return EXACT.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Unreadable(_said(error)) from None


def _said(error: Exception) -> str:
    """What is wrong with a text, without any of it."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "it breaks off" if "truncated" in str(error) else "it is not JSON"


def _parts(text: bytes | Raw) -> Top:
    first = bytes(memoryview(text)[:64]).lstrip()[:1] or bytes(text).lstrip()[:1]
    try:
        if first == b"{":
            return OBJECT.decode(text)
        if first == b"[":
            return ARRAY.decode(text)
        EXACT.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Unreadable(_said(error)) from None
    return None


def as_line(text: bytes | Raw) -> bytes:
    """A record as one line."""
    line = bytes(text)
    return line.translate(BREAKS) if b"\n" in line or b"\r" in line else line


@dataclasses.dataclass(frozen=True)
class Path:
    """A JSONPath, such as `$.items[*]` or `$.meta.next`. Raises DeclarationError for a text that is none."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.startswith("$"):
            raise DeclarationError(f"{self.text!r} is no JSONPath", hint='such as "$.items[*]"; it begins with $')
        if self.steps is None:
            self.library  # noqa: B018 - says whether it is one

    @functools.cached_property
    def steps(self) -> tuple[str | int | None, ...] | None:
        """Names, indexes, and None for all of them; None for a path that needs the library."""
        at = 1
        found: list[str | int | None] = []
        while at < len(self.text):
            every, step = ALL.match(self.text, at), STEP.match(self.text, at)
            match = every or step
            if match is None:
                return None
            if every is not None:
                found.append(None)
            else:
                names = [each for each in match.group("name", "single", "double") if each is not None]
                found.append(names[0] if names else int(match["index"]))
            at = match.end()
        return tuple(found)

    @functools.cached_property
    def library(self) -> Any:
        """Compiled by python-jsonpath."""
        try:
            import jsonpath  # noqa: PLC0415 - of an extra, and for few paths
        except ImportError as missing:
            raise ConfigurationError(
                f"the JSONPath {self.text} needs a library that is not installed", hint="pip install 'rowkeeper[http]'"
            ) from missing
        try:
            return jsonpath.JSONPathEnvironment(strict=True).compile(self.text)
        except jsonpath.JSONPathError:
            raise DeclarationError(f"{self.text!r} is no JSONPath", hint="RFC 9535 says what one is") from None

    def records(self, document: Document) -> list[bytes] | None:
        """What it leads to, each as a line of JSON; None if it leads nowhere.

        A list that is null is an empty one. Raises Unreadable.
        """
        if self.steps is None:
            return [WRITER.encode(each) for each in self.library.findall(document.decoded)]
        found = self._walked(document)
        return None if found is None else [as_line(each) for each in found]

    def value(self, document: Document) -> Any:
        """The first value it leads to, with numbers exact; MISSING if it leads nowhere. Raises Unreadable."""
        if self.steps is None:
            match = self.library.match(document.decoded)
            return MISSING if match is None else match.obj
        found = self._walked(document)
        return decode(found[0]) if found else MISSING

    def _walked(self, document: Document) -> list[bytes | Raw] | None:
        """None if a step leads nowhere; an empty list if there was a list, and it was empty, or null."""
        assert self.steps is not None
        if not self.steps:
            _ = document.top  # says whether it is JSON
            return [document.text]
        at: list[bytes | Raw] = [document.text]
        tops: list[Top] = [document.top]
        for number, step in enumerate(self.steps):
            if number:
                tops = [_parts(each) for each in at]
            several = [list(_taken(top, text, step)) for top, text in zip(tops, at, strict=True)]
            if any(each == [None] for each in several) and len(several) == 1:
                return None
            at = [each for group in several for each in group if each is not None]
        return at


def _taken(top: Top, text: bytes | Raw, step: str | int | None) -> Iterator[Raw | None]:
    """What a step takes; one None where it leads nowhere."""
    if step is None:
        if top is None:
            if bytes(text).strip() != b"null":
                yield None
        elif isinstance(top, Mapping):
            yield from top.values()
        else:
            yield from top
    elif isinstance(step, str):
        yield top.get(step) if isinstance(top, Mapping) else None
    else:
        yield top[step] if not isinstance(top, Mapping) and top is not None and step < len(top) else None
