"""Literal and Enum."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pytest

from tests.contracts.compiler.agreeing import decided


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Plain(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Guessing(enum.Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> Guessing | None:
        return cls.RED if value == "rouge" else None


class Flags(enum.IntFlag):
    A = 1
    B = 2


@pytest.mark.parametrize("annotation", [Literal["red", "green"], Colour, Plain, Guessing, Literal["1", "2"]])
@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_choices(annotation: Any, type: pa.DataType):
    """Exactly the values, in their own type; `_missing_` is Pydantic's to ask."""
    decided(annotation, ["red", "RED", " red", "green", "rouge", "", "1", "Colour.RED"], type)
    decided(annotation, ["red", "green"], type, strict=True)
    decided(annotation, ["red", "green"], type, use_enum_values=True)


@pytest.mark.parametrize("annotation", [Literal[1, 2], Level, Flags, Literal[1, "1"]])
@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([0, 1, 2, 3, -1], pa.int64()),
        ([1, 2, 3], pa.uint64()),
        ([1.0, 1.5, 2.0], pa.float64()),
        ([True, False], pa.bool_()),
        (["1", " 1 ", "2", "x", "1.0"], pa.string()),
        ([Decimal(1), Decimal(3)], pa.decimal128(3, 0)),
    ],
)
def test_numbers_as_choices(annotation: Any, values: list[Any], type: pa.DataType):
    """Literal[1] takes True, 1.0 and Decimal(1), an IntEnum takes " 1 ": what is not an integer is Pydantic's."""
    decided(annotation, values, type)


def test_choices_are_decided():
    """The common cases need no Pydantic."""
    assert decided(Literal["red", "green"], ["red", "green"]) == 5
    assert decided(Colour, ["red", "green"]) == 5
    assert decided(Level, [1, 2], pa.int64()) == 5
