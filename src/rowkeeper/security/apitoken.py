"""The form of API tokens: `rkt_`, 43 random letters and digits, and 6 more that are a checksum of those.

The prefix and the checksum let a scanner say for certain that a text is one (as those of GitHub do), and let a server
turn a mistyped one away without asking its ledger.
"""

from __future__ import annotations

import re
import string
import zlib
from collections.abc import Callable

PREFIX = "rkt_"
LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LETTERS = 43  # of 62: 256 bits
CHECK_LETTERS = 6  # of 62: more than 32 bits
SHAPE = re.compile(rf"\b{PREFIX}[0-9A-Za-z]{{{RANDOM_LETTERS + CHECK_LETTERS}}}\b")


def new_token(random_below: Callable[[int], int]) -> str:
    """A token that nobody can guess.

    Args:
        random_below: a random number below this one, such as `secrets.randbelow`.
    """
    body = "".join(LETTERS[random_below(len(LETTERS))] for _ in range(RANDOM_LETTERS))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, its checksum included."""
    if SHAPE.fullmatch(text) is None:
        return False
    body = text.removeprefix(PREFIX)
    return _checksum(body[:RANDOM_LETTERS]) == body[RANDOM_LETTERS:]


def holds_token(text: str) -> bool:
    """Whether there is one somewhere in a text."""
    return PREFIX in text and any(is_token(each) for each in SHAPE.findall(text))


def _checksum(body: str) -> str:
    """CRC-32 in base 62, as long as the largest one."""
    rest, letters = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_LETTERS):
        rest, digit = divmod(rest, len(LETTERS))
        letters = LETTERS[digit] + letters
    return letters
