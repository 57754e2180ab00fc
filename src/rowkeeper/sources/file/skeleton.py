"""The skeleton of a JSON text: brackets, commas and colons with their depth, found a chunk at a time, by columns.

It is the first stage of simdjson (G. Langdale and D. Lemire, Parsing Gigabytes of JSON per Second, 2019) in numpy:
escaped characters, then quotes, whose parity says what is inside strings, then what is left of structure. Nothing is
decoded; whether what stands between is JSON is for others to say.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

QUOTE, BACKSLASH, NEWLINE, RETURN = 0x22, 0x5C, 0x0A, 0x0D
BROKEN = 0x01  # in the place of a line break inside a string, where none may be: it stays no JSON
DELTA = np.zeros(256, np.int8)
DELTA[[0x7B, 0x5B]] = 1
DELTA[[0x7D, 0x5D]] = -1
IS_STRUCTURE = DELTA != 0
IS_STRUCTURE[[0x2C, 0x3A]] = True


@dataclasses.dataclass(frozen=True, slots=True)
class Bones:
    """The structure of a chunk.

    Attributes:
        text: the chunk, with blanks for line breaks.
        places: where the marks are in it, ascending.
        marks: which they are, as bytes.
        depths: how many brackets are open after each.
    """

    text: bytes
    places: Any
    marks: Any
    depths: Any


class Skeleton:
    """What is open at the end of a chunk is remembered for the next.

    Attributes:
        depth: how many brackets are open.
        in_string: whether a string is.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self._is_escaped = False  # the next character

    def bones(self, chunk: bytes) -> Bones:
        """The structure of the next chunk."""
        signs = np.frombuffer(chunk, np.uint8)
        quotes = signs == QUOTE
        self._without_escaped(signs, quotes)
        inside = (np.cumsum(quotes, dtype=np.uint8) + np.uint8(self.in_string)) & np.uint8(1)
        breaks = (signs == NEWLINE) | (signs == RETURN)
        text = chunk
        if breaks.any():
            copied = signs.copy()
            copied[breaks] = np.where(inside[breaks], np.uint8(BROKEN), np.uint8(0x20))
            text = copied.tobytes()
        places = np.flatnonzero(IS_STRUCTURE[signs] & (inside == 0))
        marks = signs[places]
        depths = self.depth + np.cumsum(DELTA[marks], dtype=np.int64)
        if len(inside):
            self.in_string = bool(inside[-1])
        if len(depths):
            self.depth = int(depths[-1])
        return Bones(text, places, marks, depths)

    def _without_escaped(self, signs: Any, quotes: Any) -> None:
        """Takes escaped quotes out, and remembers whether the chunk ends in the middle of an escape.

        In a run of backslashes the first escapes the second, the third the fourth, the last of an odd number what
        follows.
        """
        strokes = np.flatnonzero(signs == BACKSLASH)
        if self._is_escaped and len(signs):
            quotes[0] = self._is_escaped = False
            strokes = strokes[1:] if len(strokes) and strokes[0] == 0 else strokes
        if not len(strokes):
            return
        order = np.arange(len(strokes))
        begins = np.ones(len(strokes), bool)
        begins[1:] = strokes[1:] != strokes[:-1] + 1
        in_run = order - np.maximum.accumulate(np.where(begins, order, 0))
        escaped = strokes[in_run % 2 == 0] + 1
        self._is_escaped = bool(escaped[-1] == len(signs))
        quotes[escaped[: len(escaped) - self._is_escaped]] = False
