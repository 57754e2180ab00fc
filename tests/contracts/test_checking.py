"""Verdicts: good rows, bad rows, and models whose own code misbehaves."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from rowkeeper.batch import InputMode
from rowkeeper.contracts import Contract
from rowkeeper.errors import SourceError
from tests.contracts.batches import (
    batch_of,
    check,
    documents,
    error_types,
    pydantic_errors,
    strings,
    typed,
    values_of,
)


class Flight(BaseModel):
    carrier: Annotated[str, Field(pattern="^[A-Z0-9]{2}$")]
    distance: Annotated[int, Field(gt=0)]
    day: date
    delay: float | None = None


# ------------------------------------------------------------------------------------- modes


def test_strings() -> None:
    """Text is taken in lax mode; each fault has Pydantic's own type and place."""
    verdict = check(
        Flight,
        strings(
            {"carrier": "UA", "distance": " 7 ", "day": "2013-01-01", "delay": "1.5"},
            {"carrier": "ua", "distance": "0", "day": "2013-13-01", "delay": "x"},
            {"carrier": "UA", "distance": "7", "day": "2013-01-01", "delay": None},
        ),
    )
    assert values_of(verdict) == [
        {"carrier": "UA", "distance": 7, "day": date(2013, 1, 1), "delay": 1.5},
        {"carrier": "UA", "distance": 7, "day": date(2013, 1, 1), "delay": None},
    ]
    (rejected,) = verdict.rejected
    assert rejected.index == 1
    assert [(e["type"], e["loc"]) for e in rejected.errors] == [
        ("string_pattern_mismatch", ["carrier"]),
        ("greater_than", ["distance"]),
        ("date_from_datetime_parsing", ["day"]),
        ("float_parsing", ["delay"]),
    ]


def test_null_is_not_absent() -> None:
    """A null cell is an explicit None, which a default does not replace; an absent column is replaced."""
    model = type("M", (BaseModel,), {"__annotations__": {"a": int, "b": int}, "a": 5, "__module__": __name__})
    assert error_types(check(model, strings({"a": None, "b": "1"}))) == [["int_type"]]
    assert values_of(check(model, strings({"b": "1"}))) == [{"a": 5, "b": 1}]
    assert error_types(check(model, documents({"a": None, "b": 1}))) == [["int_type"]]
    assert values_of(check(model, documents({"b": 1}))) == [{"a": 5, "b": 1}]


def test_json_in_a_string_is_text() -> None:
    """In strings mode a cell that looks like JSON is a string, not a list."""
    model = type("M", (BaseModel,), {"__annotations__": {"a": list[int]}, "__module__": __name__})
    assert error_types(check(model, strings({"a": "[1]"}))) == [["list_type"]]


def test_broken_documents() -> None:
    """A broken line, and one that is no object, are rejected with Pydantic's own error; their neighbours are not."""
    verdict = check(
        Flight,
        documents(
            {"carrier": "UA", "distance": 1, "day": "2013-01-01"},
            b'{"carrier": "UA", ',
            b"[1]",
            b"",
            b"\xff\xfe",
            rb'{"carrier": "\ud800", "distance": 1, "day": "2013-01-01"}',
            {"carrier": "UA", "distance": 2, "day": "2013-01-01"},
        ),
    )
    assert verdict.accepted["distance"].to_pylist() == [1, 2]
    assert error_types(verdict) == [
        ["json_invalid"],
        ["model_type"],
        ["json_invalid"],
        ["json_invalid"],
        ["json_invalid"],
    ]


def test_empty_batches() -> None:
    """A batch without rows has a verdict without rows, in the contract's schema."""
    empty = pa.table({name: pa.array([], pa.string()) for name in Flight.model_fields})
    assert check(Flight, batch_of(empty, InputMode.STRINGS)).accepted.schema == Contract(Flight).schema
    assert check(Flight, documents()).accepted.num_rows == 0


def test_all_rejected() -> None:
    """A batch of bad rows only leaves an empty table of the right columns."""
    verdict = check(Flight, strings({"carrier": "?"}, {"carrier": "?"}))
    assert verdict.accepted.schema == Contract(Flight).schema
    assert len(verdict.rejected) == 2


def test_same_as_pydantic_in_a_long_batch() -> None:
    """Positions are those of the batch, also beyond the rows that are checked at a time."""
    rows = [{"carrier": "UA", "distance": str(n % 5), "day": "2013-01-01"} for n in range(20_001)]
    verdict = check(Flight, strings(*rows))
    assert [row.index for row in verdict.rejected] == [n for n in range(20_001) if n % 5 == 0]
    assert verdict.accepted["distance"].to_pylist() == [n % 5 for n in range(20_001) if n % 5]


