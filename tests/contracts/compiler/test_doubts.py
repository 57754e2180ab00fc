"""Rows of which some fields are in doubt: only those are shown to Pydantic, and nothing else changes."""

from __future__ import annotations

import importlib
import threading
from typing import Annotated, Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

import rowkeeper as rk
from rowkeeper.contracts.compiler.distinct import KNOWN_MAX
from tests.contracts.compiler.agreeing import agree

checking = importlib.import_module("rowkeeper.contracts.check")  # the package's `check` is the function
NAMES = [f"f{number}" for number in range(8)]


def test_every_set_of_bad_fields() -> None:
    """Rows that are bad in any of 256 ways keep their verdicts, and their errors in the order of the fields."""
    fields: dict[str, Any] = {name: (Annotated[int, Field(ge=0)], ...) for name in NAMES}
    model = create_model("Many", **fields)
    columns = {name: [-1 if row >> bit & 1 else row for row in range(256)] for bit, name in enumerate(NAMES)}
    assert agree(model, pa.table(columns)) == 1


def test_a_form_that_no_column_knows() -> None:
    """A row that Pydantic accepts after all keeps the columns' values of its other fields."""

    class Reading(BaseModel):
        number: int
        name: str
        level: Annotated[float, Field(ge=0)] = 0.5

    table = pa.table({"number": ["1", " 2 ", "x", "1_000"], "name": list("abcd"), "level": ["1", "2", "-3", "4"]})
    assert agree(Reading, table) == 1
    checked = rk.check(Reading, table, mode="strings")
    assert checked.accepted.to_pylist() == [
        {"number": 1, "name": "a", "level": 1.0},
        {"number": 2, "name": "b", "level": 2.0},
        {"number": 1000, "name": "d", "level": 4.0},
    ]
    assert [error["loc"] for error in checked.rejected[0].errors] == [["number"], ["level"]]


def test_aliases_and_defaults() -> None:
    """A field in doubt is named by its alias, and one with a default beside it keeps the default."""

    class Aliased(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        count: Annotated[int, Field(alias="Count", ge=0)]
        absent: str = "there"

    table = pa.table({"Count": [1, -1]})
    assert agree(Aliased, table) == 1
    assert rk.check(Aliased, table).rejected[0].errors[0]["loc"] == ["Count"]
    assert agree(Aliased, pa.table({"count": [1, -1]})) == 1


def test_a_validator_of_the_users_sees_only_its_own_field() -> None:
    """A bad cell beside it does not have a Python validator called twice, nor with other fields' values."""
    seen: list[str] = []

    class Checked(BaseModel):
        number: Annotated[int, Field(ge=0)]
        name: str

        @field_validator("name")
        @classmethod
        def note(cls, value: str) -> str:
            seen.append(value)
            return value

    checked = rk.check(Checked, pa.table({"number": [1, -1, 2], "name": ["a", "b", "c"]}))
    assert sorted(seen) == ["a", "b", "c"]
    assert [row.index for row in checked.rejected] == [1]


def test_validators_are_called_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is checked in several threads; the model's own validators need not know."""
    monkeypatch.setattr(checking, "BATCH_ROWS", 100)
    inside = threading.Lock()
    overlapped: list[int] = []

    class Slow(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def alone(cls, value: int) -> int:
            if not inside.acquire(blocking=False):
                overlapped.append(value)
                return value
            sum(range(1_000))
            inside.release()
            return value

    checked = rk.check(Slow, pa.table({"number": range(20_000)}))
    assert checked.accepted["number"].to_pylist() == list(range(20_000))
    assert not overlapped


def test_a_table_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row numbers, values and counts are those of the table, however it was divided."""

    class Small(BaseModel):
        number: Annotated[int, Field(ge=0)]

    table = pa.table({"number": [row if row % 7 else -row - 1 for row in range(1_000)]})
    whole = rk.check(Small, table)
    monkeypatch.setattr(checking, "BATCH_ROWS", 64)
    parts = rk.check(Small, table)
    assert parts.accepted.equals(whole.accepted)
    assert parts.accepted_index == whole.accepted_index
    assert [(row.index, row.text) for row in parts.rejected] == [(row.index, row.text) for row in whole.rejected]
    assert parts.by_pydantic == whole.by_pydantic == 143


@pytest.mark.parametrize("distinct", [10, KNOWN_MAX + 100])
def test_values_that_repeat(monkeypatch: pytest.MonkeyPatch, distinct: int) -> None:
    """Good values that are remembered from batch to batch never make a bad one good, be they few or many."""
    monkeypatch.setattr(checking, "BATCH_ROWS", 5_000)

    class Coded(BaseModel):
        code: Annotated[str | None, Field(pattern="^[a-z]+[0-9]+$")]

    values = [None if row % 11 == 0 else f"{'a' if row % 13 else 'A'}{row % distinct}" for row in range(40_000)]
    checked = rk.check(Coded, pa.table({"code": values}))
    assert [row.index for row in checked.rejected] == [
        row for row, value in enumerate(values) if value is not None and value[0] == "A"
    ]
