"""A contract inferred from a sample is Python that imports, and accepts the sample that it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from rowkeeper.batch import RAW_LINE, InputMode
from rowkeeper.contracts import InferredContract, infer_contract
from rowkeeper.errors import ContractError
from tests.contracts.batches import batch_of, check, documents, strings, typed
from tests.extent import examples

quick = settings(max_examples=examples(30, 300), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def model_of(inferred: InferredContract, name: str = "Sample") -> type[BaseModel]:
    namespace: dict[str, Any] = {"__name__": "inferred"}
    text = "\n".join(inferred.imports) + "\n\n\n" + inferred.source
    exec(compile(text, "inferred.py", "exec", dont_inherit=True), namespace)
    model = namespace[name]
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def annotations(table: pa.Table, mode: InputMode = InputMode.STRINGS) -> list[str]:
    source = infer_contract(table, mode, "Sample").source
    return [line.strip() for line in source.rpartition("class Sample")[2].splitlines()[1:] if line.strip()]


def accepts_its_sample(table: pa.Table, mode: InputMode) -> type[BaseModel]:
    inferred = infer_contract(table, mode, "Sample")
    model = model_of(inferred)
    assert len(model.model_fields) == inferred.fields
    assert set(inferred.required) <= set(model.model_fields)
    verdict = check(model, batch_of(table, mode))
    assert not verdict.rejected, (inferred.source, verdict.rejected[0])
    return model


def test_text() -> None:
    """Columns of text become what all of their values are; what only looks like a number stays text."""
    batch = strings(
        {"i": "1", "f": "1.5", "b": "true", "d": "2020-01-01", "t": "2020-01-01 10:00:00", "zip": "01234", "n": None},
        {"i": "-2", "f": "3", "b": "False", "d": "2020-02-01", "t": "2020-01-01T10:00:00Z", "zip": "10000", "n": "x"},
    )
    assert annotations(batch.table) == [
        "i: int",
        "f: float",
        "b: bool",
        "d: date",
        "t: datetime",
        "zip: str",
        "n: str | None",
    ]
    accepts_its_sample(batch.table, InputMode.STRINGS)
    assert infer_contract(batch.table, InputMode.STRINGS, "Sample").required == ("i", "b", "d", "t", "zip")


def test_values_that_no_column_holds_stay_text() -> None:
    """Integers beyond 64 bits and dates beyond ClickHouse's are not inferred as such."""
    table = strings(
        {"i": str(2**63), "d": "1899-01-01", "t": "2300-01-01T00:00:00", "x": "2020-13-01", "h": "0x10"}
    ).table
    assert annotations(table)[1:] == ["d: str", "t: str", "x: str", "h: str"]
    accepts_its_sample(table, InputMode.STRINGS)


def test_documents() -> None:
    """Objects become classes, keys that are sometimes absent get a default, mixtures are Any."""
    table = documents(
        {
            "id": 1,
            "at": "2020-01-01T00:00:00Z",
            "who": {"name": "x", "age": None},
            "tags": ["a"],
            "mix": 1,
            "date": "2020-01-01",
        },
        {"id": 2, "at": "2020-01-01T00:00:00Z", "who": {"name": "y", "age": 3}, "tags": [], "mix": "b"},
        b"broken",
    ).table
    inferred = infer_contract(table, InputMode.JSON, "Sample")
    assert annotations(table, InputMode.JSON) == [
        "id: int",
        "at: datetime",
        "who: SampleWho",
        "tags: list[str]",
        "mix: Any",
        "date_: Annotated[date | None, Field(alias='date')] = None",
    ]
    assert "age: int | None" in inferred.source
    verdict = check(model_of(inferred), batch_of(table, InputMode.JSON))
    assert [row.index for row in verdict.rejected] == [2]


