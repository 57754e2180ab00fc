"""Probes by hand for every line of what is known of Pydantic's verdicts, in each input mode.

Each line lists the traps that a column engine has fallen into: text as CSV has it, typed columns, JSON values. For all
of them the compiler says what Pydantic says: verdict, value, errors.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pytest
from pydantic import (
    UUID4,
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    StringConstraints,
    WrapValidator,
    create_model,
)

from tests.contracts.compiler.agreeing import agree, agree_on_documents


class Colour(Enum):
    RED = "red"
    ONE = 1


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Guessing(Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> Guessing | None:
        return cls.RED if value == "rot" else None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    lives: Annotated[int, Field(le=1)]


class Point(BaseModel):
    x: int
    y: float = 0.5


def _refuse_odd(value: Any) -> Any:
    if isinstance(value, int) and value % 2:
        raise ValueError("odd")
    return value


def _look_up(value: Any) -> Any:
    return {"1": 1, 1: 1}[value]  # a KeyError escapes from Pydantic as an exception


def _twice(value: Any, handler: Any) -> Any:
    return handler(value) * 2


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the notes.

    Attributes:
        annotations: the fields it is about.
        texts: cells of text.
        columns: typed columns, each as its values and its type.
        tokens: JSON values as they are written.
    """

    name: str
    annotations: Sequence[Any]
    texts: Sequence[str] = ()
    columns: Sequence[tuple[list[Any], pa.DataType]] = ()
    tokens: Sequence[str] = ()


NUMBERS = ["0", "-0", "1", "-7", "1.0", "1.5", "1e3", "1e400", "-1e400", "9223372036854775807", "9223372036854775808"]
INT_TEXTS = [
    *("1", "+1", "007", "1_000", "1.0", "1.", "1e3", "0x10", "0b1", "\u0661", "\u2003 1 \u2003", " 1", "1\n", "\x1c1"),
    *("", "-", "1_", "_1", "1__0", "0" * 4300, "0" * 4301, "9" * 4300, "1" * 19, "true", "nan"),
]
EPOCHS = [
    "0",
    "1",
    "20000000000",
    "20000000001",
    "-20000000001",
    "1e3",
    "1.5",
    "1577836800",
    "1577836800.000001",
    "nan",
]
TIMES = [
    *("2020-01-01T00:00:00", "2020-01-01t00:00:00z", "2020-01-01 00:00:00", "2020-01-01_00:00:00", "2020-01-01"),
    *("2020-01-01T00:00:00,123456", "2020-01-01T00:00:00.123456789", "2020-01-01T00:00:60", "2020-01-01T24:00:00"),
    *("2020-01-01T00:00:00+05", "2020-01-01T00", "2020-01-01T00:00", "+2020-01-01T00:00:00", " 2020-01-01T00:00:00"),
    *("2020-01-01T00:00:00+05:30", "2020-01-01T00:00:00-23:59", "2020-01-01T00:00:00+24:00", "2020-02-30T00:00:00"),
    *("1899-12-31T23:59:59", "2300-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59", "2020-1-1T0:0:0"),
    *("2020-01-01T00:00:00\u2212" + "05:00", "\u0662020-01-01T00:00:00", "2020-01-01T00:00:00 Z", *EPOCHS),
]
DATES = [
    *(
        "2020-01-01",
        "2020-1-1",
        "2020-02-30",
        "2020-01-01T00:00:00",
        "2020-01-01T00:00:00+05:00",
        "2020-01-01T00:00:01",
    ),
    *("0", "86400", "86401", "1577836800", "1577836800000", "+2020-01-01", " 2020-01-01", "1899-12-31", "20200101"),
]
WORDS = [
    *("0", "f", "n", "no", "off", "false", "1", "t", "y", "on", "yes", "true", "TRUE", "oFF", " true", "true ", "2"),
    *("\u0130", "ye\u017f", "", "wahr", "1.0", "-1", "tr\xfce"),
]
INSTANTS = [0, 1, -1, 1_577_836_800_123_456, -2_208_988_800_000_000, 10_413_791_999_999_999, 10_413_792_000_000_000]