# -------------------------------------------------------------------------- typed sources


class Times(BaseModel):
    at: Any = None
    times: list[datetime] = []
    day: date | None = None


def test_finer_than_microseconds() -> None:
    """A time that would lose nanoseconds rejects its row and no other, in columns and inside lists."""
    verdict = check(
        type("M", (BaseModel,), {"__annotations__": {"at": datetime, "all": list[datetime]}, "__module__": __name__}),
        typed(
            at=pa.array([1, 1000, 2000], pa.timestamp("ns")),
            all=pa.array([[0], [0, 1], [0]], pa.list_(pa.timestamp("ns", "UTC"))),
        ),
    )
    assert error_types(verdict) == [["rk_nanoseconds"], ["rk_nanoseconds"]]
    assert [row.errors[0]["loc"] for row in verdict.rejected] == [["at"], ["all"]]
    assert verdict.accepted_index.to_pylist() == [2]


@pytest.mark.parametrize("type_", [pa.time64("ns"), pa.duration("ns"), pa.timestamp("ns", "Europe/Paris")])
def test_finer_than_microseconds_of_other_types(type_: pa.DataType) -> None:
    """Times of day, durations and zoned times are never cut off (Arrow itself does so for times of day)."""
    verdict = check(Times, typed(at=pa.array([1, 1000], pa.int64()).cast(type_)))
    assert error_types(verdict) == [["rk_nanoseconds"]]


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (pa.array([2**60, 0], pa.timestamp("us")), "rk_out_of_range"),
        (pa.array([2**60, 0], pa.timestamp("s", "UTC")), "rk_out_of_range"),
        (pa.array([2**60, 0], pa.timestamp("ms", "Europe/Paris")), "rk_out_of_range"),
        (pa.array([2**30, 0], pa.int32()).cast(pa.date32()), "rk_out_of_range"),
        (pa.array([2**60, 0], pa.duration("s")), "rk_out_of_range"),
        (pa.array([b"\xff", b"a"], pa.binary()).view(pa.string()), "rk_unreadable"),
        (pa.array([[("a", 1), ("a", 2)], []], pa.map_(pa.string(), pa.int64())), "rk_unreadable"),
    ],
)
def test_what_python_cannot_hold(column: pa.Array[Any], error: str) -> None:
    """A value that has no Python form rejects its row alone."""
    verdict = check(Times, typed(at=column))
    assert error_types(verdict) == [[error]]
    assert verdict.accepted_index.to_pylist() == [1]


def test_unknown_time_zone() -> None:
    """A zone that the machine does not know is no row's fault: the run fails with its name."""
    with pytest.raises(SourceError, match="Nowhere/X"):
        Contract(Times).check(typed(at=pa.array([1], pa.timestamp("us", "Nowhere/X"))))


def test_short_ways_read_the_same() -> None:
    """The short way of reading times and dates gives what Arrow's own gives."""
    moments = [datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2262, 1, 1, 0, 0, 0, 1), None, datetime(1, 1, 1)]
    for type_ in (
        pa.timestamp("us"),
        pa.timestamp("us", "UTC"),
        pa.timestamp("us", "Europe/Paris"),
        pa.date32(),
        pa.date64(),
    ):
        column = pa.array([m.date() if m and pa.types.is_date(type_) else m for m in moments], type_)
        from rowkeeper.contracts.reading import python_values

        values, unfit = python_values(pa.chunked_array([column]))
        assert (values, unfit) == (column.to_pylist(), {})
        assert [getattr(v, "tzinfo", None) is None for v in values] == [
            getattr(v, "tzinfo", None) is None for v in column.to_pylist()
        ]


def test_typed_columns_of_many_kinds() -> None:
    """Typed values land as they were: maps, structs, dictionaries, decimals, zoned times, half floats."""

    class M(BaseModel):
        m: dict[str, int]
        s: dict[str, int | None]
        d: str
        c: Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
        z: datetime
        h: float
        b: bytes

    table = typed(
        m=pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
        s=pa.array([{"a": 1, "b": None}], pa.struct([("a", pa.int64()), ("b", pa.int8())])),
        d=pa.array(["x"]).dictionary_encode(),
        c=pa.array([Decimal("1.10")], pa.decimal128(5, 2)),
        z=pa.array([datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))], pa.timestamp("ms", "Europe/Paris")),
        h=pa.array([1.5], pa.float16()),
        b=pa.array([b"\xff"], pa.large_binary()),
    )
    (row,) = values_of(check(M, table))
    assert row["z"].isoformat() == "2020-07-01T10:00:00+00:00"
    del row["z"]
    assert row == {"m": {"a": 1}, "s": {"a": 1, "b": None}, "d": "x", "c": Decimal("1.10"), "h": 1.5, "b": b"\xff"}


