"""Fields together: who judges what, in which order rows come out, what a field costs that is Pydantic's to judge."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Annotated, Any, Self

import pyarrow as pa
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    IPvAnyAddress,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from rowkeeper.contracts.contract import Contract
from tests.contracts.compiler.agreeing import agree, batch_of

RULES = Path(__file__).parents[3] / "src" / "rowkeeper" / "contracts" / "compiler"


def test_every_rule_names_its_proof():
    """The test that a rule names is there."""
    proofs = {name for path in RULES.glob("*.py") for name in re.findall(r'proof ?= ?"([^"]+)"', path.read_text())}
    assert len(proofs) > 8
    for proof in proofs:
        file, _, test = proof.partition("::")
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(), proof


def test_rows_come_out_in_order_whoever_judged_them():
    """Rows that Pydantic accepted stand between those that the columns accepted."""
    table = pa.table({"x": ["1", " 2", "3", "x", "+5", "6", "1_000"]})
    verdict = Contract(create_model("M", x=(int, ...))).check(batch_of(table))
    assert verdict.accepted["x"].to_pylist() == [1, 2, 3, 5, 6, 1000]
    assert verdict.accepted_index.to_pylist() == [0, 1, 2, 4, 5, 6]
    assert [each.index for each in verdict.rejected] == [3]
    assert verdict.by_pydantic == 3


def test_a_python_validator_costs_its_own_field_alone():
    """It sees each value of a good row once, and the rest of the row stays with the columns."""
    seen: list[int] = []

    def even(value: int) -> int:
        seen.append(value)
        if value % 2:
            raise ValueError("odd")
        return value * 10

    short = Annotated[str, Field(max_length=3)]
    model = create_model("M", a=(Annotated[int, AfterValidator(even)], ...), b=(short, ...))
    table = pa.table({"a": [2, 3, 4, 6], "b": ["x", "y", "long", "z"]})
    verdict = Contract(model).check(batch_of(table))
    assert verdict.accepted.to_pydict() == {"a": [20, 60], "b": ["x", "z"]}
    assert [(each.index, each.errors[0]["type"]) for each in verdict.rejected] == [
        (1, "value_error"),
        (2, "string_too_long"),
    ]
    assert verdict.by_pydantic == 2
    # The rows at fault went to Pydantic whole: it saw 3 again, and 4 for the first time.
    assert seen == [2, 3, 6, 3, 4]


def test_library_types_are_judged_once_per_distinct_value(monkeypatch: pytest.MonkeyPatch):
    """E-mail addresses and the like are the same each time they come."""
    calls = 0
    from pydantic import networks

    validate = networks.validate_email

    def counting(value: str) -> tuple[str, str]:
        nonlocal calls
        calls += 1
        return validate(value)

    monkeypatch.setattr(networks, "validate_email", counting)
    table = pa.table({"x": ["a@b.example", "b@c.example", "no address"] * 100})
    verdict = Contract(create_model("M", x=(EmailStr, ...))).check(batch_of(table))
    assert verdict.accepted.num_rows == 200
    assert calls == 3 + 100  # each distinct one, then the rows at fault


def raises_key_error(value: int) -> int:
    return {1: 1}[value]


class Nested(BaseModel):
    lat: float
    name: str = "here"


class Dog(BaseModel):
    kind: str = "dog"


FIELDS: list[tuple[Any, list[Any]]] = [
    (int, [1, 2, None]),
    (Annotated[int, AfterValidator(raises_key_error)], [1, 2, None]),
    (Annotated[int, BeforeValidator(lambda value: value or 0)], [1, None, 3]),
    (list[int], [["1", "2"], [], ["x"], None]),
    (list[int] | None, [[1, 2], [], None]),
    (Nested, [{"lat": 1.0, "name": "x"}, {"lat": None, "name": "y"}, None]),
    (EmailStr, ["a@b.example", "no", None]),
    (HttpUrl, ["http://x.example/a", "no", None]),
    (IPvAnyAddress, ["10.0.0.1", "::1", "no", None]),
    (int | str, ["1", "x", None]),
    (dict[str, int], [[("a", 1)], None]),
    (set[int], [[1, 1, 2], [], None]),
    (tuple[int, str], [{"1": 1, "2": "x"}, None]),
    (float | None, [1.0, float("nan"), None]),
    (Annotated[str, Field(pattern="^a")] | None, ["a", "b", None]),
]


@pytest.mark.parametrize("seed", range(30))
def test_fields_together(seed: int):
    """Any fields beside each other: verdicts, values, errors and order as Pydantic alone would have them."""
    choice = random.Random(seed)
    chosen = [choice.choice(FIELDS) for _ in range(3)]
    columns = {}
    for number, (annotation, values) in enumerate(chosen):
        kind = pa.map_(pa.string(), pa.int64()) if annotation == dict[str, int] else None
        columns[f"f{number}"] = pa.array([choice.choice(values) for _ in range(40)], kind)
    model = create_model("M", **{f"f{number}": (annotation, ...) for number, (annotation, _) in enumerate(chosen)})
    agree(model, pa.table(columns))


class Aliased(BaseModel):
    a: int = Field(alias="A")
    b: str = "static"
    c: list[int] = Field(default_factory=list)
    d: Annotated[int, Field(ge=0)] = -5


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(alias="A")


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Whole(BaseModel):
    a: int
    b: int

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.a > self.b:
            raise ValueError("a after b")
        return self


class Computed(BaseModel):
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return self.a * 2


class Posting(BaseModel):
    a: int

    def model_post_init(self, context: Any) -> None:
        self.a += 1


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int
    b: float
    c: str


class Checked(BaseModel):
    a: int
    b: str

    @field_validator("b", mode="before")
    @classmethod
    def upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (Aliased, {"A": [1, 2]}),
        (Aliased, {"A": [1, 2], "b": ["x", None], "d": [1, -1]}),
        (Aliased, {"A": [1, 2], "c": [[1], []]}),
        (Aliased, {"a": [1, 2]}),
        (Renamed, {"a": [1, 2]}),
        (Renamed, {"A": [1, 2]}),
        (Renamed, {"A": [1, 2], "a": [3, 4]}),
        (Forbidding, {"a": [1, None]}),
        (Whole, {"a": [1, 2, None], "b": [2, 1, 1]}),
        (Computed, {"a": [1, None]}),
        (Posting, {"a": [1, None]}),
        (Strict, {"a": [1, 2], "b": [1.5, None], "c": ["x", "y"]}),
        (Strict, {"a": ["1", "2"], "b": [1, 2], "c": ["x", "y"]}),
        (Checked, {"a": [1, 2], "b": ["x", None]}),
        (Whole, {"a": [], "b": []}),
    ],
)
def test_models(model: type[BaseModel], columns: dict[str, list[Any]]):
    """Aliases, defaults, extra columns, strictness, and code of the model's own."""
    agree(model, pa.table(columns))
    agree(model, pa.table({**columns, "more": [0] * len(next(iter(columns.values())))}))


def test_a_default_needs_no_column():
    """A field without a column holds its default, unvalidated, and costs nothing."""
    verdict = Contract(Aliased).check(batch_of(pa.table({"A": [1, 2], "c": [[1], [2]]})))
    assert verdict.accepted.to_pydict() == {"a": [1, 2], "b": ["static"] * 2, "c": [[1], [2]], "d": [-5, -5]}
    assert verdict.by_pydantic == 0
