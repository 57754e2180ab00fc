"""The fields' rules for one layout of input, and what they decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.compiler import choices, documents, numbers, text, times
from rowkeeper.contracts.compiler.alone import DISTINCT_SHARE_MAX, Alone, encoded, places_of
from rowkeeper.contracts.compiler.documents import DocumentField
from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, both, is_text
from rowkeeper.contracts.compiler.schema import FieldSchema, ModelSchema, Together, model_schema, without_nullable
from rowkeeper.contracts.documents import DocumentReader

MakeRule = Callable[[Mapping[str, Any], Mapping[str, Any], Given], Rule]
RULES: dict[str, MakeRule] = {
    "bool": numbers.bool_rule,
    "int": numbers.int_rule,
    "float": numbers.float_rule,
    "decimal": numbers.decimal_rule,
    "str": text.str_rule,
    "bytes": text.bytes_rule,
    "uuid": text.uuid_rule,
    "date": times.date_rule,
    "datetime": times.datetime_rule,
    "time": times.time_rule,
    "timedelta": times.timedelta_rule,
    "literal": choices.literal_rule,
    "enum": choices.enum_rule,
}
SAMPLE_ROWS = 1_000
NOTHING: Mapping[str, Any] = MappingProxyType({})
OK = "accepted by all rules"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldKind:
    """How one field is judged.

    Attributes:
        name: the field.
        kind: V by column, P by column where its form is narrow, F by Pydantic.
        expression: the column expression, for V and P.
        why: why it is not V.
    """

    name: str
    kind: Literal["V", "P", "F"]
    expression: str = ""
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Decided:
    """What the columns accept.

    Attributes:
        accepted: the accepted rows' columns, in the contract's Arrow schema.
        positions: uint64 array, where they stand in the input, ascending.
        left: uint64 array, where the rows stand that Pydantic must judge.
    """

    accepted: pa.Table
    positions: pa.Array[Any]
    left: pa.Array[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """A field with its way of being judged: exactly one of `rule` and `alone`, or only `constant`.

    `constant` is what the field holds where its key is absent, as a scalar of its column, if that can be said.
    """

    name: str
    key: str
    nullable: bool
    rule: Rule | None = None
    alone: Alone | None = None
    constant: Any = None


class Compiler:
    """Makes a plan for each layout of input.

    Args:
        model: complete.
        columns: of the contract, one for each field.
    """

    def __init__(self, model: type[BaseModel], columns: Sequence[Column]) -> None:
        self._columns = {column.name: column for column in columns}
        self._schema = pa.schema([column.type.field(column.name) for column in columns])
        self._why_together = ""
        self._model: ModelSchema | None = None
        try:
            self._model = model_schema(model)
        except Together as reason:
            self._why_together = str(reason)
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}
        self._documents = self._document_fields()

    def decide(self, table: pa.Table) -> Decided:
        """What the columns can say of a table; in rows that they leave, nothing has been looked for."""
        return self._plan(table.schema).decide(table)

    def decide_documents(self, given: pa.ChunkedArray[Any], *, skip_unknown: bool) -> Decided:
        """What the columns can say of JSON documents (large_binary), of which none has a key that is not known.

        Args:
            skip_unknown: such keys may be there, as far as the model ignores them too.
        """
        everything: pa.Array[Any] = pl.int_range(0, len(given), dtype=pl.UInt64, eager=True).to_arrow()
        if isinstance(self._documents, str):
            return Decided(self._schema.empty_table(), everything[:0], everything)
        assert self._model is not None
        alone = all(len(field.keys) == 1 for field in self._model.fields)
        wanted = _wanted(self._documents)
        reader = DocumentReader(wanted, unknown=skip_unknown and alone and self._model.ignores_extra)
        known = documents.settled(reader.read(given), given, self._documents)
        decided = self._plan(wanted).decide(known.table, known.absent)
        positions = known.positions.take(decided.positions)
        if len(positions) == len(everything):
            return Decided(decided.accepted, positions, everything[:0])
        left: Any = pc.invert(pc.is_in(everything, positions))
        return Decided(decided.accepted, positions, everything.filter(left))

    def kinds_of_documents(self) -> list[FieldKind]:
        """How each field is judged in JSON documents."""
        if isinstance(self._documents, str):
            why = f"documents go to Pydantic whole: {self._documents}"
            return [FieldKind(name, "F", why=why) for name in self._schema.names]
        wanted = _wanted(self._documents)
        why = "other JSON types and forms go to Pydantic"
        kinds = self.kinds(wanted)
        return [kind if kind.kind == "F" else dataclasses.replace(kind, kind="P", why=why) for kind in kinds]

    def _document_fields(self) -> list[DocumentField] | str:
        """How each field is read from a JSON document; or why documents cannot be read as columns."""
        if self._model is None:
            return self._why_together
        found = []
        for field in self._model.fields:
            inner = documents.inner(field.schema)
            type = self._type_in_documents(field.name, inner)
            if type is None:
                return f"no column check knows the JSON values of {field.name} ({inner.schema['type']})"
            if inner.nullable and not self._columns[field.name].type.nullable:
                return f"the column of {field.name} takes no null"
            same = inner.nullable and not inner.functions and field.default == (None,)
            found.append(DocumentField(field, type, inner.nullable or inner.functions, same))
        keys = [each.field.keys[0] for each in found]
        return "two fields have the same key" if len(set(keys)) < len(keys) else found

    def _type_in_documents(self, name: str, inner: documents.Inner) -> pa.DataType | None:
        assert self._model is not None
        schema = inner.schema
        for type in documents.TYPES.get(schema["type"], ()):
            if inner.shown_raw and type not in documents.SHOWN_RAW:
                continue
            try:
                _rule(schema, self._model.config, Given(pl.col(name), type, self._columns[name].type.arrow))
            except Unsuited:
                continue
            return type
        return None

    def kinds(self, source: pa.Schema) -> list[FieldKind]:
        """How each field is judged in a table of this layout."""
        return self._plan(source).kinds

    def keys(self) -> dict[str, str]:
        """The name under which each field is looked for first."""
        if self._model is None:
            return {name: name for name in self._columns}
        return {field.name: field.keys[0] for field in self._model.fields}

    def _plan(self, source: pa.Schema) -> _Plan:
        layout = tuple((field.name, str(field.type)) for field in source)
        if layout not in self._plans:
            self._plans[layout] = self._made(source)
        return self._plans[layout]

    def _made(self, source: pa.Schema) -> _Plan:
        kinds: list[FieldKind] = []
        fields: list[_Field] = []
        why = self._why_together
        if self._model is not None:
            why = _why_not_apart(self._model, source)
            for field in self._model.fields:
                try:
                    made, kind = self._field(self._model, field, source)
                    fields.append(made)
                except Together as reason:
                    why = why or str(reason)
                    kind = FieldKind(field.name, "F", why=str(reason))
                kinds.append(kind)
        if why:
            kinds = [FieldKind(name, "F", why=f"rows go to Pydantic whole: {why}") for name in self._schema.names]
            fields = []
        return _Plan(self._schema, kinds, fields)

    def _field(self, model: ModelSchema, field: FieldSchema, source: pa.Schema) -> tuple[_Field, FieldKind]:
        column = self._columns[field.name]
        there = [key for key in field.keys if key in source.names]
        if len(there) > 1:
            raise Together(f"{field.name} is there under two names")
        if not there:
            return _absent(field, column), FieldKind(field.name, "V", "its default")
        type = source.field(there[0]).type
        schema, nullable = without_nullable(field.schema)
        try:
            rule = _rule(schema, model.config, Given(pl.col(field.name), type, column.type.arrow))
            if nullable and not column.type.nullable:
                raise Unsuited("its column takes no null")
        except Unsuited as reason:
            alone = Alone(field.name, field.schema, model.config, model.definitions, column)
            kind = FieldKind(field.name, "F", why=f"{reason}: Pydantic judges this field alone")
            return _Field(field.name, there[0], nullable, alone=alone, constant=_default(field, column)), kind
        expression = "any value" if rule.ok is None else str(rule.ok)
        why = "" if rule.kind == "V" else "other forms go to Pydantic"
        kind = FieldKind(field.name, rule.kind, expression, why)
        return _Field(field.name, there[0], nullable, rule=rule, constant=_default(field, column)), kind


def _wanted(fields: Sequence[DocumentField]) -> pa.Schema:
    return pa.schema([(each.field.keys[0], each.type) for each in fields])


def _why_not_apart(model: ModelSchema, source: pa.Schema) -> str:
    known = {key for field in model.fields for key in field.keys}
    if len(set(source.names)) < len(source.names):
        return "a column is there twice"
    if not model.ignores_extra and not known.issuperset(source.names):
        return "the model looks at columns that it does not name"
    return ""


def _absent(field: FieldSchema, column: Column) -> _Field:
    if not field.default:
        raise Together(f"there is no column for {field.name}")
    constant = _default(field, column)
    if constant is None:
        raise Together(f"the default of {field.name} does not fit its column")
    return _Field(field.name, "", nullable=True, constant=constant)


def _default(field: FieldSchema, column: Column) -> Any:
    array, unfit = column.build(field.default)
    return None if unfit or not field.default else array[0]


def _rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    make = RULES.get(schema["type"])
    if make is None:
        raise Unsuited(f"no column check knows {schema['type']}")
    return make(schema, config, given)


class _Plan:
    """The rules of all fields for one layout of input. Without fields, every row is left."""

    def __init__(self, schema: pa.Schema, kinds: list[FieldKind], fields: Sequence[_Field]) -> None:
        self.kinds = kinds
        self._schema = schema
        self._fields = fields

    def decide(self, table: pa.Table, absent: Mapping[str, pa.Array[Any]] = NOTHING) -> Decided:
        """Args: absent: by field, in which rows its key is absent."""
        rows = table.num_rows
        everything = pl.int_range(0, rows, dtype=pl.UInt64, eager=True).to_arrow()
        if not self._fields or not all(_is_readable(table[field.key]) for field in self._fields if field.key):
            return Decided(self._schema.empty_table(), everything[:0], everything)
        if any(field.constant is None and field.name in absent for field in self._fields):
            return Decided(self._schema.empty_table(), everything[:0], everything)
        seen = _seen(table, self._fields, absent)
        mask = seen.ok
        made = dict(seen.values)
        for field in self._fields:
            if field.alone is not None:
                made[field.name], mask = _judge_alone(field, table[field.key], mask, absent.get(field.name))
        if mask is not None and pc.all(mask).as_py():
            mask = None
        positions = everything if mask is None else everything.filter(mask)
        columns = []
        for field, stored in zip(self._fields, self._schema, strict=True):
            if field.rule is None and field.alone is None:
                values: Any = pa.repeat(field.constant, len(positions))
            else:
                values = made[field.name] if field.name in made else table[field.key]
                values = values if mask is None else values.filter(mask)
                # Only now: what is not accepted need not have a value of the stored type.
                values = values if values.type == stored.type else values.cast(stored.type)
            if field.name in absent:
                missing = absent[field.name] if mask is None else absent[field.name].filter(mask)
                values = pc.if_else(missing, field.constant, values)
            columns.append(values)
        left = everything[:0] if mask is None else everything.filter(pc.invert(mask))
        return Decided(pa.table(columns, schema=self._schema), positions, left)


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What the rules say: for each row whether all of them accept it (None: all rows), and the changed values."""

    ok: Any
    values: Mapping[str, pa.Array[Any]]


