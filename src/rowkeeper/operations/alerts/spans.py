"""Spans of time as people write them: `90s`, `15m`, `26h`, `7d`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta

PART = re.compile(r"(\d{1,6})\s*([smhdw])")
WHOLE = re.compile(r"(?:\d{1,6}\s*[smhdw]\s*)+")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORM = "such as 90s, 15m, 26h, 7d or 1h30m"


def span(text: str) -> timedelta | None:
    """A span; None for what is none."""
    if not WHOLE.fullmatch(text.strip()):
        return None
    return timedelta(seconds=sum(int(count) * SECONDS[unit] for count, unit in PART.findall(text)))


def spoken(length: timedelta) -> str:
    """`26h`, `1h30m`, `0s`: the two greatest units that it has."""
    left = int(length.total_seconds())
    parts = []
    for unit, seconds in sorted(SECONDS.items(), key=lambda each: -each[1]):
        if unit != "w" and left >= seconds:
            parts.append(f"{left // seconds}{unit}")
            left %= seconds
    return "".join(parts[:2]) or "0s"