# -------------------------------------------------------------------- the model's own code


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileValueError(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [
        *(
            KeyError("secret"),
            TypeError("secret"),
            ZeroDivisionError("secret"),
            RecursionError("secret"),
            OSError("secret"),
        ),
        *(HostileError(), StopIteration("secret"), UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret")),
        pl.exceptions.PanicException("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("mode", ["before", "after"])
def test_validator_that_raises(error: BaseException, mode: Any) -> None:
    """Whatever a validator raises, its row is rejected by the exception's name without its text, and no other row."""

    class M(BaseModel):
        a: int

        @field_validator("a", mode=mode)
        @classmethod
        def odd(cls, value: Any) -> Any:
            if int(value) == 2:
                raise error
            return value

    verdict = check(M, strings({"a": "1"}, {"a": "2"}, {"a": "3"}))
    assert verdict.accepted["a"].to_pylist() == [1, 3]
    (rejected,) = verdict.rejected
    if isinstance(error, ValueError):  # of which Pydantic makes a verdict of its own
        assert rejected.errors[0]["type"] == "value_error"
    else:
        assert rejected.errors[0]["type"] == "rk_validator_raised"
        assert type(error).__name__ in rejected.errors[0]["msg"]
        assert "M" in rejected.errors[0]["msg"]
        assert "secret" not in json.dumps(rejected.errors)


def test_error_whose_text_raises() -> None:
    """A ValueError that cannot be printed still rejects its row, and no other."""

    def fail(value: int) -> int:
        if value == 2:
            raise HostileValueError
        return value

    model = type(
        "M", (BaseModel,), {"__annotations__": {"a": Annotated[int, AfterValidator(fail)]}, "__module__": __name__}
    )
    verdict = check(model, strings({"a": "1"}, {"a": "2"}))
    assert [row.index for row in verdict.rejected] == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_fault_of_the_row_passes(error: type[BaseException]) -> None:
    """Ctrl-C, an exit and a full memory are not taken for a bad row."""

    def fail(value: int) -> int:
        raise error

    model = type(
        "M", (BaseModel,), {"__annotations__": {"a": Annotated[int, AfterValidator(fail)]}, "__module__": __name__}
    )
    with pytest.raises(error):
        Contract(model).check(strings({"a": "1"}))


def test_context_of_an_error_is_json() -> None:
    """Limits and exceptions in an error's context become JSON values."""

    def fail(value: int) -> int:
        raise ValueError("bad", date(2020, 1, 1))

    class M(BaseModel):
        a: Annotated[Decimal, Field(gt=Decimal("1.5"))]
        b: Annotated[timedelta, Field(gt=timedelta(1))]
        c: Annotated[int, AfterValidator(fail)]
        d: Annotated[float, Field(lt=float("-inf"))]
        e: Annotated[int, Field(gt=10**5000)]

    (rejected,) = check(M, documents({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})).rejected
    assert [error["type"] for error in rejected.errors] == [
        "greater_than",
        "greater_than",
        "value_error",
        "less_than",
        "greater_than",
    ]


def test_many_errors_are_cut_off() -> None:
    """A row with thousands of errors keeps the first hundred and the number of the others."""
    model = type("M", (BaseModel,), {"__annotations__": {"a": list[int]}, "__module__": __name__})
    (rejected,) = check(model, documents({"a": ["x"] * 5000})).rejected
    assert len(rejected.errors) == 101
    assert rejected.errors[-1]["type"] == "rk_more_errors"
    assert "4,900" in rejected.errors[-1]["msg"]


@pytest.mark.parametrize(
    ("annotation", "made"),
    [
        (int, "text"),
        (int, 1.5),
        (int, None),
        (int, True),
        (str, 5),
        (str, "\ud800"),
        (bytes, "a"),
        (bool, 1),
        (float, "1"),
        (float, 2**53 + 1),
        (date, datetime(2020, 1, 1, 5)),
        (datetime, date(2020, 1, 1)),
        (list[int], "12"),
        (list[int], {"a": 1}),
        (dict[str, int], [("a", 1)]),
        (tuple[int, int], (1, 2, 3)),
        (Flight, {"carrier": "UA"}),
        (Flight, Times()),
        (Any, object()),
        (Any, "\ud800"),
        (Any, lambda: None),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],  # an address would name the test anew in each worker
)
def test_validator_that_makes_another_kind(annotation: Any, made: Any) -> None:
    """What a validator makes of a value lands unchanged or not at all: another kind rejects the row, in time."""

    def make(value: Any) -> Any:
        return made if value else annotation() if annotation in (int, str, bytes, bool, float) else None

    model = type(
        "M",
        (BaseModel,),
        {"__annotations__": {"a": Annotated[annotation, PlainValidator(make)], "n": int}, "__module__": __name__},
    )
    verdict = check(model, typed(a=[1, 1], n=[1, 2]))
    if annotation is int and made is True:
        assert verdict.accepted["a"].to_pylist() == [1, 1]  # True is 1
    else:
        assert [set(types) for types in error_types(verdict)] == [{"rk_unstorable"}] * 2 or error_types(verdict) == [
            ["rk_out_of_range"]
        ] * 2
        assert "text" not in json.dumps([row.errors for row in verdict.rejected]).replace("holds text", "").replace(
            "the text", ""
        )


def test_model_validator_that_returns_something_else() -> None:
    """A wrap validator that returns another object, or a model without its fields, rejects the row."""

    class M(BaseModel):
        a: int

        @model_validator(mode="wrap")
        @classmethod
        def odd(cls, data: Any, handler: Any) -> Any:
            model = handler(data)
            return {1: model, 2: "M", 3: cls.model_construct()}[model.a]

    verdict = check(M, strings({"a": "1"}, {"a": "2"}, {"a": "3"}))
    assert verdict.accepted["a"].to_pylist() == [1]
    assert error_types(verdict) == [["rk_unstorable"], ["rk_unstorable"]]


def test_computed_fields_are_columns() -> None:
    """Computed fields follow the fields as columns; one that raises rejects its row."""

    class M(BaseModel):
        a: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def inverse(self) -> float:
            return 1 / self.a

        @computed_field  # type: ignore[prop-decorator]
        @property
        def wrong(self) -> str:
            return "x" if self.a < 5 else 5  # type: ignore[return-value]

    verdict = check(M, strings({"a": "0"}, {"a": "2"}, {"a": "5"}))
    assert Contract(M).schema.names == ["a", "inverse", "wrong"]
    assert values_of(verdict) == [{"a": 2, "inverse": 0.5, "wrong": "x"}]
    assert error_types(verdict) == [["rk_validator_raised"], ["rk_unstorable"]]


def test_serializers_change_nothing() -> None:
    """What lands is what the model holds, not what it would print; excluded fields land too."""

    class Inner(BaseModel):
        b: int

        @field_serializer("b")
        def shout(self, value: int) -> str:
            return "B"

    class M(BaseModel):
        a: int = Field(exclude=True)
        inner: Inner
        other: Inner | None = None

        @field_serializer("a")
        def hide(self, value: int) -> str:
            return "***"

    verdict = check(M, documents({"a": 1, "inner": {"b": 2}, "other": {"b": 3}}))
    assert values_of(verdict) == [{"a": 1, "inner": {"b": 2}, "other": '{"b":3}'}]


def test_strict_models_stay_strict() -> None:
    """The verdict is `model_validate`'s own: a strict model refuses text for numbers."""

    class M(BaseModel):
        model_config = ConfigDict(strict=True)
        a: int

    assert pydantic_errors(M, {"a": "1"}) == ["int_type"]
    assert error_types(check(M, strings({"a": "1"}))) == [["int_type"]]


def test_models_with_state_of_their_own() -> None:
    """Class variables, private attributes, frozen and deferred models are contracts like any other."""

    class M(BaseModel):
        model_config = ConfigDict(frozen=True, defer_build=True)
        limit: ClassVar[int] = 5
        _seen: int = 0
        a: int

    assert values_of(check(M, strings({"a": "1"}))) == [{"a": 1}]


def test_before_validator_on_text() -> None:
    """A before-validator sees the raw text of its cell."""

    def money(value: Any) -> Any:
        return re.sub("[^0-9.]", "", value)

    model = type(
        "M",
        (BaseModel,),
        {"__annotations__": {"a": Annotated[Decimal, BeforeValidator(money)]}, "__module__": __name__},
    )
    assert values_of(check(model, strings({"a": "$1,000.50"}))) == [{"a": Decimal("1000.5")}]


def test_naive_column_never_takes_a_zone() -> None:
    """A validator that gives a zone to a naive time does not get it converted behind its back."""
    from pydantic import NaiveDatetime

    def zoned(value: datetime) -> datetime:
        return value.replace(tzinfo=timezone(timedelta(hours=2)))

    model = type(
        "M",
        (BaseModel,),
        {"__annotations__": {"a": Annotated[NaiveDatetime, AfterValidator(zoned)]}, "__module__": __name__},
    )
    assert error_types(check(model, strings({"a": "2020-01-01T00:00:00"}))) == [["rk_unstorable"]]