def _seen(table: pa.Table, fields: Sequence[_Field], absent: Mapping[str, pa.Array[Any]]) -> _Seen:
    looked = [
        _or_absent(_look(field, field.rule, table[field.key]), field.name, absent.get(field.name))
        for field in fields
        if field.rule is not None
    ]
    together = both(*(each.ok for each in looked))
    selected = [each.value for each in looked if each.value is not None]
    if together is not None:
        selected.append(together.fill_null(False).alias(OK))
    if not selected:
        return _Seen(None, {})
    frame = pl.DataFrame([series for each in looked for series in each.series]).select(selected)
    values = {each.name: each.to_arrow() for each in frame if each.name != OK}
    return _Seen(None if together is None else frame[OK].to_arrow(), values)


@dataclasses.dataclass(frozen=True, slots=True)
class _Looked:
    """What one field brings to the one look at all of them."""

    series: Sequence[pl.Series] = ()
    ok: pl.Expr | None = None
    value: pl.Expr | None = None


def _look(field: _Field, rule: Rule, cells: pa.ChunkedArray[Any]) -> _Looked:
    has_nulls = cells.null_count > 0
    if rule.ok is None and rule.value is None and (field.nullable or not has_nulls):
        return _Looked()
    value = None if rule.value is None else rule.value.alias(field.name)
    if rule.costly and (distinct := _by_distinct(field, rule, cells)) is not None:
        return _Looked(distinct, pl.col(f"{field.name} ok"), None if value is None else pl.col(field.name))
    column = _series(field.name, cells)
    series = [column if rule.prepare is None else rule.prepare(column).alias(field.name)]
    present = pl.col(field.name).is_not_null()
    if field.nullable and has_nulls and rule.prepare is not None:
        present = pl.col(f"{field.name} is there")
        series.append(column.is_not_null().alias(f"{field.name} is there"))
    if not field.nullable:
        return _Looked(series, both(rule.ok, present if has_nulls else None), value)
    if rule.ok is None or not has_nulls:
        return _Looked(series, rule.ok, value)
    return _Looked(series, rule.ok.fill_null(False) | ~present, value)


