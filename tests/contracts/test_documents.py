"""JSON documents read as columns say what Pydantic's own reader says, or nothing."""

from __future__ import annotations

import json
import struct
from datetime import date
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    ValidationError,
    create_model,
)
from pydantic_core import from_json

from rowkeeper.contracts import Contract
from rowkeeper.contracts.documents import BLOCK_ROWS, DocumentReader
from rowkeeper.protocols import DriftPolicy
from tests.contracts.batches import check, documents
from tests.contracts.compiler.agreeing import agree_on_documents
from tests.extent import examples

WANTED = pa.schema([("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()), ("s", pa.string())])
GOOD = b'{"i":1,"f":2.5,"b":true,"s":"x"}'
VALUES = [
    *("0", "-0", "1", "01", "1.0", "1.", ".5", "+1", "-1", "1e5", "1E5", "1e-400", "1e400", "-1e400", "1e", "0x10"),
    *("-0.0", "0.0", "0e0", "-0e-5", "0.1", "1_000", "9007199254740992", "9007199254740993", "-9007199254740993"),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "1" * 30, "1" * 400, "1" * 5000),
    *("0." + "1" * 400, "0." + "0" * 400 + "1", "1" * 18 + "." + "7" * 20, "1e00000000000000000005", "1.7e308"),
    *(
        "4.35",
        "2.2250738585072011e-308",
        "5e-324",
        "0.30000000000000004",
        "123456789012345678.5",
        "179e306",
        "-",
        "--1",
    ),
    *("true", "false", "True", "null", "NULL", "nul", "NaN", "nan", "Infinity", "-Infinity", "Inf", "-Inf", "inf"),
    *('""', '"x"', '"1"', '"true"', '"NaN"', '"null"', '"a\tb"', '"\\t"', '"\\/"', '"\\u0000"', '"\\x41"', '"\\u12"'),
    *(
        '"\\ud800"',
        '"\\udc00"',
        '"\\ud83d\\ude00"',
        '"\\uD83D"',
        '"é"',
        '"😀"',
        '"\\\\"',
        '"\\""',
        '"',
        "'x'",
        '"\x7f"',
    ),
    *('"{"', '"}"', '"{}"', '"[1]"', '"},{"', '"\\n"', '"\\u00e9"', '"\ufeff"', '"\\ufeff"', '"Inf"', '": Inf"'),
    *("[]", "[1]", "[null]", "{}", '{"i":1}', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, ""),
]
WHOLE = [
    *(b"", b" ", b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"{}", b"{ }", b"{", b"}", b"{}}", b"{{}}", b"{}{}"),
    *(b"{}null{}", b"{} null {}", b"null{}", b"{}1{}", b"{},{}", b"{},null,{}", b'{"i":1}{"i":2}', b'{"i":1}\n{"i":2}'),
    *(
        b'{"i":1}\0}',
        b'{"i":1}\0{}',
        b"\0",
        b'{"i":\x001}',
        b'\xef\xbb\xbf{"i":1}',
        b'{"i":1}\xef\xbb\xbf',
        b'{"s":"\xff"}',
    ),
    *(
        b'{"\xff":1}',
        b'{"s":"\xed\xa0\x80"}',
        b'{"s":"\xc0\x80"}',
        b'{"i":1,}',
        b'{,"i":1}',
        b'{"i":1,,"f":1}',
        b'{"i"}',
    ),
    *(b'{"i":1 "f":1}', b'{"i" 1}', b"{'i':1}", b"{i:1}", b'{"i":1}//', b'{"i":1}/**/', b'{/**/"i":1}', b'{"i":1};'),
    *(
        b' {"i":1}',
        b'{"i":1} ',
        b'\t{"i":1}\r',
        b'{\n"i" :\r\n1\t}',
        b'{"i":\x0b1}',
        b'{"i":\xc2\xa01}',
        b'{"i":1}\x0c',
    ),
    *(b'{"i":1,"i":2}', b'{"i":1,"\\u0069":2}', b'{"\\u0069":1}', b'{"i":null,"i":2}', b'{"i":1,"i":"x"}', b'{"I":1}'),
    *(b'{"x":1}', b'{"i":1,"x":null}', b'{"x":{"i":2},"i":1}', b'{"x":[{"i":2}]}', b'{"x":Inf}', b'{"x":NaN,"i":1}'),
    *(
        b'{"x":"\\ud800"}',
        b'{"\\ud800":1}',
        b'{"x":01}',
        b'{"x":' + b"1" * 5000 + b"}",
        b'{"x":' + b"[" * 250 + b"]" * 250 + b"}",
    ),
    *(
        b'{"":1}',
        b'{"x":1,"x":2}',
        b'{"x":{"y":1,"y":2}}',
        b'{"x":{}}',
        b'{"x":null}null{"x":null}',
        b'{"x":{}}null{"x":{}}',
    ),
    *(b'{"s":"' + b"y" * 100_000 + b'"}', b'{"s":"a', b'"}', b'{"s":"\n"}', b'{"s":"}', b'{"s":"{"}', b'{"x":{"i":1}'),
    *(b'{"x":[}', b'{"x":[}]', b'{"i":1]', b'{"x":[{]}}', b'{"x":tru}', b'{"x":-}', b'{"x":1e}', b'{"x":"\\q"}'),
]
PROBES = [*WHOLE, *(f'{{"{key}":{value}}}'.encode() for key in "ifbsx" for value in VALUES)]


def read_right(lines: list[bytes | None], *, unknown: bool, wanted: pa.Schema = WANTED) -> list[int]:
    """Reads documents; asserts that what was read is what Pydantic's reader reads; returns which were read."""
    given = pa.chunked_array([pa.array(lines, pa.large_binary())])
    read = DocumentReader(wanted, unknown=unknown).read(given)
    positions: list[Any] = read.positions.to_pylist()
    assert positions == sorted(set(positions))
    read.table.validate(full=True)
    assert read.table.schema == wanted
    for position, row in zip(positions, read.table.to_pylist(), strict=True):
        line = lines[position]
        assert line is not None
        content = from_json(line)
        assert unknown or set(content) <= set(wanted.names), line
        for name in wanted.names:
            absent = read.absent.get(name)
            assert (name in content) != (absent is not None and absent[positions.index(position)].as_py()), (name, line)
        assert [_bits(row[field.name]) for field in wanted] == [
            _bits(_as(field.type, content.get(field.name))) for field in wanted
        ], line
    return positions


def _as(type_: pa.DataType, value: Any) -> Any:
    """An integer is a float too; everything else must be what it is read as."""
    if type_ == pa.float64() and type(value) is int:
        return float(value)
    kinds = {pa.int64(): int, pa.float64(): float, pa.bool_(): bool, pa.string(): str}
    assert value is None or type(value) is kinds[type_]
    return value


def _bits(value: Any) -> Any:
    return struct.pack("d", value) if isinstance(value, float) else value


@pytest.mark.parametrize("unknown", [False, True])
def test_no_probe_is_read_otherwise_than_pydantic_reads_it(unknown: bool) -> None:
    for probe in PROBES:
        read_right([probe], unknown=unknown)
    read_right(PROBES, unknown=unknown)


@pytest.mark.parametrize("unknown", [False, True])
def test_a_strange_document_spoils_none_of_its_neighbours(unknown: bool) -> None:
    for probe in PROBES:
        assert {0, 2} <= set(read_right([GOOD, probe, GOOD], unknown=unknown))


@pytest.mark.parametrize("unknown", [False, True])
def test_values_of_another_type_cost_their_own_rows_only(unknown: bool) -> None:
    wrong = [
        b'{"i":1.0}',
        b'{"i":"1"}',
        b'{"i":true}',
        b'{"f":"1"}',
        b'{"f":false}',
        b'{"b":1}',
        b'{"s":1}',
        b'{"s":[]}',
    ]
    lines = [wrong[(number // 10) % 8] if number % 10 == 0 else GOOD for number in range(3 * BLOCK_ROWS)]
    assert read_right(lines, unknown=unknown) == [number for number in range(len(lines)) if number % 10]


def test_good_documents_are_read_whatever_their_layout() -> None:
    layouts: list[bytes | None] = [
        GOOD,
        b'{"s": "x", "i": 1}',
        b' { "i" : -5 , "f" : 1e5 } ',
        b'{"f":-1.25e-7,"b":null}',
        b'{"s":"\\u00e9 \\n \\" {"}',
        '{"s":"é"}'.encode(),
        b'{"f":7}',
    ]
    assert read_right(layouts * 100, unknown=False) == list(range(700))


def test_keys_that_are_not_wanted_are_skipped_or_refuse_their_row() -> None:
    lines: list[bytes | None] = [b'{"x":{"y":[1]},"i":1}', b'{"i":1}', None]
    assert read_right(lines, unknown=True) == [0, 1]
    assert read_right(lines, unknown=False) == [1]


TOKENS = st.sampled_from(
    [value.encode() for value in VALUES]
    + [b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\r", b"\0", b'"', b"\\", b"null", b'"i"', b'"f"', b'"x"']
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from(["i", "f", "b", "s", "x", "\\u0069"]), st.sampled_from(VALUES)), max_size=4
).map(lambda members: b"{" + b",".join(f'"{key}":{value}'.encode() for key, value in members) + b"}")
FLOATS = st.floats().map(lambda value: f'{{"f":{value!r}}}'.encode())
DIGITS = st.from_regex(r'\A\{"[if]":-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\}\Z').map(str.encode)
TEXTS = st.text().map(lambda value: json.dumps({"s": value}).encode()) | st.text().map(
    lambda value: json.dumps({"s": value}, ensure_ascii=False).encode(errors="surrogatepass")
)
JUMBLE = st.lists(TOKENS, max_size=12).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a few bytes taken out, put in, or doubled."""
    line = draw(MEMBERS | TEXTS | st.just(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(TOKENS | st.binary(max_size=2) | st.just(line[at:to] * 2)) + line[to:]
    return line


@given(st.lists(MEMBERS | FLOATS | DIGITS | TEXTS | JUMBLE | damaged() | st.just(GOOD), max_size=6), st.booleans())
@settings(max_examples=examples(60, 1500), deadline=None)
def test_what_is_read_is_what_pydantic_reads(lines: list[bytes | None], unknown: bool) -> None:
    read_right(lines, unknown=unknown)


# ----------------------------------------------------------------------------------------- the contract


class Row(BaseModel):
    """Every way in which null and absent can differ."""

    need: int
    maybe: int | None
    gone: int | None = None
    filled: int = 5
    either: str | None = "d"
    made: list[int] | None = None


class Flat(BaseModel):
    """The same, of scalars only."""

    need: int
    maybe: int | None
    gone: int | None = None
    filled: int = 5
    either: str | None = "d"
    share: Annotated[float, Field(ge=0)] = 0.5
    kind: Literal["a", "b"] = "a"


class Forbidding(Flat):
    model_config = ConfigDict(extra="forbid")


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: Annotated[int, Field(alias="A")] = 1
    b: str = "b"


ROWS: list[Any] = [
    {"need": 1, "maybe": 2},
    {"need": 1, "maybe": None},
    {"need": 1},
    {"need": None, "maybe": 1},
    {"maybe": 1},
    {"need": 1, "maybe": None, "gone": None},
    {"need": 1, "maybe": 1, "filled": None},
    {"need": 1, "maybe": 1, "filled": 7, "either": None},
    {"need": 1, "maybe": 1, "either": "filled"},
    {"need": 1, "maybe": 1, "either": '"filled"'},
    {"need": 1, "maybe": 1, "either": '"filled":null'},
    {"need": 1, "maybe": 1, "share": None},
    {"need": 1, "maybe": 1, "share": -1},
    {"need": 1, "maybe": 1, "share": 1e300, "kind": "b"},
    {"need": 1, "maybe": 1, "kind": "c"},
    {"need": 1, "maybe": 1, "kind": None},
    {"need": 1, "maybe": 1, "x": {"filled": None, "maybe": None}},
    {"need": 1, "x": {"maybe": None}},
    {"need": 1, "x": "maybe"},
    b'{"need":1,"m\\u0061ybe":null}',
    b'{"need":1,"maybe":null,"f\\u0069lled":3}',
    b'{"need":1,"maybe":1,"filled":-0,"share":-0}',
    b'{"need":1,"maybe":1,"share":-0.0}',
    b'{"need":1,"maybe":1,"share":NaN}',
    b'{"need":1,"maybe":1,"share":Inf}',
    b'{"need":1,"need":2,"maybe":1}',
    {"A": 2},
    {"a": 3},
    {"a": 3, "A": 4},
    {},
]


@pytest.mark.parametrize("model", [Row, Flat, Forbidding, Aliased])
@pytest.mark.parametrize("drift", ["ignore", "reject", "evolve"])
@pytest.mark.parametrize("together", [1, 7, 1000])
def test_verdicts_and_values_are_pydantics(model: type[BaseModel], drift: DriftPolicy, together: int) -> None:
    batch = documents(*(ROWS if together == 1000 else [row for row in ROWS for _ in range(together)]))
    lines: list[Any] = batch.table.column(0).to_pylist()
    verdict = check(model, batch, drift=drift)
    expected: dict[int, dict[str, Any]] = {}
    known = Contract(model, drift=drift).columns().known
    for position, line in enumerate(lines):
        try:
            found = model.model_validate_json(line)
        except ValidationError:
            continue
        if drift != "reject" or set(from_json(line)) <= known:
            expected[position] = {name: getattr(found, name) for name in model.model_fields}
    if drift == "evolve":  # new columns under the names of fields, and the like, are refused beyond Pydantic
        expected = {
            position: row for position, row in expected.items() if position in verdict.accepted_index.to_pylist()
        }
    accepted = verdict.accepted.select(list(model.model_fields)).to_pylist()
    indices: list[Any] = verdict.accepted_index.to_pylist()
    assert {place: _all_bits(row) for place, row in zip(indices, accepted, strict=True)} == {
        place: _all_bits(row) for place, row in expected.items()
    }


def _all_bits(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _bits(value) for name, value in row.items()}


def test_defaults_and_nulls_are_told_by_column() -> None:
    batch = documents(*[{"need": 1, "maybe": None}, {"need": 1, "maybe": 2, "filled": 3, "either": None}] * 50)
    verdict = check(Flat, batch)
    assert verdict.by_pydantic == 0
    assert verdict.accepted["filled"].to_pylist()[:2] == [5, 3]
    assert verdict.accepted["either"].to_pylist()[:2] == ["d", None]


def _exclaim(value: str | None) -> str | None:
    if value == "no":
        raise ValueError("no")
    return None if value == "gone" else f"{value}!"


def _is_bool(value: Any) -> Any:
    return 7 if value is True else value


class Validated(BaseModel):
    a: Annotated[str | None, AfterValidator(_exclaim)] = None
    b: Annotated[int, BeforeValidator(_is_bool)] = 5
    c: Annotated[float, BeforeValidator(lambda value: 2.5 if isinstance(value, int) else value)] = 0.5
    d: Annotated[date, AfterValidator(lambda value: value.replace(day=1))]
    e: EmailStr | None = None


def test_validators_in_python_cost_their_own_fields_only() -> None:
    """They see the values as in a document; a float may be an int there, so its validator sees whole documents."""
    lines = [
        {"d": "2026-01-05", "a": "x", "b": 1, "e": "a@example.com"},
        {"d": "2026-01-05", "a": None, "e": None},
        {"d": "2026-01-05"},
        {"d": "2026-01-05", "a": "no", "e": "none"},
        {"d": "2026-01-05", "a": "gone", "b": True},
        {"d": 0, "a": 1, "b": "2"},
        {"d": "2026-02-30", "b": None},
        {"d": "2026-01-05T00:00:00", "b": 2.0},
        {"d": "2026-01-05", "c": 1},
        {"d": "2026-01-05", "c": 1.0},
    ]
    raw = [json.dumps(line).encode() for line in lines] * 20
    assert agree_on_documents(Validated, raw) == 0
    plain = create_model("Plain", **{n: (f.annotation, f) for n, f in Validated.model_fields.items() if n != "c"})
    assert agree_on_documents(plain, [line for line in raw if b'"c"' not in line]) == 60


def test_rows_that_break_a_rule_are_the_only_ones_that_pydantic_sees() -> None:
    batch = documents(*[{"need": 1, "maybe": 1, "share": -1 if n % 100 == 0 else n} for n in range(1000)])
    verdict = check(Flat, batch)
    assert (verdict.by_pydantic, len(verdict.rejected)) == (10, 10)
