"""Millions of rows through the compiler and through Pydantic alone: `python -m tests.contracts.compiler.differential`.

Each round makes a model of one to four fields, each of a random type with random constraints, perhaps with an alias, a
default or a validator of Python's, and a table of a random Arrow type whose cells come from the edges of that type,
from mutations of them, and from random values; or the same cells as JSON documents, in which keys are null, absent,
there twice, or not known, and some of which are damaged. Verdicts, values and error lists must be the same. A seed
gives the same rounds again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    NaiveDatetime,
    StringConstraints,
    create_model,
)

from tests.contracts.compiler.agreeing import agree, agree_on_documents
from tests.contracts.compiler.test_choices import Colour, Guessing, Level, Plain
from tests.contracts.compiler.test_numbers import DECIMAL_TEXT, FLOAT_TEXT, FLOATS, INT_TEXT, WORDS
from tests.contracts.compiler.test_text import TEXTS
from tests.contracts.compiler.test_times import DATES, TIMES
from tests.contracts.test_documents import VALUES

ROWS = 2_000
ALPHABET = "0123456789-+.eE:TZ _,/aAzZ \t\n\u0661\u00e9"
INTS = [0, 1, -1, 2, 7, 8, 100, 255, -128, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
Make = Callable[[random.Random], Any]


def text(edges: Sequence[str], fresh: Make) -> Make:
    """Texts: edges, edges with a character changed, and texts of good values."""

    def make(choice: random.Random) -> str:
        kind = choice.random()
        if kind < 0.5:
            return str(fresh(choice))
        edge = choice.choice(edges)
        if kind < 0.75 or not edge:
            return edge
        place = choice.randrange(len(edge))
        return edge[:place] + choice.choice(ALPHABET) + edge[place + choice.randrange(2) :]

    return make


def whole(choice: random.Random) -> int:
    return choice.choice([choice.choice(INTS), choice.randrange(-20, 200), choice.randrange(-(2**63), 2**63)])


def small(choice: random.Random) -> int:
    return choice.randrange(-20, 120)


def real(choice: random.Random) -> float:
    return choice.choice(
        [choice.choice(FLOATS), round(choice.uniform(-5, 200), choice.randrange(5)), choice.gauss(0, 1e9)]
    )


def instant(choice: random.Random) -> dt.datetime:
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=choice.randrange(-(2**52), 2**53))
    return moment if choice.random() < 0.5 else moment.replace(microsecond=0)


def iso(choice: random.Random) -> str:
    zone = choice.choice(["", "Z", "+00:00", "-05:30", "+14:00"])
    return instant(choice).isoformat(choice.choice(["T", " "])) + zone


def money(choice: random.Random) -> Decimal:
    return Decimal(choice.randrange(-100_000, 100_000)).scaleb(-choice.randrange(4))


def ticks(unit: str, zone: str | None) -> tuple[pa.DataType, Make]:
    per = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]

    def make(choice: random.Random) -> int:
        seconds = (
            choice.randrange(-2_300_000_000, 10_500_000_000) if unit != "ns" else choice.randrange(-(10**9), 10**9)
        )
        return seconds * per + choice.choice([0, 1, per // 2])

    return pa.timestamp(unit, zone), make


def kinds() -> list[tuple[list[Any], list[tuple[pa.DataType, Make]]]]:
    """Annotations of a family, and the columns that they are tried on."""
    any_text = text([*INT_TEXT, *FLOAT_TEXT, *WORDS, *TEXTS, *DATES], lambda choice: choice.choice(TEXTS))
    numbers: list[tuple[pa.DataType, Make]] = [
        (pa.int64(), whole),
        (pa.int8(), lambda choice: choice.randrange(-128, 128)),
        (pa.uint64(), lambda choice: abs(whole(choice)) * choice.choice([1, 2]) % 2**64),
        (pa.float64(), real),
        (pa.float64(), lambda choice: float(small(choice))),
        (pa.float32(), lambda choice: choice.choice([0.1, float(small(choice)), 1e30, float("nan")])),
        (pa.bool_(), lambda choice: choice.random() < 0.5),
        (pa.string(), text(INT_TEXT, small)),
        (pa.string(), text(FLOAT_TEXT, real)),
        (pa.large_string(), text(DECIMAL_TEXT, money)),
        (pa.string(), any_text),
        (pa.decimal128(6, 2), lambda choice: Decimal(choice.randrange(-99_999, 99_999)).scaleb(-2)),
        (pa.string(), text(WORDS, lambda choice: choice.choice(["true", "no", "1", "Off"]))),
    ]
    texts: list[tuple[pa.DataType, Make]] = [
        (pa.string(), text(TEXTS, lambda choice: f"zone {choice.randrange(1000):03}")),
        (pa.large_string(), text(["red", "green", "1"], lambda choice: choice.choice(["red", "green", "Red", "1"]))),
        (pa.dictionary(pa.int32(), pa.string()), text(TEXTS, lambda choice: choice.choice(TEXTS))),
        (
            pa.string(),
            text([str(UUID(int=7)), "{" + str(UUID(int=8)) + "}"], lambda choice: UUID(int=choice.getrandbits(128))),
        ),
        (pa.int64(), small),
        (pa.binary(), lambda choice: choice.randbytes(choice.randrange(4))),
    ]
    times: list[tuple[pa.DataType, Make]] = [
        (pa.string(), text(TIMES, iso)),
        (pa.string(), text(DATES, lambda choice: instant(choice).date())),
        (pa.date32(), lambda choice: instant(choice).date()),
        *(ticks(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC", "Europe/Oslo")),
        (pa.int64(), small),
        (pa.duration("us"), lambda choice: dt.timedelta(microseconds=choice.randrange(-(2**60), 2**60))),
        (pa.time64("us"), lambda choice: instant(choice).time()),
    ]
    return [
        ([int, bool, float, Decimal, Level, Literal[1, 2], int | None, float | None], numbers),
        ([Annotated[int, Field(ge=0, lt=100)], Annotated[int, Field(multiple_of=7)]], numbers),
        ([Annotated[float, Field(ge=0)], Annotated[float, Field(gt=-1, le=100, allow_inf_nan=False)]], numbers),
        ([Annotated[Decimal, Field(max_digits=6, decimal_places=2, ge=0)]], numbers),
        ([str, bytes, UUID, Literal["red", "1"], Colour, Plain, Guessing, str | None], texts),
        ([Annotated[str, Field(min_length=1, max_length=8)], Annotated[str, Field(pattern=r"^zone \d{3}$")]], texts),
        ([Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1)]], texts),
        ([dt.datetime, AwareDatetime, NaiveDatetime, dt.date, dt.time, dt.timedelta, dt.datetime | None], times),
        ([Annotated[dt.date, Field(ge=dt.date(1950, 1, 1), lt=dt.date(2200, 1, 1))]], times),
    ]


def compound() -> tuple[list[Any], list[tuple[pa.DataType, Make]]]:
    """Types of many parts, and those that other libraries know; their columns."""

    def some(make: Make) -> Make:
        return lambda choice: [make(choice) for _ in range(choice.randrange(4))]

    def pet(choice: random.Random) -> dict[str, Any]:
        return {"kind": choice.choice(["cat", "dog", "cow", None]), "n": choice.choice([0, 1, -1, None])}

    annotations: list[Any] = [
        *(
            list[int],
            set[str],
            tuple[int, str],
            frozenset[int],
            dict[str, float],
            Inner,
            list[Inner],
            Pet,
            Inner | None,
        ),
        *(int | str, float | bool, EmailStr, AnyUrl, IPv4Address, Annotated[list[int], Field(min_length=1)], Any),
    ]
    cells: list[tuple[pa.DataType, Make]] = [
        (pa.list_(pa.int64()), some(small)),
        (pa.list_(pa.string()), some(lambda choice: choice.choice(["a", "b", "1", ""]))),
        (pa.struct([("kind", pa.string()), ("n", pa.int64())]), pet),
        (pa.struct([("n", pa.int64())]), lambda choice: {"n": small(choice)}),
        (pa.list_(pa.struct([("n", pa.int64())])), some(lambda choice: {"n": small(choice)})),
        (pa.int64(), small),
        (pa.string(), text(PLACES, lambda choice: choice.choice(PLACES))),
    ]
    return annotations, cells


class Inner(BaseModel):
    n: Annotated[int, Field(ge=0)]


class Cat(BaseModel):
    kind: Literal["cat"]
    n: int


class Dog(BaseModel):
    kind: Literal["dog"]
    n: Annotated[int, Field(ge=1)] | None = None


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
PLACES = ["a@example.com", "a@b", "http://example.com/x?y", "ftp://h", "10.0.0.1", "256.1.1.1", "::1", "not one", ""]


def even(value: Any) -> Any:
    """A validator that some fields have."""
    if isinstance(value, int) and value % 2:
        raise ValueError("odd")
    return value


def field_of(choice: random.Random, annotation: Any, name: str, defaults: Sequence[Any]) -> tuple[str, Any]:
    """The key of a field in the input, and its definition."""
    kind = choice.random()
    if kind < 0.1:
        return f"{name} of old", (annotation, Field(alias=f"{name} of old"))
    if kind < 0.2:
        return name, (annotation, choice.choice(defaults))
    if kind < 0.25:
        return name, (Annotated[annotation, AfterValidator(even)], ...)
    if kind < 0.3:
        return name, (Annotated[annotation, BeforeValidator(even)], ...)
    return name, (annotation, ...)


def one_round(seed: str, families: Sequence[tuple[list[Any], list[tuple[pa.DataType, Make]]]]) -> tuple[int, int]:
    """One model, one table or as many documents; returns how many rows, and how many of them the columns decided."""
    choice = random.Random(seed)
    fields: dict[str, Any] = {}
    columns: dict[str, pa.Array[Any]] = {}
    for number in range(choice.choice([1, 1, 2, 4])):
        annotations, cells = choice.choice(families)
        type_, make = choice.choice(cells)
        nulls = choice.choice([0.0, 0.0, 0.1])
        key, fields[f"f{number}"] = field_of(choice, choice.choice(annotations), f"f{number}", [None, 1, "1", 0.5])
        values = [None if choice.random() < nulls else make(choice) for _ in range(ROWS)]
        columns[key] = pa.array(values, type_)
    config = ConfigDict(
        strict=choice.random() < 0.1,
        str_strip_whitespace=choice.random() < 0.1,
        extra=choice.choice(["ignore", "ignore", "forbid", "allow"]),
    )
    model = create_model("M", __config__=config, **fields)
    if choice.random() < 0.7:
        if len(columns) > 1 and choice.random() < 0.1:
            columns.pop(choice.choice(list(columns)))
        return ROWS, agree(model, pa.table(columns))
    return ROWS, agree_on_documents(model, [document(choice, columns, row) for row in range(ROWS)])


def document(choice: random.Random, columns: dict[str, pa.Array[Any]], row: int) -> bytes:
    """A row as a JSON document, most often."""
    members = [(key, _token(choice, cells[row].as_py())) for key, cells in columns.items() if choice.random() < 0.98]
    if choice.random() < 0.02:
        members.append((choice.choice(["x", *columns]), choice.choice(VALUES)))
    if choice.random() < 0.1:
        choice.shuffle(members)
    comma, colon = choice.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    written = "{" + comma.join(f"{json.dumps(key)}{colon}{token}" for key, token in members) + "}"
    if choice.random() < 0.005:
        place = choice.randrange(len(written))
        written = written[:place] + choice.choice('{}[],:"0e\\\0 ') + written[place + 1 :]
    return written.encode()


def _token(choice: random.Random, value: Any) -> str:
    if choice.random() < 0.01:
        return choice.choice(VALUES)
    if isinstance(value, bytes):
        value = value.hex()
    return json.dumps(value, ensure_ascii=choice.random() < 0.5, default=str)


def main() -> int:
    """Runs rounds until there are enough rows; 1 if any disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    families, began = [*kinds(), compound()], time.monotonic()
    rows = decided = rounds = 0
    wrong: list[str] = []
    while rows < options.rows:
        seed = f"{options.seed}:{rounds}"
        rounds += 1
        try:
            seen, by_column = one_round(seed, families)
        except AssertionError as difference:
            wrong.append(f"round {seed}: {difference}")
            seen, by_column = ROWS, 0
        rows, decided = rows + seen, decided + by_column
    print("\n".join(wrong[:20]))
    print(
        f"rows {rows:,}, models {rounds:,}, decided by columns {decided / rows:.0%}, disagreements {len(wrong)} "
        f"({time.monotonic() - began:.0f} s)"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
