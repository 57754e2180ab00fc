"""Names and unknown columns: what a source must have, may have, and what becomes of the rest."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from rowkeeper.contracts import Contract
from rowkeeper.errors import ContractError, SourceError
from tests.contracts.batches import check, documents, error_types, strings, typed, values_of


class M(BaseModel):
    a: int
    b: int = 0


class Aliased(BaseModel):
    plain: int
    aliased: int = Field(alias="Aliased Column")
    chosen: int = Field(validation_alias=AliasChoices("x", AliasPath("y", 0)))
    optional: int | None = Field(None, validation_alias="opt")


def test_names() -> None:
    """A source is asked for the names under which the model looks, one group for each required field."""
    columns = Contract(Aliased).columns()
    assert columns.known == {"plain", "Aliased Column", "x", "y", "opt"}
    assert set(columns.required) == {frozenset({"plain"}), frozenset({"Aliased Column"}), frozenset({"x", "y"})}
    assert columns.extra == "reject"
    assert Contract(M, drift="evolve").columns().extra == "evolve"
    assert Contract(M).columns().required == (frozenset({"a"}),)


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ({}, {"A"}),
        ({"populate_by_name": True}, {"A", "a"}),
        ({"validate_by_name": True}, {"A", "a"}),
        ({"validate_by_name": True, "validate_by_alias": False}, {"a"}),
    ],
)
def test_names_by_configuration(config: Any, known: set[str]) -> None:
    """The model's configuration says whether its fields go by alias, by name, or by both; Pydantic agrees."""

    class Configured(BaseModel):
        model_config = ConfigDict(**config)
        a: int = Field(alias="A")

    assert Contract(Configured).columns().known == known
    for name in ("a", "A"):
        accepted = check(Configured, documents({name: 1}), drift="ignore").accepted.num_rows
        assert accepted == (name in known)


def test_alias_generator() -> None:
    """Generated aliases are known names; the columns have the fields' names."""

    class Generated(BaseModel):
        model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))
        first_name: str

    assert Contract(Generated).columns().known == {"firstName"}
    assert values_of(check(Generated, strings({"firstName": "x"}))) == [{"first_name": "x"}]


def test_reject() -> None:
    """With "reject" an unknown column of a table fails the run; an unknown key rejects its document alone."""
    with pytest.raises(SourceError) as refusal:
        Contract(M).check(strings({"a": "1", "z": "2"}))
    assert "'z'" in refusal.value.what
    verdict = check(M, documents({"a": 1, "z": 2}, {"a": 2}, {"a": "x", "z": 1}))
    assert error_types(verdict) == [["rk_unknown_column"], ["int_parsing"]]
    assert verdict.rejected[0].errors[0]["loc"] == ["z"]
    assert verdict.accepted["a"].to_pylist() == [2]


def test_ignore() -> None:
    """With "ignore" unknown columns and keys are dropped, and a forbidding model does not see them in a table."""

    class Forbidding(M, extra="forbid"):
        pass

    for model in (M, Forbidding):
        assert values_of(check(model, strings({"a": "1", "z": "2"}), drift="ignore")) == [{"a": 1, "b": 0}]
    assert values_of(check(M, documents({"a": 1, "z": 2}), drift="ignore")) == [{"a": 1, "b": 0}]
    assert error_types(check(Forbidding, documents({"a": 1, "z": 2}), drift="ignore")) == [["extra_forbidden"]]


def test_evolve_strings() -> None:
    """With "evolve" an unknown column of text follows the model's as nullable text, of the accepted rows only."""
    batch = strings({"a": "1", "z": "u"}, {"a": "x", "z": "v"}, {"a": "3", "z": None})
    verdict = check(M, batch, drift="evolve")
    assert values_of(verdict) == [{"a": 1, "b": 0, "z": "u"}, {"a": 3, "b": 0, "z": None}]
    assert Contract(M, drift="evolve").unknown(batch) == (pa.field("z", pa.string()),)
    assert Contract(M, drift="ignore").unknown(batch) == ()


@pytest.mark.parametrize(
    ("column", "stored", "values"),
    [
        (pa.array([1, None], pa.uint8()), pa.uint8(), [1, None]),
        (pa.array([1.5, None], pa.float16()), pa.float32(), [1.5, None]),
        (pa.array(["x", None]).dictionary_encode(), pa.string(), ["x", None]),
        (pa.array(["x", None], pa.large_string()), pa.string(), ["x", None]),
        (pa.array([b"x", None], pa.binary(1)), pa.binary(), [b"x", None]),
        (pa.nulls(2), pa.string(), [None, None]),
        (pa.array([[1, None], None]), pa.string(), ["[1,null]", None]),
        (pa.array([{"x": date(2020, 1, 1)}, None]), pa.string(), ['{"x":"2020-01-01"}', None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), pa.string(), ['{"k":1}', None]),
        (pa.array([datetime(2020, 1, 1), None], pa.timestamp("ns")), pa.timestamp("ns"), None),
        (pa.array([date(2020, 1, 1), None], pa.date64()), pa.date32(), [date(2020, 1, 1), None]),
        (pa.array([b"\1" * 16, None], pa.uuid()), pa.binary(16), [b"\1" * 16, None]),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:30],
)
def test_evolve_typed(column: Any, stored: pa.DataType, values: Any) -> None:
    """An unknown typed column keeps its type, or becomes the nearest one that has nulls in ClickHouse."""
    verdict = check(M, typed(a=[1, 2], z=column), drift="evolve")
    assert verdict.accepted.schema.field("z").type == stored
    assert verdict.accepted.schema.field("z").nullable
    assert not verdict.rejected
    if values is not None:
        assert verdict.accepted["z"].to_pylist() == values


