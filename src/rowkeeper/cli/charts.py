"""Small charts of characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

LEVELS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"


def spark(counts: Sequence[int]) -> str:
    """A histogram in one line; an empty bar is a space, any other at least the lowest one."""
    most = max(counts, default=0)
    if not most:
        return ""
    return "".join(" " if not count else LEVELS[max(0, -(-count * len(LEVELS) // most) - 1)] for count in counts)


def bar(share: float, width: int = 8) -> str:
    """A share as a bar of `width` characters; what is more than nothing is to be seen."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)
