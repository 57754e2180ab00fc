"""The functions that SQLite lacks and connections of ours have: exact arithmetic, regular expressions, the row hash."""

from __future__ import annotations

import decimal
import functools
import hashlib
import re
import sqlite3
import struct
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

HASHED_AT_ONCE = 50  # columns: SQLite's functions take 127 arguments
EXACT = decimal.Context(prec=2_000)
HALF, WHOLE = 2**63, 2**64


def add_functions(connection: sqlite3.Connection) -> None:
    """Gives them to a connection."""
    for name, count, function in (
        ("rk_hash", -1, _row_hash),
        ("rk_add", 2, _add),
        ("rk_compare", 2, _compare),
        ("rk_matches", 2, _matches),
        ("rk_spread", 1, _spread),
        ("rk_day", 2, _day),
    ):
        connection.create_function(name, count, function, deterministic=True)
    connection.create_collation("rk_decimal", lambda one, other: _compare(one, other) or 0)
    aggregates: dict[str, Any] = {"rk_total": _Total, "rk_decimal_min": _Least, "rk_decimal_max": _Greatest}
    for name, aggregate in aggregates.items():
        connection.create_aggregate(name, 1, aggregate)


def _signed(number: int) -> int:
    return (number + HALF) % WHOLE - HALF


def _row_hash(*pairs: Any) -> int:
    """The sum, as a signed 64-bit number, of a hash for each column that is not null, of its name, type and value."""
    total = 0
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        match value:
            case None:
                continue
            case int():
                data = b"i%d" % value
            case float():
                data = b"r" + struct.pack("<d", value)
            case str():
                data = b"t" + value.encode("utf-8", "surrogatepass")
            case _:
                data = b"b" + value
        digest = hashlib.blake2b(name.encode() + b"\0" + data, digest_size=8).digest()
        total += int.from_bytes(digest, "little")
    return _signed(total)


def _add(one: int, other: int) -> int:
    return _signed(one + other)


def _spread(number: int) -> int:
    """A number that looks random, from 0 on: which rows a sample has depends on their addresses alone."""
    return int.from_bytes(hashlib.blake2b(b"%d" % number, digest_size=6).digest(), "little")


def _day(moment: str | None, zone: str) -> str | None:
    """The day of a time as a zone counts it; one without a zone is in UTC."""
    if moment is None:
        return None
    read = datetime.fromisoformat(moment)
    aware = read if read.tzinfo else read.replace(tzinfo=UTC)
    return aware.astimezone(ZoneInfo(zone)).date().isoformat()


def _compare(one: Any, other: Any) -> int | None:
    if one is None or other is None:
        return None
    first, second = decimal.Decimal(one), decimal.Decimal(other)
    return (first > second) - (first < second)


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _matches(pattern: str, text: Any) -> int | None:
    return None if text is None else int(_compiled(pattern).search(str(text)) is not None)


class _Total:
    """A sum that is exact, whatever its size: as text."""

    def __init__(self) -> None:
        self._sum: decimal.Decimal | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            self._sum = EXACT.add(self._sum or decimal.Decimal(0), decimal.Decimal(value))

    def finalize(self) -> str | None:
        return None if self._sum is None else f"{self._sum:f}"


class _Least:
    """The least of decimals that are texts."""

    def __init__(self) -> None:
        self._best: decimal.Decimal | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            found = decimal.Decimal(value)
            self._best = found if self._best is None else self._better(self._best, found)

    def finalize(self) -> str | None:
        return None if self._best is None else f"{self._best:f}"

    def _better(self, one: decimal.Decimal, other: decimal.Decimal) -> decimal.Decimal:
        return min(one, other)


class _Greatest(_Least):
    def _better(self, one: decimal.Decimal, other: decimal.Decimal) -> decimal.Decimal:
        return max(one, other)
