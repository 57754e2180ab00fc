"""The fields' rules for one layout of input, and what they decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.compiler import choices, documents, numbers, text, times
from rowkeeper.contracts.compiler.alone import Alone, places_of
from rowkeeper.contracts.compiler.distinct import Distinct, series_of
from rowkeeper.contracts.compiler.documents import DocumentField
from rowkeeper.contracts.compiler.doubts import Asked, Doubts
from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, both, is_plain_text, is_text
from rowkeeper.contracts.compiler.schema import FieldSchema, ModelSchema, Together, model_schema, without_nullable
from rowkeeper.contracts.documents import DocumentReader, is_readable_key

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
GROUPS_MAX = 16
NOTHING: Mapping[str, Any] = MappingProxyType({})


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
        left: uint64 array, where the rows stand that the columns did not accept.
        asked: what Pydantic said of those rows, where it need not be shown the whole of them; empty where it must.
    """

    accepted: pa.Table
    positions: pa.Array[Any]
    left: pa.Array[Any]
    asked: Sequence[Asked] = ()

    @property
    def whole(self) -> bool:
        """Whether all rows must be shown to Pydantic, and as a whole."""
        return bool(len(self.left)) and not len(self.positions) and not self.asked


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """A field with its way of being judged: exactly one of `rule` and `alone`, or only `constant`.

    `distinct` applies the rule where it is worth while to do so once for each distinct value. `constant` is what the
    field holds where its key is absent, as a scalar of its column, if that can be said.
    """

    name: str
    key: str
    nullable: bool
    rule: Rule | None = None
    alone: Alone | None = None
    distinct: Distinct | None = None
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
        self._doubts = None if self._model is None else Doubts(model.__name__, self._model, self._columns)
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}
        self._documents = self._document_fields()
        self._readers: dict[bool, DocumentReader] = {}

    def decide(self, table: pa.Table) -> Decided:
        """What the columns can say of a table; in rows that they leave, nothing has been looked for."""
        return self._plan(table.schema).decide(table, doubts=self._doubts)

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
        unknown = skip_unknown and alone and self._model.ignores_extra
        if unknown not in self._readers:
            self._readers[unknown] = DocumentReader(wanted, unknown=unknown)
        known = documents.settled(self._readers[unknown].read(given), self._documents)
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
        if any(not is_readable_key(key) for key in keys):
            return "a key has characters that JSON has signs for"
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
        distinct = Distinct(field.name, rule, nullable=nullable) if rule.costly else None
        made = _Field(field.name, there[0], nullable, rule, distinct=distinct, constant=_default(field, column))
        return made, kind


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

    def decide(
        self, table: pa.Table, absent: Mapping[str, pa.Array[Any]] = NOTHING, doubts: Doubts | None = None
    ) -> Decided:
        """What the columns accept.

        Args:
            absent: by field, in which rows its key is absent.
            doubts: who is asked about single fields of the rows that are left; None: nobody is.
        """
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
        if mask is None or pc.all(mask).as_py():
            return Decided(self._stored(table, made, None, absent), everything, everything[:0])
        positions, left = everything.filter(mask), everything.filter(pc.invert(mask))
        accepted = self._stored(table, made, mask, absent)
        asked = [] if doubts is None else self._ask(doubts, seen, table, made, left)
        return Decided(accepted, positions, left, asked)

    def _stored(
        self, table: pa.Table, made: Mapping[str, Any], mask: Any, absent: Mapping[str, pa.Array[Any]]
    ) -> pa.Table:
        """The accepted rows as the contract's columns. Args: mask: which rows these are, None for all."""
        rows = table.num_rows if mask is None else pc.sum(mask).as_py() or 0
        columns = []
        for field, stored in zip(self._fields, self._schema, strict=True):
            if field.rule is None and field.alone is None:
                values: Any = _repeated(field.constant, rows)
            else:
                values = made[field.name] if field.name in made else table[field.key]
                values = values if mask is None else values.filter(mask)
                # Only now: what is not accepted need not have a value of the stored type.
                values = values if values.type == stored.type else values.cast(stored.type)
            if field.name in absent:
                missing = absent[field.name] if mask is None else absent[field.name].filter(mask)
                values = pc.if_else(missing, field.constant, values)
            columns.append(values)
        return pa.table(columns, schema=self._schema)

    def _ask(
        self, doubts: Doubts, seen: _Seen, table: pa.Table, made: Mapping[str, Any], left: pa.Array[Any]
    ) -> list[Asked]:
        """Asks Pydantic about the fields that the columns do not accept, and only about those."""
        keys = {field.name: field.key for field in self._fields if field.key}
        alone = {field.name for field in self._fields if field.alone is not None}
        found = []
        for named, places in seen.groups(left):
            in_doubt = [name for name in keys if name in named or name in alone]
            cells = {keys[name]: _plain(table[keys[name]]).take(places) for name in in_doubt}
            judged = doubts.judge(in_doubt, pa.table(cells))
            positions = places.take(pa.array(judged.accepted, pa.uint64()))
            told = dict(zip(in_doubt, judged.columns, strict=True))
            columns = []
            for field, stored in zip(self._fields, self._schema, strict=True):
                if field.name in told:
                    values = told[field.name]
                elif not field.key:
                    values = _repeated(field.constant, len(positions))
                else:
                    values = _plain(made[field.name] if field.name in made else table[field.key]).take(positions)
                columns.append(values if values.type == stored.type else values.cast(stored.type))
            listed: list[Any] = places.to_pylist()
            rejected = {listed[position]: errors for position, errors in judged.rejected.items()}
            found.append(Asked(pa.table(columns, schema=self._schema), positions, rejected))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What the rules say.

    Attributes:
        ok: for each row whether all of them accept it; None: they accept all rows.
        values: by field, the changed values.
        each: by field, as a column, for each row whether its rule accepts it; without the fields that it always does.
    """

    ok: Any
    values: Mapping[str, pa.Array[Any]]
    each: pl.DataFrame

    def groups(self, places: pa.Array[Any]) -> list[tuple[set[str], Any]]:
        """The rows at these places by the fields that are not accepted; a few large groups."""
        wanted = pl.Series("place", places)
        at = self.each[wanted] if self.each.width else self.each
        names = [each.name for each in at if not each.all()]
        if len(names) <= 1:
            return [(set(names), places)]
        parts = at.select(names).with_columns(wanted).partition_by(names, include_key=False, as_dict=True)
        groups = [
            ({name for name, ok in zip(names, key, strict=True) if not ok}, rows["place"].to_arrow())
            for key, rows in sorted(parts.items(), key=lambda part: -part[1].height)
        ]
        if len(groups) <= GROUPS_MAX:
            return groups
        # What is asked about a field that is accepted costs time and changes nothing.
        rest = pa.concat_arrays([places for _, places in groups[GROUPS_MAX - 1 :]])
        return [*groups[: GROUPS_MAX - 1], (set(names), rest.take(pc.sort_indices(rest)))]


def _seen(table: pa.Table, fields: Sequence[_Field], absent: Mapping[str, pa.Array[Any]]) -> _Seen:
    looked = {
        field.name: _or_absent(_look(field, field.rule, table[field.key]), field.name, absent.get(field.name))
        for field in fields
        if field.rule is not None
    }
    frame = pl.DataFrame([series for each in looked.values() for series in each.series])
    # Lazily, so that a conversion which both the verdict and the value need is done once.
    select = frame.lazy().select(
        *(each.ok.fill_null(False).alias(f"{name} ok") for name, each in looked.items() if each.ok is not None),
        *(each.value.alias(name) for name, each in looked.items() if each.value is not None),
    )
    frame = select.collect()
    values = {name: frame[name].to_arrow() for name, each in looked.items() if each.value is not None}
    oks = frame.select(pl.col(f"{name} ok").alias(name) for name, each in looked.items() if each.ok is not None)
    together = oks.select(pl.all_horizontal(pl.all())).to_series().to_arrow() if oks.width else None
    return _Seen(together, values, oks)


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
    if field.distinct is not None and (answers := field.distinct.answers(cells)) is not None:
        return _Looked(answers, pl.col(f"{field.name} ok"), None if value is None else pl.col(field.name))
    if rule.by_arrow is not None and is_plain_text(cells.type):
        found = rule.by_arrow(cells)
        found = pc.or_(found, cells.is_null()) if field.nullable and has_nulls else found
        return _Looked([pl.Series(f"{field.name} ok", found)], pl.col(f"{field.name} ok"))
    series = [series_of(field.name, cells) if rule.prepare is None else rule.prepare(cells).alias(field.name)]
    present = pl.col(field.name).is_not_null()
    if field.nullable and has_nulls and rule.prepare is not None:
        present = pl.col(f"{field.name} is there")
        series.append(pl.Series(f"{field.name} is there", cells.is_valid()))
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
    held: Any = chunk.buffers()
    _, offsets, data = held
    if data is None or not len(chunk):
        return True
    # A slice has the bytes of the whole; only its own are looked at.
    numbers = np.frombuffer(offsets, np.dtype("i8" if pa.types.is_large_string(chunk.type) else "i4"))
    first, end = numbers[chunk.offset], numbers[chunk.offset + len(chunk)]
    return bool(first == end or np.frombuffer(data, np.int8)[first:end].min() >= 0)


def _repeated(constant: Any, rows: int) -> Any:
    return pa.repeat(constant, rows) if rows else pa.array([], constant.type)


def _plain(cells: Any) -> Any:
    """A column that rows can be taken from: Arrow does not join chunks whose dictionaries have too many values."""
    if pa.types.is_dictionary(cells.type) and isinstance(cells, pa.ChunkedArray) and cells.num_chunks > 1:
        return cells.cast(cells.type.value_type)
    return cells


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
