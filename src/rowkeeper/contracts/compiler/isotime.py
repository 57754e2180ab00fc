"""ISO 8601 times as text, read a column at a time.

The form is narrow, and Pydantic reads it the same way: date, `T` or a space, time with seconds, up to six digits of a
fraction, and `Z` or an offset or nothing. Texts of one length and shape are one matrix of bytes, so that the work is
a few dozen operations on whole columns. A general parser takes ten times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

HEAD_BYTES = 19  # 2020-01-01T00:00:00
ZONE_BYTES = 6  # +05:30
LENGTH_MAX = HEAD_BYTES + 7 + ZONE_BYTES
MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int32)
DAYS_BEFORE_1970 = 719_468
YEAR_ONE_MICROS = -62_135_596_800_000_000
OFFSET_HOURS_MAX = 14

Bytes = NDArray[np.uint8]
Ints = NDArray[np.signedinteger[Any]]
Mask = NDArray[np.bool_]


def instants(texts: pa.ChunkedArray[Any], *, zone: bool | None) -> pl.Series:
    """Microseconds since 1970 in UTC, null for what is of another form; a time without a zone counts as UTC.

    Args:
        texts: a column of text.
        zone: True takes texts with a zone only, False those without one only, None both.
    """
    parts = [_of_chunk(chunk, zone) for chunk in texts.cast(pa.large_string()).chunks if len(chunk)]
    return pl.concat(parts) if parts else pl.Series([], dtype=pl.Int64)


def _of_chunk(texts: Any, zone: bool | None) -> pl.Series:
    offsets, data = _buffers(texts)
    length = int(offsets[1] - offsets[0])
    is_matrix = not texts.null_count and length >= HEAD_BYTES and bool((np.diff(offsets) == length).all())
    if is_matrix:  # all of one length: they lie in memory as a matrix
        matrix = data[offsets[0] : offsets[-1]].reshape(-1, length)
        quick = _by_arrow(texts, matrix, zone)
        return _series(*_of_one_length(matrix, zone)) if quick is None else quick
    return _by_lengths(texts, zone)


def _buffers(texts: Any) -> tuple[NDArray[np.int64], Bytes]:
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)


def _by_arrow(texts: Any, matrix: Bytes, zone: bool | None) -> pl.Series | None:
    """The same by Arrow, four times as quickly, where all texts are of the form with `Z` or without a zone.

    Of the forms that Arrow takes, those of another shape than ours are sorted out by a look at four bytes; it says
    nothing of single texts, so None is returned if any is of another form.
    """
    length = matrix.shape[1]
    zoned = bool((matrix[:, -1] == ord("Z")).all())
    fraction = length - zoned - HEAD_BYTES
    if (zone is not None and zone != zoned) or fraction not in (0, 2, 3, 4, 5, 6, 7):
        return None
    if not (matrix[:, 16] == ord(":")).all() or (fraction and not (matrix[:, HEAD_BYTES] == ord(".")).all()):
        return None
    if not ((matrix[:, 10] == ord("T")) | (matrix[:, 10] == ord(" "))).all():
        return None
    try:
        times = texts.cast(pa.timestamp("us", "UTC" if zoned else None))
    except pa.ArrowInvalid:
        return None
    micros = pl.Series(times.view(pa.int64()))
    return micros if micros.min() >= YEAR_ONE_MICROS else None  # type: ignore[operator]


def _by_lengths(texts: Any, zone: bool | None) -> pl.Series:
    """Texts of several lengths, one length after the other."""
    offsets, data = _buffers(pc.fill_null(texts, ""))
    lengths = np.diff(offsets)
    micros = np.zeros(len(lengths), np.int64)
    good = np.zeros(len(lengths), np.bool_)
    for length in range(HEAD_BYTES, LENGTH_MAX + 1):
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            micros[rows], good[rows] = _of_one_length(data[offsets[rows][:, None] + np.arange(length)], zone)
    return _series(micros, good)


def _series(micros: Ints, good: Mask) -> pl.Series:
    series = pl.Series(micros)
    return series if good.all() else series.set(pl.Series(~good), None)


def _of_one_length(texts: Bytes, zone: bool | None) -> tuple[Ints, Mask]:
    matrix = np.ascontiguousarray(texts.T)  # a row for each place of the texts
    micros, good = _head(matrix)
    tail = matrix[HEAD_BYTES:]
    rest_micros = np.zeros(len(micros), np.int64)
    rest_good = np.zeros(len(micros), np.bool_)
    for zone_bytes in {None: (0, 1, ZONE_BYTES), True: (1, ZONE_BYTES), False: (0,)}[zone]:
        fraction_bytes = len(tail) - zone_bytes
        if fraction_bytes == 1 or not 0 <= fraction_bytes <= 7:
            continue
        fraction, fits = _fraction(tail[:fraction_bytes])
        east, has_zone = _zone(tail[fraction_bytes:])
        fits &= has_zone
        rest_micros = np.where(fits, fraction - east, rest_micros)
        rest_good |= fits
    return micros + rest_micros, good & rest_good


def _head(matrix: Bytes) -> tuple[Ints, Mask]:
    """Date and time without fraction and zone, in microseconds."""
    good = _is(matrix, 4, "-") & _is(matrix, 7, "-") & _is(matrix, 13, ":") & _is(matrix, 16, ":")
    good &= _is(matrix, 10, "T") | _is(matrix, 10, " ")
    parts = []
    for first, last in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)):
        number, digits = _number(matrix[first:last])
        parts.append(number)
        good &= digits
    year, month, day, hour, minute, second = parts
    good &= (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 59) & (year >= 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (day >= 1) & (day <= MONTH_DAYS[np.clip(month, 0, 12)]) & ((month != 2) | (day != 29) | leap)
    second_of_day = hour * 3_600 + minute * 60 + second
    seconds = _days(year, month, day).astype(np.int64) * 86_400 + second_of_day
    return seconds * 1_000_000, good


def _days(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days since 1970, with years that begin in March so that the leap day comes last (Howard Hinnant's algorithm)."""
    shifted = year - (month <= 2)
    era, month_from_march = shifted // 400, (month + 9) % 12
    year_of_era = shifted - era * 400
    day_of_year = (153 * month_from_march + 2) // 5 + day - 1
    days: Ints = era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return days - DAYS_BEFORE_1970


