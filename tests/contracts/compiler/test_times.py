"""date, datetime, time and timedelta."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, Field, NaiveDatetime, PastDate, PastDatetime

from rowkeeper.contracts.compiler.isotime import _by_lengths, instants
from tests.contracts.compiler.agreeing import agree, decided, model_of
from tests.extent import examples

DATES = [
    *("2020-01-01", "2020-02-29", "2021-02-29", "2020-1-1", "1899-12-31", "1900-01-01", "2299-12-31", "2300-01-01"),
    *("0000-01-01", "0001-01-01", "9999-12-31", "+2020-01-01", " 2020-01-01", "2020-01-01 ", "2020-01-01T00:00:00"),
    *("2020-01-01T00:00:00Z", "2020-01-01T00:00:01", "1577836800", "0", "-1", "20200101", "2020/01/01", "2020-13-01"),
    *("2020-00-10", "2020-01-00", "2020-01-32", "2020-04-31", "\u0662020-01-01", "", "today"),
]
DAY = "2020-01-01"
TIMES = [
    *DATES,
    *(f"{DAY}T00:00:00", f"{DAY} 00:00:00", f"{DAY}t00:00:00", f"{DAY}_00:00:00", f"{DAY}T23:59:59", f"{DAY}T23:59:60"),
    *(f"{DAY}T24:00:00", f"{DAY}T00:60:00", f"{DAY}T00:00", f"{DAY}T00", f"{DAY}T00:00:00.", f"{DAY}T00:00:00.1"),
    *(f"{DAY}T00:00:00.123456", f"{DAY}T00:00:00.1234567", f"{DAY}T00:00:00,5", f"{DAY}T00:00:00.000001"),
    *(f"{DAY}T00:00:00Z", f"{DAY}T00:00:00z", f"{DAY}T00:00:00 Z", f"{DAY}T00:00:00+00:00", f"{DAY}T00:00:00-00:00"),
    *(f"{DAY}T00:00:00+05:30", f"{DAY}T00:00:00-05:30", f"{DAY}T00:00:00+05", f"{DAY}T00:00:00+0530"),
    *(f"{DAY}T00:00:00+14:59", f"{DAY}T00:00:00+15:00", f"{DAY}T00:00:00+23:59", f"{DAY}T00:00:00+24:00"),
    *(f"{DAY}T00:00:00.5+01:00", f"{DAY} 12:34:56.789-11:00", f"{DAY}T00:00:00+05:60", f"{DAY}T1:00:00"),
    *("1900-01-01T00:00:00Z", "1900-01-01T00:00:00+00:01", "2299-12-31T23:59:59.999999Z", "2299-12-31T23:59:59-00:01"),
    *("20000000000", "20000000001", "1577836800.5", "2021-02-29T00:00:00", "2020-02-29T00:00:00"),
]


@pytest.mark.parametrize(
    "annotation", [dt.date, Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), lt=dt.date(2100, 1, 1))], PastDate]
)
def test_date(annotation: Any):
    """ISO dates by column; midnights, epochs and the rest by Pydantic; the years that a column holds."""
    decided(annotation, DATES)
    days = [dt.date(1, 1, 1), dt.date(1900, 1, 1), dt.date(1899, 12, 31), dt.date(2020, 2, 29), dt.date(2299, 12, 31)]
    decided(annotation, days, pa.date32())
    decided(annotation, days, pa.date32(), strict=True)
    decided(annotation, [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 1)], pa.timestamp("us"))


def test_dates_are_decided():
    """The common cases need no Pydantic."""
    assert decided(dt.date, ["2020-01-01", "2020-02-29"]) == 5
    assert decided(dt.date, [dt.date(2020, 1, 1)], pa.date32()) == 3


@pytest.mark.parametrize("annotation", [dt.datetime, AwareDatetime, NaiveDatetime, PastDatetime])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Oslo", "+05:30"])
def test_datetime(annotation: Any, unit: str, zone: str | None):
    """Every unit and zone; nanoseconds are never cut off; the years that a column holds."""
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ticks = [
        0,
        1,
        -1,
        per,
        1_577_836_800 * per,
        1_577_836_800 * per + 1,
        -2_208_988_800 * per,
        -2_208_988_800 * per - 1,
    ]
    if unit != "ns":
        ticks += [10_413_792_000 * per - 1, 10_413_792_000 * per, 2**55 if unit == "us" else 2**40]
    array = pa.array([*ticks, None], pa.int64()).cast(pa.timestamp(unit, zone))
    agree(model_of(annotation), pa.table({"x": array}))
    agree(model_of(annotation | None), pa.table({"x": array}))


@pytest.mark.parametrize("annotation", [dt.datetime, AwareDatetime, NaiveDatetime])
def test_datetime_from_text(annotation: Any):
    """ISO times with seconds by column; leap seconds, short offsets, commas and epochs by Pydantic."""
    decided(annotation, TIMES)


NEARLY_TIMES = st.from_regex(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[T t_][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{0,7})?)?"
    r"(Z|z|[+-][0-9]{2}:?([0-9]{2})?)?\Z"
)


@st.composite
def damaged_times(draw: st.DrawFn) -> str:
    """A time with one character in the place of another."""
    text = draw(
        NEARLY_TIMES | st.sampled_from(TIMES) | st.datetimes().map(str) | st.datetimes().map(dt.datetime.isoformat)
    )
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from([*"0129:.TZ+- é", ""])) + text[at + 1 :]


@given(st.lists(damaged_times(), min_size=1, max_size=3), st.sampled_from([None, True, False]))
@settings(max_examples=examples(60, 2000), deadline=None)
def test_times_of_one_length_are_read_by_two_ways_alike(texts: list[str], zone: bool | None):
    """Arrow's parser, for columns whose texts are all of one form, agrees with the one for any column."""
    for column in ([texts[0]], texts):
        array = pa.array(column, pa.large_string())
        assert instants(pa.chunked_array([array]), zone=zone).to_list() == _by_lengths(array, zone).to_list()


def test_datetimes_are_decided():
    """The common cases need no Pydantic."""
    assert decided(dt.datetime, [f"{DAY}T00:00:00Z", f"{DAY} 01:02:03.5", f"{DAY}T01:02:03-05:30"]) == 7
    assert decided(dt.datetime, [dt.datetime(2020, 1, 1)], pa.timestamp("us")) == 3
    assert decided(NaiveDatetime, [dt.datetime(2020, 1, 1)], pa.timestamp("ms")) == 3


def test_time_and_timedelta():
    """In microseconds, as they are."""
    assert decided(dt.time, [dt.time(0), dt.time(23, 59, 59, 999_999)], pa.time64("us")) > 0
    decided(dt.time, [dt.time(0)], pa.time32("s"))
    decided(dt.time, ["00:00:00", "24:00"], pa.string())
    lasting = [dt.timedelta(0), dt.timedelta(days=-1, microseconds=1), dt.timedelta(days=100_000_000)]
    assert decided(dt.timedelta, lasting, pa.duration("us")) > 0
    decided(dt.timedelta, ["P1D", "1"], pa.string())