def _or_absent(looked: _Looked, name: str, absent: pa.Array[Any] | None) -> _Looked:
    """A rule that does not ask for a value where the key is absent."""
    if absent is None or looked.ok is None:
        return looked
    missing = pl.Series(f"{name} absent", absent)
    return _Looked([*looked.series, missing], looked.ok.fill_null(False) | pl.col(missing.name), looked.value)


def _is_readable(cells: pa.ChunkedArray[Any]) -> bool:
    """Whether text is UTF-8 throughout: Arrow does not look by itself, and Polars would crash on what is not."""
    if not is_text(cells.type) or all(_is_ascii(chunk) for chunk in cells.chunks):
        return True
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_ascii(chunk: pa.Array[Any]) -> bool:
    """Whether all bytes of a chunk of text are ASCII: ten times as quick as a look at each value."""
    if pa.types.is_dictionary(chunk.type):
        return False
    data = chunk.buffers()[2]
    try:
        return data is None or bool(str(data, "ascii")) or True
    except UnicodeDecodeError:
        return False


def _series(name: str, cells: pa.ChunkedArray[Any]) -> pl.Series:
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    series = pl.from_arrow(cells)
    assert isinstance(series, pl.Series)
    return series.alias(name)


def _by_distinct(field: _Field, rule: Rule, cells: pa.ChunkedArray[Any]) -> list[pl.Series] | None:
    """The rule's answers, worked out once for each distinct value; None where values hardly repeat."""
    if not is_text(cells.type) or not len(cells):
        return None
    if not pa.types.is_dictionary(cells.type):
        sample = cells.slice(0, SAMPLE_ROWS)
        if len(sample.unique()) > len(sample) * DISTINCT_SHARE_MAX:
            return None
    distinct = encoded(cells)
    frame = pl.DataFrame([_series(field.name, pa.chunked_array([distinct.dictionary]))])
    answers = frame.select(
        ok=pl.lit(True) if rule.ok is None else rule.ok, value=pl.lit(None) if rule.value is None else rule.value
    )
    indices = pl.from_arrow(distinct.indices)
    assert isinstance(indices, pl.Series)
    ok = answers["ok"].gather(indices)
    ok = ok.fill_null(True) if field.nullable and answers["ok"].null_count() == 0 else ok.fill_null(False)
    found = [ok.alias(f"{field.name} ok")]
    if rule.value is not None:
        found.append(answers["value"].gather(indices).alias(field.name))
    return found


def _judge_alone(field: _Field, cells: pa.ChunkedArray[Any], mask: Any, absent: Any) -> tuple[pa.Array[Any], Any]:
    """Judges the cells of rows that are good so far; returns values in place, and which rows are good now.

    Args:
        absent: in which rows the key is absent, so that nothing is judged; None for none.
    """
    assert field.alone is not None
    asked = mask
    if absent is not None:
        asked = pc.invert(absent) if mask is None else pc.and_not(mask, absent)
    if asked is None:
        return field.alone.judge(cells)
    values, judged = field.alone.judge(cells.filter(asked))
    places = places_of(asked)
    good: Any = judged.take(places).fill_null(False)
    if absent is not None:
        good = pc.or_(good, absent if mask is None else pc.and_(mask, absent))
    return values.take(places), good