def _fraction(tail: Bytes) -> tuple[Ints, Mask]:
    if not len(tail):
        return _nothing(tail)
    number, digits = _number(tail[1:])
    return number * 10 ** (7 - len(tail)), digits & _is(tail, 0, ".")


def _nothing(tail: Bytes) -> tuple[Ints, Mask]:
    return np.zeros(tail.shape[1], np.int64), np.ones(tail.shape[1], np.bool_)


def _zone(tail: Bytes) -> tuple[Ints, Mask]:
    """Microseconds east of UTC."""
    if not len(tail):
        return _nothing(tail)
    if len(tail) == 1:
        return _nothing(tail)[0], _is(tail, 0, "Z")
    hours, hour_digits = _number(tail[1:3])
    minutes, minute_digits = _number(tail[4:6])
    west = _is(tail, 0, "-")
    good = (west | _is(tail, 0, "+")) & _is(tail, 3, ":") & hour_digits & minute_digits
    good &= (hours <= OFFSET_HOURS_MAX) & (minutes <= 59)
    east = (hours * 60 + minutes).astype(np.int64) * 60_000_000
    return np.where(west, -east, east), good


def _is(matrix: Bytes, place: int, sign: str) -> Mask:
    same: Mask = matrix[place] == ord(sign)
    return same


def _number(digits: Bytes) -> tuple[Ints, Mask]:
    """The number that some digits make, and whether they are digits."""
    values = digits - np.uint8(ord("0"))  # what is below "0" wraps around, and is too large
    number = np.zeros(digits.shape[1], np.int32)  # six digits at most
    for place in values:
        number = number * 10 + place
    return number, np.asarray(values.max(axis=0) <= 9, np.bool_)
