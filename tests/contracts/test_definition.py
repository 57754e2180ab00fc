"""The definition of a contract: equal for equal contracts in every process, different for different ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from rowkeeper.batch import InputMode
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
    tags: set[str] = {"a"}
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


DRIVER = """
import importlib, linecache, sys
for folder in sys.argv[1:]:
    sys.path[0] = folder
    sys.modules.pop("models", None)
    linecache.clearcache()
    importlib.invalidate_caches()
    importlib.import_module("models")
"""
CHANGES = [("value + 1", "value + 2"), ("at_least(3)", "at_least(4)"), ('"z"]', '"w"]'), ("lambda: 5", "lambda: 4")]


def definitions(folder: Path, sources: list[str], seed: str) -> list[str]:
    """The definitions of these models, as a process of its own sees them."""
    folders = []
    for number, source in enumerate(sources):
        folders.append(folder / f"{seed}-{number}")
        folders[-1].mkdir()
        (folders[-1] / "models.py").write_text(source)
    made = subprocess.run(
        [sys.executable, "-c", DRIVER, *map(str, folders)],
        env={"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.splitlines()


def test_between_processes(tmp_path: Path) -> None:
    """Processes of different hash seeds agree; a changed helper, argument, parent or default makes another."""
    sources = [MODULE, *(MODULE.replace(before, after) for before, after in CHANGES)]
    first, second = (definitions(tmp_path, sources, seed) for seed in ("1", "2"))
    assert first == second
    assert len(set(first)) == len(sources)


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
    """Each field's plan names its column, its check, and why it is not by column alone."""
    model = create_model("M", a=(int | None, ...), b=(dict[str, int] | None, ...), c=(float, ...))
    plans = Contract(model).explain(InputMode.STRINGS)
    assert [(plan.name, plan.kind, plan.column) for plan in plans] == [
        ("a", "P", "int64 or null"),
        ("b", "F", "json or null"),
        ("c", "P", "double"),
    ]
    assert "len_bytes" in plans[0].check
    assert "dict" in plans[1].why
    typed = Contract(model).explain(InputMode.PYTHON)
    assert [plan.kind for plan in typed] == ["V", "F", "V"]
    assert {plan.kind for plan in Contract(model).explain(InputMode.JSON)} == {"F"}


def test_explain_says_why_rows_go_whole() -> None:
    """A validator of the whole model, or one that may look at other fields, takes the columns' say from all fields."""

    class Whole(BaseModel):
        a: int

        @model_validator(mode="after")
        def check(self) -> Self:
            return self

    class Looking(BaseModel):
        a: int
        b: str

        @field_validator("b")
        @classmethod
        def check(cls, value: str, info: ValidationInfo) -> str:
            return value

    for model, why in (
        (Whole, "validator of the whole model"),
        (Looking, "validator of b may look at the other fields"),
    ):
        plans = Contract(model).explain(InputMode.PYTHON)
        assert {plan.kind for plan in plans} == {"F"}
        assert why in plans[0].why
