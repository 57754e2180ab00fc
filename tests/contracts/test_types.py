"""Each type of field: its column, the values that land in it, and those that it refuses."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar
from uuid import UUID

import pyarrow as pa
import pydantic
import pytest
from pydantic import BaseModel, Field, RootModel, create_model
from typing_extensions import TypeAliasType, TypedDict

from rowkeeper.contracts import Contract
from rowkeeper.errors import ContractError
from tests.contracts.batches import check, documents, error_types, strings, values_of

UTC_MICROS = pa.timestamp("us", "UTC")
U = "123e4567-e89b-12d3-a456-426614174000"
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    A = "a"
    ONE = 1


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Point(BaseModel):
    x: int
    y: float | None = None


class Open(BaseModel, extra="allow"):
    x: int


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Box(BaseModel, Generic[T]):
    held: T


class Tags(RootModel[list[str]]):
    pass


@dataclasses.dataclass
class Size:
    width: int
    unit: str = "cm"


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Pair(NamedTuple):
    first: int
    second: str = "x"


Metres = NewType("Metres", float)
Alias = TypeAliasType("Alias", int | None)

# annotation, Arrow type, nullable, metadata, (JSON value, what lands)...
CASES: list[tuple[Any, pa.DataType, bool, dict[bytes, bytes], list[tuple[Any, Any]]]] = [
    (bool, pa.bool_(), False, {}, [(True, True), ("off", False), (0, False)]),
    (int, pa.int64(), False, {}, [(1, 1), ("007", 7), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2.0, 2)]),
    (Annotated[int, Field(ge=0, le=5)], pa.int64(), False, {}, [(5, 5)]),
    (pydantic.ByteSize, pa.int64(), False, {}, [("1kB", 1000)]),
    (float, pa.float64(), False, {}, [(1, 1.0), ("-0.0", -0.0), (1e308, 1e308)]),
    (Metres, pa.float64(), False, {}, [(1.5, 1.5)]),
    (str, pa.string(), False, {}, [("", ""), ("é\0\n", "é\0\n")]),
    (pydantic.EmailStr, pa.string(), False, {}, [("a@EXAMPLE.com", "a@example.com")]),
    (pydantic.NameEmail, pa.string(), False, {}, [("Al <a@b.com>", "Al <a@b.com>")]),
    (pydantic.HttpUrl, pa.string(), False, {}, [("http://a.b", "http://a.b/")]),
    (pydantic.PostgresDsn, pa.string(), False, {}, [("postgres://u@h/d", "postgres://u@h/d")]),
    (IPv4Address, pa.string(), False, {}, [("1.2.3.4", "1.2.3.4")]),
    (IPv4Network, pa.string(), False, {}, [("10.0.0.0/8", "10.0.0.0/8")]),
    (pydantic.IPvAnyAddress, pa.string(), False, {}, [("::1", "::1")]),
    (Path, pa.string(), False, {}, [("/a/b", "/a/b")]),
    (re.Pattern[str], pa.string(), False, {}, [("^a+$", "^a+$")]),
    (Fraction, pa.string(), False, {}, [("1/3", "1/3")]),
    (bytes, pa.binary(), False, {}, [("abc", b"abc"), ("", b"")]),
    (pydantic.Base64Bytes, pa.binary(), False, {}, [("/w==", b"\xff")]),
    (Decimal, pa.decimal128(38, 9), False, {}, [("1.1", Decimal("1.1")), (10, Decimal(10))]),
    (
        Annotated[Decimal, Field(max_digits=5, decimal_places=2)],
        pa.decimal128(5, 2),
        False,
        {},
        [("1.000", Decimal("1.00")), ("-999.99", Decimal("-999.99"))],
    ),
    (Annotated[Decimal, Field(max_digits=50, decimal_places=2)], pa.decimal256(50, 2), False, {}, [("1", Decimal(1))]),
    (
        Annotated[Decimal, Field(max_digits=4)],
        pa.decimal128(8, 4),
        False,
        {},
        [(".1234", Decimal(".1234")), ("1234", 1234)],
    ),
    (Annotated[Decimal, Field(decimal_places=2)], pa.decimal128(38, 2), False, {}, [("1.25", Decimal("1.25"))]),
    (
        Annotated[Decimal | None, Field(max_digits=5, decimal_places=2)],
        pa.decimal128(5, 2),
        True,
        {},
        [("1", Decimal(1)), (None, None)],
    ),
    (date, pa.date32(), False, {}, [("1900-01-01", date(1900, 1, 1)), ("2299-12-31", date(2299, 12, 31))]),
    (pydantic.PastDate, pa.date32(), False, {}, [("2001-01-01", date(2001, 1, 1))]),
    (
        datetime,
        UTC_MICROS,
        False,
        {},
        [
            ("2020-01-01T00:00:00+02:00", datetime(2019, 12, 31, 22, tzinfo=UTC)),
            ("2020-01-01T00:00:00", datetime(2020, 1, 1, tzinfo=UTC)),
            ("1900-01-01T00:00:00Z", datetime(1900, 1, 1, tzinfo=UTC)),
            ("2299-12-31T23:59:59.999999Z", datetime(2299, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ],
    ),
    (pydantic.AwareDatetime, UTC_MICROS, False, {}, [("2020-01-01T00:00:00Z", datetime(2020, 1, 1, tzinfo=UTC))]),
    (pydantic.NaiveDatetime, pa.timestamp("us"), False, {}, [("2020-01-01T00:00:00", datetime(2020, 1, 1))]),
    (time, pa.time64("us"), False, {}, [("23:59:59.999999", time(23, 59, 59, 999999))]),
    (timedelta, pa.duration("us"), False, {}, [("PT1.5S", timedelta(seconds=1.5)), (-1, timedelta(seconds=-1))]),
    (UUID, pa.binary(16), False, {b"rk:type": b"uuid"}, [(U, UUID(U).bytes)]),
    (pydantic.UUID1, pa.binary(16), False, {b"rk:type": b"uuid"}, [(U, UUID(U).bytes)]),
    (
        Colour,
        pa.string(),
        False,
        {b"rk:enum": b'["red", "blue"]', b"rk:low_cardinality": b"1"},
        [("red", "red"), ("blue", "blue")],
    ),
    (Level, pa.int64(), False, {b"rk:enum": b"[1, 2]"}, [(1, 1), ("2", 2)]),
    (Mixed, pa.string(), False, {b"rk:type": b"json"}, [("a", '"a"'), (1, "1")]),
    (Access, pa.int64(), False, {}, [(3, 3)]),
    (Literal["a", "b"], pa.string(), False, {b"rk:enum": b'["a", "b"]', b"rk:low_cardinality": b"1"}, [("b", "b")]),
    (Literal["a", None], pa.string(), True, {b"rk:enum": b'["a"]', b"rk:low_cardinality": b"1"}, [(None, None)]),
    (
        Literal["a"] | Literal["b"],
        pa.string(),
        False,
        {b"rk:enum": b'["a", "b"]', b"rk:low_cardinality": b"1"},
        [("a", "a"), ("b", "b")],
    ),
    (Literal[1, 2], pa.int64(), False, {b"rk:enum": b"[1, 2]"}, [(1, 1), (True, 1)]),
    (Literal[True], pa.bool_(), False, {}, [(True, True)]),
    (Literal["a", 1], pa.string(), False, {b"rk:type": b"json"}, [("a", '"a"'), (1, "1")]),
    (int | None, pa.int64(), True, {}, [(None, None), (1, 1)]),
    (Alias, pa.int64(), True, {}, [(None, None), (1, 1)]),
    (list[int], pa.list_(pa.field("item", pa.int64(), nullable=False)), False, {}, [([], []), ([1, "2"], [1, 2])]),
    (list[int | None], pa.list_(pa.int64()), False, {}, [([None, 1], [None, 1])]),
    (Sequence[str], pa.list_(pa.field("item", pa.string(), nullable=False)), False, {}, [(["a"], ["a"])]),
    (set[str], pa.list_(pa.field("item", pa.string(), nullable=False)), False, {}, [(["b", "a", "b"], ["a", "b"])]),
    (frozenset[int], pa.list_(pa.field("item", pa.int64(), nullable=False)), False, {}, [([10, 9], [9, 10])]),
    (tuple[int, ...], pa.list_(pa.field("item", pa.int64(), nullable=False)), False, {}, [([1, 2], [1, 2])]),
    (list[UUID], pa.list_(pa.field("item", pa.binary(16), nullable=False)), False, {}, [([U], [UUID(U).bytes])]),
    (
        tuple[int, str],
        pa.struct([pa.field("1", pa.int64(), nullable=False), pa.field("2", pa.string(), nullable=False)]),
        False,
        {},
        [([1, "a"], {"1": 1, "2": "a"})],
    ),
    (dict[str, int | None], pa.map_(pa.string(), pa.int64()), False, {}, [({"a": 1, "b": None}, {"a": 1, "b": None})]),
    (
        Mapping[int, str],
        pa.map_(pa.int64(), pa.field("value", pa.string(), nullable=False)),
        False,
        {},
        [({"1": "a"}, {1: "a"})],
    ),
    (
        collections.Counter[str],
        pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False)),
        False,
        {},
        [({"a": 2}, {"a": 2})],
    ),
    (dict[date, int], pa.string(), False, {b"rk:type": b"json"}, [({"2020-01-01": 1}, '{"2020-01-01":1}')]),
    (
        Point,
        pa.struct([pa.field("x", pa.int64(), nullable=False), pa.field("y", pa.float64())]),
        False,
        {},
        [({"x": 1}, {"x": 1, "y": None}), ({"x": "2", "y": 1}, {"x": 2, "y": 1.0})],
    ),
    (
        Size,
        pa.struct([pa.field("width", pa.int64(), nullable=False), pa.field("unit", pa.string(), nullable=False)]),
        False,
        {},
        [({"width": 1}, {"width": 1, "unit": "cm"})],
    ),
    (
        Address,
        pa.struct([pa.field("street", pa.string(), nullable=False), pa.field("number", pa.int64())]),
        False,
        {},
        [
            ({"street": "s"}, {"street": "s", "number": None}),
            ({"street": "s", "number": 2}, {"street": "s", "number": 2}),
        ],
    ),
    (
        Pair,
        pa.struct([pa.field("first", pa.int64(), nullable=False), pa.field("second", pa.string(), nullable=False)]),
        False,
        {},
        [([1], {"first": 1, "second": "x"})],
    ),
    (Tags, pa.list_(pa.field("item", pa.string(), nullable=False)), False, {}, [(["a"], ["a"])]),
    (Box[int], pa.struct([pa.field("held", pa.int64(), nullable=False)]), False, {}, [({"held": 1}, {"held": 1})]),
    # Lists, maps and structs that may be None, and all that may hold more than its fields: JSON text.
    (list[str] | None, pa.string(), True, {b"rk:type": b"json"}, [(None, None), (["a"], '["a"]')]),
    (dict[str, int] | None, pa.string(), True, {b"rk:type": b"json"}, [(None, None), ({"a": 1}, '{"a":1}')]),
    (Point | None, pa.string(), True, {b"rk:type": b"json"}, [(None, None), ({"x": 1}, '{"x":1,"y":null}')]),
    (Open, pa.string(), False, {b"rk:type": b"json"}, [({"x": 1, "z": [2]}, '{"x":1,"z":[2]}')]),
    (int | str, pa.string(), False, {b"rk:type": b"json"}, [(1, "1"), ("1", '"1"')]),
    (str | pydantic.EmailStr, pa.string(), False, {}, [("a", "a")]),
    (Any, pa.string(), True, {b"rk:type": b"json"}, [(None, None), ({"a": [1, None]}, '{"a":[1,null]}')]),
    (object, pa.string(), True, {b"rk:type": b"json"}, [("a", '"a"')]),
    (pydantic.Json[list[int]], pa.list_(pa.field("item", pa.int64(), nullable=False)), False, {}, [("[1]", [1])]),
    (pydantic.Json, pa.string(), True, {b"rk:type": b"json"}, [('{"a":1}', '{"a":1}')]),
    (pydantic.JsonValue, pa.string(), True, {b"rk:type": b"json"}, [({"a": [1]}, '{"a":[1]}')]),
]


def one_field(annotation: Any) -> type[BaseModel]:
    return create_model("M", f=(annotation, ...))


@pytest.mark.parametrize(("annotation", "arrow", "nullable", "metadata", "values"), CASES, ids=lambda v: str(v)[:40])
def test_type(annotation: Any, arrow: Any, nullable: bool, metadata: Any, values: Any) -> None:
    """A field of this annotation has this column, and these values land in it."""
    model = one_field(annotation)
    field = Contract(model).schema.field("f")
    assert (field.nullable, field.metadata or {}) == (nullable, metadata)
    assert field.type.equals(arrow)
    verdict = check(model, documents(*({"f": given} for given, _ in values)))
    assert not verdict.rejected
    landed = [row["f"] for row in values_of(verdict)]
    assert landed == [wanted for _, wanted in values]
    assert str([each for each in landed if isinstance(each, float)]) == str(
        [wanted for _, wanted in values if isinstance(wanted, float)]
    )  # -0.0 is not 0.0


def test_nested_hints_stay() -> None:
    """What is inside a list carries its hints too."""
    item = Contract(one_field(list[UUID])).schema.field("f").type.value_field
    assert item.metadata == {b"rk:type": b"uuid"}


@pytest.mark.parametrize(
    ("annotation", "value", "error"),
    [
        (int, 2**63, "rk_out_of_range"),
        (int, -(2**63) - 1, "rk_out_of_range"),
        (int, 10**300, "rk_out_of_range"),
        (list[int], [1, 2**63], "rk_out_of_range"),
        (Point, {"x": 2**64}, "rk_out_of_range"),
        (date, "1899-12-31", "rk_out_of_range"),
        (date, "2300-01-01", "rk_out_of_range"),
        (datetime, "1899-12-31T23:59:59.999999Z", "rk_out_of_range"),
        (datetime, "2300-01-01T00:00:00Z", "rk_out_of_range"),
        (datetime, "1900-01-01T00:00:00+00:01", "rk_out_of_range"),
        (datetime, "9999-12-31T23:59:59-12:00", "rk_out_of_range"),
        (datetime, "0001-01-01T00:00:00+12:00", "rk_out_of_range"),
        (pydantic.NaiveDatetime, "1600-01-01T00:00:00", "rk_out_of_range"),
        (timedelta, "P999999999D", "rk_out_of_range"),
        (Decimal, "1e40", "rk_out_of_range"),
        (Decimal, "1e999999", "rk_out_of_range"),
        (Decimal, "0.0000000001", "rk_out_of_range"),
        (Annotated[Decimal, Field(allow_inf_nan=True)], "NaN", "rk_out_of_range"),
        (Annotated[Decimal, Field(allow_inf_nan=True)], "-Infinity", "rk_out_of_range"),
        (time, "12:00:00+02:00", "rk_unstorable"),
    ],
)
def test_good_for_pydantic_but_not_for_the_column(annotation: Any, value: Any, error: str) -> None:
    """A value that the model accepts and the column cannot hold rejects its row alone, naming the field."""
    model = one_field(annotation)
    assert model.model_validate({"f": value})
    verdict = check(model, documents({"f": value}, {"f": "broken"} if annotation is not int else {"f": None}))
    assert verdict.rejected[0].errors[0]["type"] == error
    assert verdict.rejected[0].errors[0]["loc"] == ["f"]
    assert str(value) not in json.dumps([e["msg"] for e in verdict.rejected[0].errors])


def test_one_bad_value_does_not_take_others_along() -> None:
    """In a column with values that do not fit, all others land unchanged and in order."""
    rows = [{"f": number if number % 7 else 2**70} for number in range(30_000)]
    verdict = check(one_field(int), documents(*rows))
    assert verdict.accepted["f"].to_pylist() == [number for number in range(30_000) if number % 7]
    assert [row.index for row in verdict.rejected] == [number for number in range(30_000) if not number % 7]


def test_floats_keep_their_bits() -> None:
    """NaN, infinities and the negative zero land as they are."""
    verdict = check(one_field(float), strings({"f": "nan"}, {"f": "inf"}, {"f": "-inf"}, {"f": "-0.0"}))
    assert [str(row["f"]) for row in values_of(verdict)] == ["nan", "inf", "-inf", "-0.0"]


@pytest.mark.parametrize(
    "annotation",
    [
        pydantic.SecretStr,
        pydantic.SecretBytes,
        pydantic.Secret[int],
        pydantic.SecretStr | None,
        list[pydantic.SecretStr],
        dict[str, pydantic.SecretStr] | None,
        create_model("Inner", deep=(pydantic.SecretStr, ...)),
        create_model("Inner", __config__={"extra": "allow"}, deep=(pydantic.SecretStr, ...)),
        Callable[[], int],
        type[int],
        Iterable[int],
        typing.Iterator,
        pydantic.ImportString,
    ],
    ids=str,
)
def test_no_column(annotation: Any) -> None:
    """What no column can hold is refused before any row is read, naming the field and the next step."""
    model = create_model("M", __config__={"arbitrary_types_allowed": True}, f=(annotation, ...))
    with pytest.raises(ContractError) as refusal:
        Contract(model)
    assert "M.f" in refusal.value.what
    assert refusal.value.hint


def test_arbitrary_class() -> None:
    """A class that Pydantic only checks with isinstance has no column."""

    class Engine:
        pass

    with pytest.raises(ContractError, match=r"M\.f"):
        Contract(create_model("M", __config__={"arbitrary_types_allowed": True}, f=(Engine, ...)))


@pytest.mark.parametrize("thing", [RootModel[int], Size, int, Point(x=1), "Point", BaseModel, create_model("Empty")])
def test_no_contract(thing: Any) -> None:
    """Only a BaseModel subclass with fields, which is not a RootModel, is a contract."""
    with pytest.raises(ContractError):
        Contract(thing)


def test_recursive_model() -> None:
    """A model that contains itself is a struct as far as it repeats, and JSON from there."""
    verdict = check(
        create_model("M", tree=(Tree, ...)), documents({"tree": {"name": "a", "children": [{"name": "b"}]}})
    )
    assert values_of(verdict) == [{"tree": {"name": "a", "children": ['{"name":"b","children":[]}']}}]


def test_sets_have_one_order() -> None:
    """Sets land in the same order whatever order they came in, even sets of sets and of mixed members."""
    model = create_model("M", f=(set[frozenset[int]], ...), g=(set[int | str], ...), h=(set[tuple[str, int]], ...))
    members = {"f": [[1, 2], [3], []], "g": [3, "a", 1], "h": [["b", 1], ["a", 2]]}
    forward, backward = ({k: (v[::step]) for k, v in members.items()} for step in (1, -1))
    first, second = values_of(check(model, documents(forward, backward)))
    assert first == second


def test_default_none_is_nullable() -> None:
    """A field whose default is None is nullable although its annotation is not; so it is in a struct."""

    class Inner(BaseModel):
        a: int = None  # type: ignore[assignment]

    class M(BaseModel):
        a: int = None  # type: ignore[assignment]
        b: Inner

    assert values_of(check(M, documents({"b": {}}))) == [{"a": None, "b": {"a": None}}]


def test_unvalidated_defaults() -> None:
    """A default of another numeric type lands if it is equal; one of another kind rejects the row."""

    class Fine(BaseModel):
        a: float = 0
        b: Decimal = 1  # type: ignore[assignment]

    class Bad(BaseModel):
        a: int = "x"  # type: ignore[assignment]

    assert values_of(check(Fine, documents({}))) == [{"a": 0.0, "b": Decimal(1)}]
    assert error_types(check(Bad, documents({}))) == [["rk_unstorable"]]


def test_use_enum_values() -> None:
    """With `use_enum_values` the model holds bare values, and they land as members do."""
    model = create_model("M", __config__={"use_enum_values": True}, c=(Colour, ...), l=(Level, Level.LOW))
    assert values_of(check(model, documents({"c": "red"}))) == [{"c": "red", "l": 1}]


def test_aware_times_of_other_zones() -> None:
    """A datetime lands as its instant, whatever zone it was written in."""
    zone = timezone(timedelta(hours=-5, minutes=-30))
    verdict = check(one_field(datetime), strings({"f": datetime(2020, 6, 1, 12, tzinfo=zone).isoformat()}))
    assert values_of(verdict) == [{"f": datetime(2020, 6, 1, 17, 30, tzinfo=UTC)}]
