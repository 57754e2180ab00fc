"""Arrow tables as Polars frames."""

from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from rowkeeper.frames import frame_of

WIDE = pa.decimal256(60, 2)
NUMBER = Decimal("123456789012345678901234567890123456789012345678.90")


@pytest.mark.parametrize(
    ("kind", "cell", "shown"),
    [
        (WIDE, NUMBER, str(NUMBER)),
        (pa.list_(WIDE), [NUMBER, None], [str(NUMBER), None]),
        (pa.large_list(WIDE), [NUMBER], [str(NUMBER)]),
        (pa.struct([("a", pa.list_(WIDE))]), {"a": [NUMBER]}, {"a": [str(NUMBER)]}),
        (pa.map_(pa.string(), WIDE), [("a", NUMBER)], {"a": str(NUMBER)}),
    ],
)
def test_wide_decimals_come_as_text_with_every_digit(kind, cell, shown):
    frame = frame_of(pa.table({"x": pa.array([cell, None], kind)}))
    assert frame["x"].to_list() == [shown, None]


def test_all_else_comes_as_polars_takes_it():
    frame = frame_of(pa.table({"x": pa.array([Decimal("1.5")], pa.decimal128(38, 2)), "y": ["a"]}))
    assert frame.schema == {"x": pl.Decimal(38, 2), "y": pl.String}
