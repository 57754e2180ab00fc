"""bool, int, float and Decimal: the columns say what Pydantic says, near every edge."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from tests.contracts.compiler.agreeing import decided
from tests.extent import examples

INT_TEXT = [
    *(
        "0",
        "7",
        "-7",
        "007",
        "-0",
        "+1",
        " 1",
        "1 ",
        "\x1c1",
        "1_000",
        "1.0",
        "1.",
        "1e3",
        "0x10",
        "",
        "-",
        "--1",
        "1-",
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "999999999999999999", "\u0661", "\uff11"),
    *("1" * 30, "true", "nan", "1\n", "1,0", "\x001"),
]
FLOAT_TEXT = [
    *INT_TEXT,
    *("1.5", "-1.5", ".5", "5.", "0.1", "-0.0", "1e400", "-1e400", "1e-400", "inf", "-Infinity", "NaN", "nan(1)"),
    *("123456789012345.123456789012345", "0.30000000000000004", "1_0.5", "1.5.5", "1,5", "\u0661.\u0665", "1.5f"),
    *("9007199254740993", "0.000000000000001", "999999999999999.9"),
]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    1.5,
    -1.5,
    0.1,
    1e308,
    5e-324,
    2.0**53,
    2.0**63,
    -(2.0**63),
    2.0**62,
    float("inf"),
    float("nan"),
]
WORDS = [
    *("true", "TRUE", "True", "t", "T", "yes", "Y", "on", "oN", "1", "0", "f", "False", "no", "N", "OFF", "off"),
    *(" true", "true ", "", "2", "-1", "ja", "\u0130", "ye\u017f", "fal\u017fe", "o\ufb00", "tr\xfce", "1.0", "TRUE\n"),
]


@pytest.mark.parametrize(
    ("values", "type"),
    [([True, False], pa.bool_()), ([0, 1, 2, -1], pa.int64()), ([0, 1, 255], pa.uint8()), (WORDS, pa.string())],
)
def test_bool(values: list[Any], type: pa.DataType):
    """True and false, 0 and 1, and Pydantic's words in any case."""
    assert decided(bool, values, type) > 2
    decided(bool, values, type, strict=True)


@pytest.mark.parametrize("annotation", [int, Annotated[int, Field(ge=0, lt=8)], Annotated[int, Field(multiple_of=7)]])
@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([0, 7, -7, 2**63 - 1, -(2**63)], pa.int64()),
        ([0, 7, -7, 127, -128], pa.int8()),
        ([0, 7, 2**63 - 1, 2**63, 2**64 - 1], pa.uint64()),
        (FLOATS, pa.float64()),
        ([0.0, 1.0, 7.0, 1.5, 16777217.0, float("nan")], pa.float32()),
        (INT_TEXT, pa.string()),
        (INT_TEXT, pa.large_string()),
        (INT_TEXT * 2, pa.dictionary(pa.int32(), pa.string())),
    ],
)
def test_int(annotation: Any, values: list[Any], type: pa.DataType):
    """Integers of every width, integral floats, digits; never 0x10 as 16 nor 1.5 as 1."""
    assert decided(annotation, values, type) > 0
    decided(annotation, values, type, strict=True)


# What looks like a number, to somebody.
NUMBERLIKE = st.one_of(
    st.text("0123456789+-._eEinfatyN \u0661", max_size=12),
    st.floats().map(repr),
    st.floats().map(lambda number: f"{number:.30e}"),
    st.integers().map(str),
    st.from_regex(r"[+-]?[0-9]{0,40}\.?[0-9]{0,40}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.integers(900, 4400).map(lambda zeros: "0" * zeros + "7"),
)


@settings(max_examples=examples(20, 200), deadline=None)
@given(st.lists(NUMBERLIKE, min_size=50, max_size=100))
def test_int_from_text(texts: list[str]):
    """Whatever text the columns take for an integer is that integer to Pydantic."""
    decided(int, texts, pa.string())


@settings(max_examples=examples(20, 200), deadline=None)
@given(st.lists(NUMBERLIKE, min_size=50, max_size=100))
def test_float_from_text(texts: list[str]):
    """Whatever text the columns take for a float is that float to Pydantic, to the last bit."""
    decided(float, texts, pa.string())
    decided(Annotated[float, Field(allow_inf_nan=False, le=1e300)], texts, pa.string())


@pytest.mark.parametrize(
    "annotation",
    [
        float,
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(gt=-1.5, le=0.1)],
        Annotated[float, Field(lt=1.5)],
        Annotated[float, Field(allow_inf_nan=False)],
    ],
)
@pytest.mark.parametrize(
    ("values", "type"),
    [
        (FLOATS, pa.float64()),
        ([0.1, -0.0, 1.5, float("nan"), float("inf"), -1.5], pa.float32()),
        ([0, 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1], pa.int64()),
        ([0, 1, -1, 2**31 - 1], pa.int32()),
        ([0, 2**53 + 1, 2**64 - 1], pa.uint64()),
        (FLOAT_TEXT, pa.string()),
    ],
)
def test_float(annotation: Any, values: list[Any], type: pa.DataType):
    """To the last bit; NaN fails every bound; a 32-bit 0.1 is not at most 0.1."""
    assert decided(annotation, values, type) > 0
    decided(annotation, values, type, strict=True)


DECIMAL_TEXT = [
    *FLOAT_TEXT,
    "1.005",
    "1.00",
    "1.0",
    "100",
    "99999",
    "999.99",
    "1000.00",
    "0.00",
    "-0.00",
    "00.1",
    "1E+2",
]


@pytest.mark.parametrize(
    "annotation",
    [
        Decimal,
        Annotated[Decimal, Field(max_digits=5, decimal_places=2)],
        Annotated[Decimal, Field(max_digits=5, decimal_places=2, gt=0, le=Decimal("100.5"))],
        Annotated[Decimal, Field(decimal_places=0)],
    ],
)
@pytest.mark.parametrize(
    ("values", "type"),
    [
        (
            [Decimal("0.00"), Decimal("1.50"), Decimal("-1.50"), Decimal("100.50"), Decimal("100.51")],
            pa.decimal128(5, 2),
        ),
        ([Decimal(1), Decimal(999)], pa.decimal128(3, 0)),
        ([Decimal("1.005"), Decimal("99999.999")], pa.decimal128(8, 3)),
        (DECIMAL_TEXT, pa.string()),
    ],
)
def test_decimal(annotation: Any, values: list[Any], type: pa.DataType):
    """Never rounded: 1.005 is not 1.00; raw or normalised digits must fit, as Pydantic has it."""
    decided(annotation, values, type)


def test_decimals_are_decided():
    """The common cases need no Pydantic."""
    money = Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
    assert decided(money, [Decimal("1.50")], pa.decimal128(5, 2)) == 3
    assert decided(money, ["1.50", "-7", "123.4"], pa.string()) == 7