def test_typed() -> None:
    """Typed columns keep their types; nulls make them optional, inside lists too."""
    table = typed(
        i=pa.array([1, None], pa.int8()),
        u=pa.array([2**64 - 1, 0], pa.uint64()),
        c=pa.array([Decimal("1.10"), Decimal(0)], pa.decimal128(9, 2)),
        t=pa.array([datetime(2020, 1, 1)] * 2, pa.timestamp("ns", "UTC")),
        y=pa.array([timedelta(1)] * 2),
        x=pa.array([[1, None], []], pa.list_(pa.int64())),
        s=pa.array([{"a b": 1, "c": None}, {"a b": 2, "c": "x"}]),
        m=pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        e=pa.array(["p", "q"]).dictionary_encode(),
        z=pa.nulls(2),
        g=pa.array([b"\1" * 16] * 2, pa.uuid()),
    ).table
    assert annotations(table, InputMode.PYTHON) == [
        "i: int | None",
        "u: Annotated[Decimal, Field(max_digits=20, decimal_places=0)]",
        "c: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]",
        "t: datetime",
        "y: timedelta",
        "x: list[int | None]",
        "s: SampleS",
        "m: dict[str, int]",
        "e: str",
        "z: str | None",
        "g: UUID",
    ]
    accepts_its_sample(table, InputMode.PYTHON)


@pytest.mark.parametrize(
    "names",
    [
        ["class", "def", "None"],
        ["json", "copy", "model_config", "model_validate_x", "model_name", "schema", "dict"],
        ["a b", "a-b", "a_b", "a_b_"],
        ["", " ", "_", "__", "1", "1st", "_rk_row", "__init__"],
        ["date", "int", "str", "Field", "Any", "BaseModel", "Annotated", "self", "cls"],
        ["é", "ﬁ", "名", "a'b", 'a"b', "a\\b", "a\nb", "{}", "{0}"],
    ],
)
@pytest.mark.parametrize("mode", list(InputMode))
def test_names(names: list[str], mode: InputMode) -> None:
    """Whatever the columns are called, the model has a field for each and finds its values."""
    values: Sequence[str] = ["2020-01-01", "1", "x", "true"]
    rows = [{name: values[(n + row) % 1 or n % 4] for n, name in enumerate(names)} for row in range(2)]
    if mode is InputMode.JSON:
        table = documents(*rows, {names[0]: rows[0][names[0]]}).table
    else:
        table = pa.table([pa.array([row[name] for row in rows]) for name in names], names)
    model = accepts_its_sample(table, mode)
    assert len(model.model_fields) == len(names)


@pytest.mark.parametrize("mode", list(InputMode))
def test_nothing_to_infer_from(mode: InputMode) -> None:
    """A sample without columns or documents is an error that says so."""
    empty = pa.table({RAW_LINE: pa.array([], pa.large_binary())}) if mode is InputMode.JSON else pa.table({})
    with pytest.raises(ContractError, match="Sample"):
        infer_contract(empty, mode, "Sample")


KINDS = [  # of cells; a column draws from one of them, or from all
    st.none() | st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.none() | st.booleans().map(str),
    st.none() | st.dates().map(date.isoformat),
    st.none() | st.datetimes().map(datetime.isoformat),
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.sampled_from(["", " 1", "1.", ".5", "1e5", "-", "+1", "00", "0", "-0.0", "1_0", "\uff12", "1e999", "9" * 25]),
]
CELLS = st.one_of(*KINDS)
NAMES = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(["a", "date", "class", "json", "Any"])


@quick
@given(st.data())
def test_any_text(data: st.DataObject) -> None:
    """Any table of text is accepted by the contract that was inferred from it."""
    names = data.draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    kinds = [data.draw(st.sampled_from([CELLS, *KINDS])) for _ in names]
    count = data.draw(st.integers(0, 4))
    columns = [pa.array(data.draw(st.lists(kind, min_size=count, max_size=count)), pa.string()) for kind in kinds]
    accepts_its_sample(pa.table(columns, names), InputMode.STRINGS)


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**65), 2**65),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8"), max_size=4),
        st.dates().map(date.isoformat),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


@quick
@given(st.lists(st.dictionaries(NAMES, JSON_VALUES, max_size=3), min_size=1, max_size=4))
def test_any_documents(rows: list[dict[str, Any]]) -> None:
    """Any documents are accepted by the contract that was inferred from them."""
    if any(rows):
        table = documents(*(json.dumps(row).encode() for row in rows)).table
        accepts_its_sample(table, InputMode.JSON)


@quick
@given(st.lists(st.dictionaries(NAMES, JSON_VALUES, max_size=3), min_size=1, max_size=4))
def test_any_typed(rows: list[dict[str, Any]]) -> None:
    """Any typed table (as Arrow makes it of these rows) is accepted by the contract that was inferred from it."""
    try:
        table = pa.Table.from_pylist(rows)
    except (pa.ArrowException, OverflowError):
        return
    if table.num_columns:
        accepts_its_sample(table, InputMode.PYTHON)
