"""Properties: for models and rows made up at random, verdicts and values are those of Pydantic itself."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model

from rowkeeper.batch import InputMode
from rowkeeper.contracts.faults import errors_of
from tests.contracts.batches import batch_of, check, documents, values_of
from tests.extent import examples


class Suit(Enum):
    HEARTS = "h"
    SPADES = "s"


class Inner(BaseModel):
    n: int
    t: str = "x"


TYPES: list[Any] = [
    int,
    float,
    str,
    bool,
    bytes,
    date,
    datetime,
    time,
    timedelta,
    UUID,
    Decimal,
    Suit,
    Literal["a", "b"],
    Literal[1, 2],
    Annotated[int, Field(ge=0, lt=100)],
    Annotated[str, Field(min_length=1, max_length=5)],
    Annotated[Decimal, Field(max_digits=8, decimal_places=3)],
    int | None,
    str | None,
    list[int],
    set[str],
    tuple[int, str],
    dict[str, float],
    Inner,
    list[Inner],
]
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " 1",
            "1",
            "-0",
            "1.0",
            "1e3",
            "007",
            "0x10",
            "1_000",
            "nan",
            "-inf",
            "1e400",
            "true",
            "off",
            "T",
            "a",
            "h",
            "2020-01-01",
            "2020-02-30",
            "1899-12-31",
            "2020-01-01T00:00:00Z",
            "2020-01-01 24:00",
            "1577836800",
            "9999-12-31T23:59:59-12:00",
            "12:30",
            "12:30Z",
            "PT1H",
            "P1D",
            "123e4567-e89b-12d3-a456-426614174000",
            "9223372036854775807",
            "9223372036854775808",
            "1.005",
            "1234567.1234",
            "\0",
            "é",
            "[1]",
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.decimals().map(str),
    st.datetimes().map(datetime.isoformat),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), TEXTS, st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["n", "t", "k"]), inner, max_size=3)
    ),
    max_leaves=4,
)
MODELS = st.lists(st.sampled_from(TYPES), min_size=1, max_size=4).map(
    lambda types: create_model("M", **{f"f{number}": (type_, ...) for number, type_ in enumerate(types)})
)
quick = settings(max_examples=examples(30, 300), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stored(value: Any) -> Any:
    """How a value of a model comes back from its column, said in another way than the room says it."""
    match value:
        case Enum():
            return value.value
        case UUID():
            return value.bytes
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case BaseModel():
            return {name: stored(each) for name, each in dict(value).items()}
        case tuple():
            return {str(number): stored(each) for number, each in enumerate(value, 1)}
        case set():
            return sorted(value)
        case list():
            return [stored(each) for each in value]
        case dict():
            return {key: stored(each) for key, each in value.items()}
    return value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (left == right and str(left) == str(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def agrees(model: type[BaseModel], batch: Any, expected: list[Any]) -> None:
    """`expected`: a model or a ValidationError for each row."""
    verdict = check(model, batch, drift="ignore")
    landed = dict(zip(verdict.accepted_index.to_pylist(), values_of(verdict), strict=True))
    errors = {row.index: row.errors for row in verdict.rejected}
    for position, outcome in enumerate(expected):
        if isinstance(outcome, ValidationError):
            assert errors[position] == errors_of(outcome)
        elif position in landed:
            wanted = {name: stored(value) for name, value in outcome.__dict__.items()}
            assert same(landed[position], wanted), (landed[position], wanted)
        else:
            assert {error["type"] for error in errors[position]} <= {"rk_out_of_range", "rk_unstorable"}
            assert unfit(outcome), outcome


def unfit(model: BaseModel) -> bool:  # noqa: C901 - a table of types
    """Whether a value is outside of its column, said in another way than the room says it."""

    def one(value: Any) -> bool:  # noqa: C901
        match value:
            case bool() | str():
                return False
            case int():
                return abs(value) >= 2**63
            case Decimal():
                return not value.is_finite() or value.adjusted() > 20 or int(value.as_tuple().exponent) < -9
            case datetime():
                return not 1900 < value.year < 2299
            case date():
                return not 1900 <= value.year <= 2299
            case time():
                return value.tzinfo is not None
            case timedelta():
                return abs(value) > timedelta(days=10**8)
            case BaseModel():
                return any(map(one, value.__dict__.values()))
            case dict():
                return any(map(one, value.values()))
            case list() | tuple() | set():
                return any(map(one, value))
        return False

    return one(model)


def outcome_of(validate: Any, row: Any) -> Any:
    try:
        return validate(row)
    except ValidationError as error:
        return error


@quick
@given(MODELS, st.data())
def test_strings(model: type[BaseModel], data: st.DataObject) -> None:
    """Text rows: the contract accepts what `model_validate` accepts, with its values, and its errors otherwise."""
    names = list(model.model_fields)
    rows = data.draw(st.lists(st.fixed_dictionaries({n: st.none() | TEXTS for n in names}), min_size=1, max_size=8))
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})
    agrees(model, batch_of(table, InputMode.STRINGS), [outcome_of(model.model_validate, row) for row in rows])


@quick
@given(MODELS, st.data())
def test_documents(model: type[BaseModel], data: st.DataObject) -> None:
    """JSON documents: the contract agrees with `model_validate_json`, absent keys and broken lines included."""
    names = list(model.model_fields)
    objects = st.dictionaries(st.sampled_from([*names, "unknown"]), VALUES, max_size=5).map(json.dumps).map(str.encode)
    full = st.fixed_dictionaries(dict.fromkeys(names, VALUES)).map(json.dumps).map(str.encode)
    lines = data.draw(st.lists(st.one_of(full, full, objects, st.binary(max_size=5)), min_size=1, max_size=8))
    agrees(model, documents(*lines), [outcome_of(model.model_validate_json, line) for line in lines])


COLUMNS = st.sampled_from(
    [
        *(pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.bool_(), pa.binary(), pa.date32()),
        *(pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.timestamp("s", "Europe/Paris"), pa.time32("s")),
        *(pa.duration("ms"), pa.decimal128(12, 4), pa.list_(pa.int64())),
        pa.struct([("n", pa.int64()), ("t", pa.string())]),
    ]
)
NUMBERS = st.one_of(st.integers(0, 127), st.sampled_from([0, 1, 2]))


def typed_value(type_: Any, number: int) -> Any:
    """A value of an Arrow type, made of a number."""
    if pa.types.is_list(type_):
        return [number, number + 1]
    if pa.types.is_struct(type_):
        return {"n": number, "t": str(number)}
    if pa.types.is_string(type_):
        return str(number)
    if pa.types.is_binary(type_):
        return bytes([number])
    if pa.types.is_boolean(type_):
        return number % 2 == 0
    if pa.types.is_decimal(type_):
        return Decimal(number) / 8
    return (
        pa.scalar(number, pa.int32()).cast(type_).as_py()
        if type_.bit_width == 32 and pa.types.is_temporal(type_)
        else (pa.scalar(number * 1000, pa.int64()).cast(type_).as_py() if pa.types.is_temporal(type_) else number)
    )


@quick
@given(MODELS, st.data())
def test_typed(model: type[BaseModel], data: st.DataObject) -> None:
    """Typed columns: the contract agrees with `model_validate` on the values that Arrow gives."""
    columns = {}
    count = data.draw(st.integers(1, 6))
    for name in model.model_fields:
        type_ = data.draw(COLUMNS)
        numbers = data.draw(st.lists(st.none() | NUMBERS, min_size=count, max_size=count))
        columns[name] = pa.array([None if n is None else typed_value(type_, n) for n in numbers], type_)
    table = pa.table(columns)
    expected = [outcome_of(model.model_validate, row) for row in table.to_pylist()]
    agrees(model, batch_of(table, InputMode.PYTHON), expected)


@quick
@given(st.lists(st.one_of(st.integers(), st.floats(), st.decimals(), st.text(), st.none(), st.booleans()), min_size=1))
def test_any_value_in_any_column(values: list[Any]) -> None:
    """A validator may put anything into a field: what lands is equal to it, and everything else is rejected."""
    from pydantic import PlainValidator

    for annotation in (int, float, str, bool, Decimal, datetime):
        index = iter(values)
        model = create_model("M", f=(Annotated[annotation, PlainValidator(lambda _, index=index: next(index))], ...))
        verdict = check(model, batch_of(pa.table({"f": pa.array(range(len(values)))}), InputMode.PYTHON))
        for position, row in zip(verdict.accepted_index.to_pylist(), values_of(verdict), strict=True):
            made = values[position]
            assert row["f"] == made or (row["f"] != row["f"] and made != made)
