"""The definition of a contract: equal for equal contracts in every process, different for different ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model

from rowkeeper.contracts import Contract

MODULE = """
from typing import Annotated, Literal
from pydantic import AfterValidator, BaseModel, Field, field_validator
from rowkeeper.contracts import Contract

def helper(value):
    return value + 1

def at_least(limit):
    def check(value):
        assert value >= limit
        return helper(value)
    return check

class Parent(BaseModel):
    tags: set[str] = {"a", "b", "c", "d"}
    kind: Literal["x", "y", "z"]

class Model(Parent):
    a: Annotated[int, AfterValidator(at_least(3))]
    b: int = Field(default_factory=lambda: 5)

    @field_validator("b")
    @classmethod
    def small(cls, value):
        assert value in {"one", "two", "three", 4, 5}
        return value

print(Contract(Model).definition())
"""


def definition(folder: Path, source: str, seed: str) -> str:
    (folder / "models.py").write_text(source)
    made = subprocess.run(
        [sys.executable, "models.py"],
        cwd=folder,
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout


def test_same_in_every_process(tmp_path: Path) -> None:
    """No memory address, no order of a set gets in: two processes of different hash seeds agree."""
    source = MODULE.replace(' = {"a", "b", "c", "d"}', ' = {"a"}')
    assert definition(tmp_path, source, "1") == definition(tmp_path, source, "2")


@pytest.mark.parametrize(
    ("before", "after"),
    [("value + 1", "value + 2"), ("at_least(3)", "at_least(4)"), ('"z"]', '"w"]'), ("lambda: 5", "lambda: 4")],
)
def test_every_change_shows(tmp_path: Path, before: str, after: str) -> None:
    """A change of a helper, of a validator's argument, of a parent or of a default makes another definition."""
    assert definition(tmp_path, MODULE, "1") != definition(tmp_path, MODULE.replace(before, after), "1")


def test_models_without_source() -> None:
    """Models made by a program differ by fields, constraints, validators' code and what these close over."""

    def over(limit: int) -> object:
        return AfterValidator(lambda value: value > limit)

    models: list[type[BaseModel]] = [
        create_model("M", a=(int, ...)),
        create_model("M", a=(str, ...)),
        create_model("M", a=(int, 5)),
        create_model("M", a=(Annotated[int, Field(gt=1)], ...)),
        create_model("M", a=(Annotated[int, over(1)], ...)),
    ]
    found = [Contract(model).definition() for model in models]
    assert len(set(found)) == len(found)
    assert Contract(models[0]).definition() == found[0]
    assert Contract(models[0], drift="ignore").definition() != found[0]


def test_explain() -> None:
    """Each field's plan names its column and is honest about how it is checked."""
    model = create_model("M", a=(int | None, ...), b=(dict[str, int] | None, ...))
    plans = Contract(model).explain()
    assert [(plan.name, plan.kind, plan.column) for plan in plans] == [
        ("a", "F", "int64 or null"),
        ("b", "F", "json or null"),
    ]
    assert "Pydantic" in plans[0].why