LINES = [
    Line(
        "text or a float to int",
        [int, Annotated[int, Field(ge=1)], Annotated[int, Field(multiple_of=7)], int | None],
        INT_TEXTS,
        [
            ([1.0, 1.5, -0.0, float("nan"), float("inf"), 2.0**62, 2.0**63, -(2.0**63), 1e300], pa.float64()),
            ([0.1, 16777217.0, 3.0, float("nan")], pa.float32()),
            ([True, False], pa.bool_()),
            ([Decimal("1.00"), Decimal("1.50"), Decimal(-7)], pa.decimal128(6, 2)),
            ([0, 2**63, 2**64 - 1], pa.uint64()),
        ],
        [*NUMBERS, "true", '"1"', '"1.0"', '" 1 "', "null", "[1]", "{}", "-0.0", "1" * 30],
    ),
    Line(
        "text to float",
        [float, Annotated[float, Field(allow_inf_nan=False)], float | None],
        [
            "nan",
            "NaN",
            "inf",
            "-Infinity",
            "1e400",
            "1_0.5",
            "1_",
            "nan(1)",
            ".5",
            "5.",
            "1e5",
            "0x1p3",
            " 1.5 ",
            "\u0661",
        ],
        [([1, 2**53, 2**53 + 1, -(2**63)], pa.int64()), ([True], pa.bool_())],
        [*NUMBERS, "NaN", "Infinity", '"nan"', '"1e400"', "9007199254740993", "true", "null"],
    ),
    Line(
        "NaN and bounds",
        [
            Annotated[float, Field(ge=0)],
            Annotated[float, Field(lt=1)],
            Annotated[float, Field(gt=-1, le=float("inf"))],
            Annotated[float, Field(multiple_of=0.1)],
        ],
        ["nan", "inf", "-inf", "0", "-0.0", "0.30000000000000004"],
        [([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 0.3, 0.30000000000000004, 1e-10], pa.float64())],
        ["NaN", "Infinity", "-Infinity", "0", "-0.0", "0.3"],
    ),
    Line(
        "float32 is compared as a 64-bit float",
        [Annotated[float, Field(le=0.1)], Annotated[float, Field(multiple_of=0.1)], float],
        ["0.1"],
        [([0.1, 0.0, 1e30, float("nan")], pa.float32()), ([0.5, 0.0], pa.float16())],
    ),
    Line(
        "words for bool",
        [bool, bool | None],
        WORDS,
        [([0, 1, 2, -1], pa.int64()), ([0.0, 1.0, 0.5], pa.float64())],
        ["true", "false", "0", "1", "2", "1.0", '"yes"', '" yes"', "null", "[]"],
    ),
    Line(
        "Decimal",
        [
            Decimal,
            Annotated[Decimal, Field(max_digits=4, decimal_places=2)],
            Annotated[Decimal, Field(decimal_places=2)],
        ],
        [
            "1.005",
            "1.00",
            "100.00",
            "0100.0",
            "1E+2",
            "1_0",
            "_1",
            "\u0661",
            "nan",
            "inf",
            " 1 ",
            "-0",
            "00.10",
            "1e400",
        ],
        [
            ([True], pa.bool_()),
            ([1, 2**63 - 1], pa.int64()),
            ([0.1, 1.005, float("nan")], pa.float64()),
            ([Decimal("1.005"), Decimal("100.000")], pa.decimal128(9, 3)),
        ],
        ["1.005", "1.00", "100", "true", '"1.00"', "1e2", "NaN", "null"],
    ),
    Line(
        "times from text and epochs",
        [dt.datetime, AwareDatetime, NaiveDatetime, dt.datetime | None],
        TIMES,
        [
            ([0, 20_000_000_000, 20_000_000_001, -20_000_000_001], pa.int64()),
            ([0.5, 1577836800.123456, float("nan")], pa.float64()),
            ([dt.date(2020, 1, 1), dt.date(1899, 12, 31)], pa.date32()),
        ],
        [*(json.dumps(each) for each in TIMES), "0", "20000000001", "1.5", "true", "null"],
    ),
    Line(
        "dates",
        [dt.date, Annotated[dt.date, Field(ge=dt.date(2020, 1, 1))], dt.date | None],
        DATES,
        [([0, 86_400, 86_401], pa.int64()), (INSTANTS, pa.timestamp("us")), (INSTANTS, pa.timestamp("us", "UTC"))],
        [*(json.dumps(each) for each in DATES), "0", "86400", "86401", "1.5"],
    ),
    Line(
        "time zones",
        [
            dt.datetime,
            AwareDatetime,
            NaiveDatetime,
            Annotated[dt.datetime, Field(ge=dt.datetime(2020, 1, 1))],
            Annotated[dt.datetime, Field(ge=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))],
        ],
        ["2020-01-01T00:00:00+05:30", "2020-01-01T00:00:00", "2019-12-31T23:00:00-02:00"],
        [
            (INSTANTS, pa.timestamp("us")),
            (INSTANTS, pa.timestamp("us", "UTC")),
            (INSTANTS[:4], pa.timestamp("us", "Europe/Oslo")),
            (INSTANTS[:4], pa.timestamp("us", "+05:30")),
        ],
        ['"2020-01-01T00:00:00+05:30"', '"2020-01-01T00:00:00"'],
    ),
    Line(
        "nanoseconds",
        [dt.datetime, dt.time, dt.timedelta],
        ["2020-01-01T00:00:00.123456789", "00:00:00.123456789", "P1DT0.123456789S"],
        [
            ([0, 1, 1000, 1001], pa.timestamp("ns")),
            ([0, 1, 1000, 1001], pa.timestamp("ns", "UTC")),
            ([0, 1, 1000], pa.time64("ns")),
            ([0, 1, 1000], pa.duration("ns")),
        ],
        ['"00:00:00.1234567"', '"PT0.1234567S"'],
    ),
    Line(
        "text",
        [
            str,
            Annotated[str, Field(min_length=1, max_length=2)],
            Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern="^a", to_upper=True)],
        ],
        [
            "",
            "a",
            "ab",
            "abc",
            "\u00e9",
            "e\u0301",
            "\U0001f600\U0001f600",
            " a ",
            "\x1ca\x1c",
            "\u2003a",
            "\u0130",
            "A",
            "\x85a",
        ],
        [
            ([1], pa.int64()),
            ([1.5], pa.float64()),
            ([b"a", b"\xff"], pa.binary()),
            (["a", "a", "b"], pa.dictionary(pa.int8(), pa.string())),
        ],
        ['"a"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', "1", "true", "null", '" a "'],
    ),
    Line(
        "regular expressions",
        [
            Annotated[str, Field(pattern=r"\d")],
            Annotated[str, Field(pattern="a$")],
            Annotated[str, Field(pattern="^a.c$")],
            Annotated[str, Field(pattern=r"\bx\b")],
            Annotated[str, Field(pattern="(?i)stra\u00dfe")],
        ],
        ["1", "\u0661", "a", "a\n", "ba", "abc", "a\nc", "x y", "\u00e9x", "STRASSE", "stra\u1e9ee", ""],
        (),
        ['"1"', '"\\u0661"', '"a\\n"', '"a"', '"abc"'],
    ),
    Line(
        "Literal and Enum",
        [Literal[1], Literal["1"], Literal[1, "red"], Literal[True], Colour, Level, Rights, Guessing],
        ["1", " 1 ", "red", "rot", "Red", "2", "3", "RED"],
        [
            ([1, 2, 3, 0, 7], pa.int64()),
            ([1.0, 2.5], pa.float64()),
            ([True, False], pa.bool_()),
            ([Decimal(1), Decimal(2)], pa.decimal128(3, 0)),
        ],
        ["1", "1.0", "true", '"1"', '"red"', '"rot"', "3", "null"],
    ),
    Line(
        "Union",
        [int | str, str | int, float | bool, int | float | None, bool | Literal["x"]],
        ["1", "x", "1.5", "true"],
        [([1], pa.int64()), ([1.0, 1.5], pa.float64()), ([True], pa.bool_())],
        ["1", '"1"', "1.5", "true", "null"],
    ),
    Line(
        "discriminated union",
        [Annotated[Cat | Dog, Field(discriminator="kind")]],
        ["cat"],
        [
            (
                [{"kind": "cat", "lives": 9}, {"kind": "dog", "lives": 2}, {"kind": "cow", "lives": 1}, {"kind": None}],
                pa.struct([("kind", pa.string()), ("lives", pa.int64())]),
            )
        ],
        ['{"kind":"cat","lives":"9"}', '{"kind":"dog","lives":2}', '{"kind":"CAT"}', "{}", "[]"],
    ),
    Line(
        "nested",
        [Point, list[Point], list[int], Annotated[set[int], Field(min_length=2)], tuple[int, str], dict[str, int]],
        ["[1]"],
        [
            ([{"x": 1, "y": 2.0}, {"x": None, "y": 1.0}], pa.struct([("x", pa.int64()), ("y", pa.float64())])),
            ([[1, 1], [1, 2], [], [None]], pa.list_(pa.int64())),
            ([["1", "a"], ["1"]], pa.list_(pa.string())),
            ([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        ],
        ['{"x":1}', '{"x":"1","y":null}', "[1,1]", "[1,2]", '["1","a"]', '{"a":1}', '[{"x":1}]', "null"],
    ),
    Line(
        "UUID",
        [UUID, UUID4],
        [
            *("00000000-0000-0000-0000-000000000007", "{00000000-0000-0000-0000-000000000007}", "0" * 31 + "7"),
            *("urn:uuid:00000000-0000-0000-0000-000000000007", "00000000-0000-4000-8000-000000000007", "0" * 33),
            *("00000000-0000-4000-c000-000000000007", "0000000000000000-0000-0000-00000007", "G" * 32),
        ],
        [([UUID(int=7).bytes, b"short"], pa.binary())],
        ['"00000000-0000-4000-8000-000000000007"', "7"],
    ),
    Line(
        "validators of Python's",
        [
            Annotated[int, AfterValidator(_refuse_odd)],
            Annotated[int, BeforeValidator(_look_up)],
            Annotated[int, WrapValidator(_twice)],
            Annotated[str, AfterValidator(str.title), Field(max_length=3)],
        ],
        ["1", "2", "x", "abcd"],
        [([1, 2, 3], pa.int64())],
        ["1", "2", '"1"', "null"],
    ),
]


@pytest.mark.parametrize("strict", [False, True], ids=["lax", "strict"])
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_what_columns_say_is_what_pydantic_says(line: Line, strict: bool):
    """In every input mode, with a null among the values, and beside a column that is always good."""
    for annotation in line.annotations:
        model = create_model("M", __config__=ConfigDict(strict=strict), x=(annotation, ...), good=(int, ...))
        columns = [(list(line.texts), pa.string()), (list(line.texts), pa.large_string()), *line.columns]
        for values, type_ in columns:
            cells = pa.array([*values, None], type_)
            agree(model, pa.table({"x": cells, "good": pa.array(range(len(cells)))}))
        agree_on_documents(model, [f'{{"x":{token},"good":1}}'.encode() for token in line.tokens] + [b'{"good":1}'])


def test_null_is_not_absent():
    """A null is an explicit None, an absent key takes the default: in documents one by one, in tables by column."""
    for annotation, default in [(int, 5), (int | None, 5), (int | None, None), (str, "x"), (list[int], [])]:
        model = create_model("M", x=(annotation, default), y=(int, ...))
        lines = [b'{"x":null,"y":1}', b'{"y":1}', b'{"x":1,"y":1}', b'{"y":null}', b'{ "y" : 1 , "x" :\tnull}']
        agree_on_documents(model, lines * 50)
        agree(model, pa.table({"y": [1, None]}))
        agree(model, pa.table({"x": pa.array([1, None, 3]), "y": [1, 2, None]}))


def test_one_mode_for_each_source():
    """Text of a strict model is refused in a table and taken in a document, where JSON has no other form for it."""
    model = create_model("M", __config__=ConfigDict(strict=True), x=(dt.date, ...))
    assert agree(model, pa.table({"x": ["2020-01-01"]})) == 0
    agree_on_documents(model, [b'{"x":"2020-01-01"}', b'{"x":1577836800}'])