@pytest.mark.parametrize(
    "column",
    [
        pa.array([-(2**60), 0], pa.timestamp("us")),
        pa.array([2**40, 0], pa.timestamp("s", "UTC")),
        pa.array([-(2**62) - 2**61, 0], pa.timestamp("ns")),
        pa.array([10**6, 0], pa.int32()).cast(pa.date32()),
        pa.array([1, 0], pa.int64()).cast(pa.time64("ns")),
        pa.array([b"\xff", b"x"], pa.binary()).view(pa.string()),
    ],
    ids=lambda column: str(column.type),
)
def test_evolve_checks_what_passes(column: Any) -> None:
    """A value that its passed column cannot hold rejects its row alone."""
    verdict = check(M, typed(a=[1, 2], z=column), drift="evolve")
    assert verdict.accepted_index.to_pylist() == [1]
    assert verdict.rejected[0].errors[0]["loc"] == ["z"]


def test_evolve_documents() -> None:
    """Unknown keys of documents become nullable JSON text, in the order in which they appear."""
    verdict = check(
        M,
        documents({"a": 1}, {"a": 2, "z": {"k": [1, "x"]}}, {"a": 3, "y": None, "z": "t"}, {"a": "bad", "w": 1}),
        drift="evolve",
    )
    assert verdict.accepted.column_names == ["a", "b", "z", "y"]
    assert verdict.accepted["z"].to_pylist() == [None, '{"k":[1,"x"]}', '"t"']
    assert verdict.accepted["y"].to_pylist() == [None, None, None]
    assert verdict.accepted.schema.field("z").metadata == {b"rk:type": b"json"}


def test_evolved_carries() -> None:
    """An evolved contract keeps the columns for batches that lack them, and converts to the type they have."""
    first = Contract(M, drift="evolve")
    seen = first.check(typed(a=[1], z=pa.array([1], pa.int32()))).accepted.schema
    evolved = first.evolved(seen)
    assert evolved.schema.names == ["a", "b", "z"]
    assert first.schema.names == ["a", "b"]
    assert evolved.evolved(seen).schema == evolved.schema
    assert evolved.check(typed(a=[1])).accepted["z"].to_pylist() == [None]
    verdict = evolved.check(typed(a=[1, 2], z=pa.array([7, 2**40], pa.int64())))
    assert verdict.accepted.to_pylist() == [{"a": 1, "b": 0, "z": 7}]
    assert verdict.accepted.schema == evolved.schema
    assert evolved.check(documents({"a": 1})).accepted.column_names == ["a", "b", "z"]


@pytest.mark.parametrize("name", ["_rk_row", "_rk_x", ""])
def test_reserved_names(name: str) -> None:
    """No column passes through under a name of Rowkeeper's own, or without one."""
    contract = Contract(M, drift="evolve")
    with pytest.raises(SourceError):
        contract.check(strings({"a": "1", name: "x"}))
    with pytest.raises(SourceError):
        contract.evolved([pa.field(name, pa.string())])
    assert error_types(check(M, documents({"a": 1, name: "x"}), drift="evolve")) == [["rk_unknown_column"]]


def test_name_of_a_field_that_is_filled_from_elsewhere() -> None:
    """An unknown column with the name of an aliased field cannot be added beside it."""
    with pytest.raises(SourceError, match="aliased"):
        Contract(Aliased, drift="evolve").check(
            strings({"plain": "1", "Aliased Column": "1", "x": "1", "aliased": "1"})
        )


def test_too_many_keys() -> None:
    """Keys that are data do not become thousands of columns."""
    with pytest.raises(SourceError, match="1,000"):
        Contract(M, drift="evolve").check(documents(*({"a": 1, f"k{n}": 1} for n in range(1001))))


def test_reserved_field() -> None:
    """A computed field cannot take a name of Rowkeeper's own."""

    class Reserved(M):
        @computed_field  # type: ignore[prop-decorator]
        @property
        def _rk_row(self) -> int:
            return 1

    with pytest.raises(ContractError, match="_rk_row"):
        Contract(Reserved)


def test_model_that_reads_the_raw_row() -> None:
    """A model with a before-validator sees undeclared columns under "ignore", and nothing is required for it."""

    class Named(BaseModel):
        name: str

        @model_validator(mode="before")
        @classmethod
        def join(cls, data: Any) -> Any:
            return {"name": f"{data['first']} {data['last']}"}

    contract = Contract(Named, drift="ignore")
    assert contract.columns().required == ()
    assert contract.columns().extra == "evolve"  # so that the source leaves them in
    batch = strings({"first": "Ada", "last": "L"})
    assert values_of(check(Named, batch, drift="ignore")) == [{"name": "Ada L"}]


def test_extra_allow_sees_them() -> None:
    """A model with extra="allow" is shown what it may keep, and what passes through is the source's value."""

    class Allowing(M, extra="allow"):
        __pydantic_extra__: dict[str, int]

    verdict = check(Allowing, strings({"a": "1", "z": "5"}, {"a": "1", "z": "x"}), drift="evolve")
    assert values_of(verdict) == [{"a": 1, "b": 0, "z": "5"}]
    assert error_types(verdict) == [["int_parsing"]]


def test_nested_unknown_keys_are_the_models_business() -> None:
    """The policy is about columns; keys inside a nested object follow the nested model."""

    class Outer(BaseModel):
        m: M

    assert values_of(check(Outer, documents({"m": {"a": 1, "z": 2}}))) == [{"m": {"a": 1, "b": 0}}]


def test_passed_json_is_json() -> None:
    """Text of unknown keys can be read back, big integers included."""
    content = {"n": 10**30, "t": "é\n", "l": [1.5, None]}
    verdict = check(M, documents({"a": 1, "z": content}), drift="evolve")
    assert json.loads(verdict.accepted["z"][0].as_py()) == content
