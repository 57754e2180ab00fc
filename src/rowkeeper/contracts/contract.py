"""Contract: a Pydantic model as the measure of a row, and as the columns of a table."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, RootModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import from_json, to_json

from rowkeeper.batch import RAW_LINE, Batch, InputMode, RejectedRows, RuleCount, Verdict
from rowkeeper.contracts.checking import PART_ROWS, Judged, by_model, joined, parts_of
from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.compiler import Compiler, Decided
from rowkeeper.contracts.containers import Part, optional, part_of
from rowkeeper.contracts.definition import definition_of
from rowkeeper.contracts.deriving import Place, derive
from rowkeeper.contracts.explain import FieldPlan, explain_fields
from rowkeeper.contracts.faults import UNKNOWN_COLUMN, RowErrors, as_text, entry
from rowkeeper.contracts.names import columns_of, sees_unknown
from rowkeeper.contracts.passing import (
    RESERVED,
    check_names,
    clash,
    fitted,
    json_columns,
    pass_through,
    passed_field,
    unknown_columns,
)
from rowkeeper.contracts.reading import without_views
from rowkeeper.contracts.rules import BusinessRule, apply_rules, check_rules
from rowkeeper.errors import ColumnsDiffer, ContractError
from rowkeeper.protocols import Columns, DriftPolicy


class Contract:
    """What a good row is: any Pydantic v2 model, unchanged.

    A row is accepted if and only if `model_validate` (`model_validate_json` for JSON documents) accepts it, every
    value that the model then holds fits its column exactly, and, for JSON documents with drift="reject", it has no
    key that the model does not declare. `deriving` says which column a field gets, `faults` which errors a row can
    have besides Pydantic's own. A null cell is an explicit None, so `a: int = 5` refuses it; a column that
    is absent from a table is absent from the row.

    A datetime without a zone is stored as if it were UTC, unless the field is a `NaiveDatetime`.

    Args:
        model: a subclass of BaseModel; its fields and computed fields are the columns, under the fields' names.
        drift: what a column of the source that the model does not declare does. It acts before the model sees the
            row; only in JSON documents does `extra="forbid"` still refuse what "ignore" and "evolve" let pass.

        rules: conditions on the accepted values, beside the model's own.

    Raises:
        ContractError: it is no such model, or a field cannot be a column.
        DeclarationError: a rule cannot be worked out.
    """

    def __init__(
        self, model: type[BaseModel], *, drift: DriftPolicy = "reject", rules: Sequence[BusinessRule] = ()
    ) -> None:
        _complete(model)
        columns = list(_columns_of(model))
        self.model = model
        self.drift: DriftPolicy = drift
        self._columns = columns_of(model, drift)
        self._checker = by_model(model, columns)
        self._compiler = Compiler(model, columns)
        self._own_schema = pa.schema([column.type.field(column.name) for column in columns])
        self._rules = tuple(rules)
        check_rules(self._rules, self._own_schema)
        self._carried: tuple[pa.Field[Any], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The columns: names, types, nullability, and hints for the destination in the fields' metadata.

        The hints: `rk:type` ("uuid", "json"), `rk:enum` (a JSON list of the values), `rk:low_cardinality` ("1").
        """
        return pa.schema([*self._own_schema, *self._carried])

    def columns(self) -> Columns:
        """What the contract expects of a source's columns. See `names.columns_of` for what `extra` says."""
        return self._columns

    def definition(self) -> str:
        """Text that is equal for equal contracts, in this process and the next."""
        return definition_of(self.model, self.drift, (each.definition() for each in self._rules))

    def explain(self, mode: InputMode, layout: pa.Schema | None = None) -> list[FieldPlan]:
        """How each field is checked, and why.

        Args:
            mode: of the source.
            layout: columns of the source; by default text, or typed as the contract's own.
        """
        if mode is InputMode.JSON:
            return explain_fields(self._compiler.kinds_of_documents(), self._own_schema)
        return explain_fields(self._compiler.kinds(layout or self._layout(mode)), self._own_schema)

    def _layout(self, mode: InputMode) -> pa.Schema:
        keys = self._compiler.keys()
        text = mode is InputMode.STRINGS
        return pa.schema([pa.field(keys[each.name], pa.string() if text else each.type) for each in self._own_schema])

    def evolved(self, added: Iterable[pa.Field[Any]]) -> Contract:
        """A contract that carries these columns (a schema will do) beside the model's, as nullable ones.

        Raises SourceError if one of them cannot be added.
        """
        fields = [field.with_nullable(True) for field in added if field.name not in self.schema.names]
        check_names([field.name for field in fields], self.schema.names)
        other = copy.copy(self)
        other._carried = (*self._carried, *fields)
        return other

    def unknown(self, batch: Batch) -> tuple[pa.Field[Any], ...]:
        """The columns that `check` would add to its verdict for this batch; empty unless drift is "evolve".

        Raises SourceError if one of them cannot be added.
        """
        if self.drift != "evolve":
            return ()
        if batch.mode is InputMode.JSON:
            verdict = self.check(batch)
            return tuple(field for field in verdict.accepted.schema if field.name not in self.schema.names)
        return self._unknown_of_table(batch)

    def check(self, batch: Batch, *, whole_rows: bool = False) -> Verdict:
        """Splits a batch into accepted and rejected rows; every row is in exactly one of them.

        With drift="evolve" the accepted table has further columns after those of the schema, where this batch
        brings any (`evolved` makes them lasting).

        Args:
            whole_rows: the model is shown columns that it does not name, as `model_validate` would show them.

        Raises:
            SourceError: drift is "reject" and the table has a column that the model does not declare, or drift is
                "evolve" and such a column cannot be added.
        """
        if batch.mode is InputMode.JSON:
            return self._check_documents(batch)
        added = self._unknown_of_table(batch)
        shown = batch.table if whole_rows or self._is_shown_unknown else batch.table.select(self._known_of(batch))
        shown = without_views(shown)
        decided = self._compiler.decide(shown)
        if decided.whole:
            split = self._split(self._checker.check_table(shown), decided.left)
        else:
            split = _merged(decided, [_Split(each.accepted, each.positions, each.rejected) for each in decided.asked])
        split = _with_passed(split, batch.table, (*self._carried, *added))
        return self._ruled(split).verdict(len(decided.left))

    def _ruled(self, split: _Split) -> _Split:
        """Rejects the rows that break a business rule."""
        faults, counts = apply_rules(self._rules, split.accepted)
        positions: list[Any] = split.index.take(pa.array(list(faults), pa.uint64())).to_pylist() if faults else []
        split = split.without(dict(zip(positions, faults.values(), strict=True)))
        return dataclasses.replace(split, rules=counts)

    # ------------------------------------------------------------------------------ tables

    @property
    def _is_shown_unknown(self) -> bool:
        return self.drift != "reject" and sees_unknown(self.model)

    def _known_of(self, batch: Batch) -> list[str]:
        return [name for name in batch.table.column_names if name in self._columns.known]

    def _unknown_of_table(self, batch: Batch) -> tuple[pa.Field[Any], ...]:
        """The new columns of a table, as fields. Raises SourceError if the policy refuses them."""
        names = unknown_columns(batch, self._columns.known)
        if self.drift == "ignore" or not names:
            return ()
        if self.drift == "reject":
            raise ColumnsDiffer(
                f"the column {names[0]!r} is none that the contract {self.model.__name__} knows",
                hint='drift="ignore" drops such columns, drift="evolve" adds them to the table',
                context={"columns": names},
            )
        carried = {field.name for field in self._carried}
        new = [name for name in names if name not in carried]
        check_names(new, self._own_schema.names)
        return tuple(passed_field(name, batch.table.schema.field(name).type, batch.mode) for name in new)

    def _split(self, judged: Judged, places: pa.Array[Any]) -> _Split:
        """What Pydantic said of the rows that stand at these places in the batch."""
        accepted = pa.table(judged.columns, schema=self._own_schema).combine_chunks()
        listed: list[Any] = places.to_pylist() if judged.rejected else []
        rejected = {listed[position]: errors for position, errors in judged.rejected.items()}
        return _Split(accepted, places.take(pa.array(judged.accepted, pa.uint64())), rejected)

    # ---------------------------------------------------------------------- JSON documents

    def _check_documents(self, batch: Batch) -> Verdict:
        """By column what can be read as columns, which has no unknown keys unless they are ignored; the rest whole."""
        decided = self._compiler.decide_documents(batch.table[RAW_LINE], skip_unknown=self.drift == "ignore")
        left = batch.table if not len(decided.positions) else batch.table.take(decided.left)
        parts: list[Judged] = []
        unknown: dict[int, dict[str, str | None]] = {}  # by position among those left, and so is the next
        strange: dict[int, RowErrors] = {}
        for number, part in enumerate(parts_of(left)):
            documents: list[Any] = part[RAW_LINE].to_pylist()
            judged = self._checker.check_documents(documents)
            parts.append(judged)
            if self.drift != "ignore":
                for position in judged.accepted:
                    self._look_for_unknown(documents[position], number * PART_ROWS + position, unknown, strange)
        split = _merged(decided, [self._split(joined(parts), decided.left)] if parts else [])
        fields = self._carried_with(unknown)
        places: list[Any] = decided.left.to_pylist() if unknown or strange else []
        unknown = {places[position]: row for position, row in unknown.items()}
        strange = {places[position]: errors for position, errors in strange.items()}
        index: list[Any] = split.index.to_pylist() if fields else []
        for field, column in zip(fields, json_columns([unknown.get(place) for place in index], fields), strict=True):
            stored, unfit = fitted(column, field)
            split = split.with_column(field, stored)
            for place, fault in unfit.items():
                strange.setdefault(index[place], []).append(fault.at(field.name))
        return self._ruled(split.without(strange)).verdict(len(decided.left))

    def _look_for_unknown(
        self,
        document: bytes,
        position: int,
        unknown: dict[int, dict[str, str | None]],
        strange: dict[int, RowErrors],
    ) -> None:
        """Notes the keys that the model does not declare: as values to pass through, or as the row's errors."""
        content = from_json(document, cache_strings="keys")
        if not isinstance(content, dict):
            return  # a validator of the model's own made a row of it
        names = [name for name in content if name not in self._columns.known]
        if not names:
            return
        if self.drift == "reject":
            strange[position] = [
                entry(UNKNOWN_COLUMN, (name,), f"the contract {self.model.__name__} knows no such key")
                for name in names
            ]
            return
        clashes = [
            entry(UNKNOWN_COLUMN, (name,), why) for name in names if (why := clash(name, self._own_schema.names))
        ]
        if clashes:
            strange[position] = clashes
        else:
            unknown[position] = {name: _json_value(content[name]) for name in names}

    def _carried_with(self, unknown: dict[int, dict[str, str | None]]) -> tuple[pa.Field[Any], ...]:
        """The columns beside the model's for these documents: those carried, then the new ones as they came."""
        carried = {field.name for field in self._carried}
        new = [name for name in dict.fromkeys(name for row in unknown.values() for name in row) if name not in carried]
        check_names(new, self._own_schema.names)
        return (*self._carried, *(passed_field(name, pa.string(), InputMode.JSON) for name in new))


# ---------------------------------------------------------------------------------- the model


def _complete(model: type[BaseModel]) -> None:
    """Sees to it that the model is one, and complete: its validator built, its annotations resolved."""
    if (
        not isinstance(model, type)
        or not issubclass(model, BaseModel)
        or issubclass(model, RootModel)
        or model is BaseModel
    ):
        name = getattr(model, "__name__", None) or type(model).__name__
        raise ContractError(
            f"{name} is no contract: a row is made of named fields",
            hint="pass a subclass of pydantic.BaseModel (not an instance, not a RootModel)",
        )
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ContractError(
            f"the model {model.__name__} is not complete ({type(error).__name__})",
            hint="define or import every type that its fields are annotated with before the contract is made",
        ) from error


def _columns_of(model: type[BaseModel]) -> Iterator[Column]:
    """A column for each field, then for each computed field."""
    parts = {name: part_of(info) for name, info in model.model_fields.items()}
    parts |= {name: Part(info.return_type) for name, info in model.model_computed_fields.items()}
    if not parts:
        raise ContractError(f"the model {model.__name__} has no fields", hint="a contract needs at least one")
    for name, part in parts.items():
        if name.startswith(RESERVED):
            raise ContractError(
                f"{model.__name__}.{name}: names that begin with {RESERVED} are Rowkeeper's own",
                hint="give the field another name; an alias keeps the source's",
            )
        column = derive(part.annotation, part.metadata, Place(f"{model.__name__}.{name}", (model,)))
        yield Column(name, optional(column) if part.maybe_none else column)


# ------------------------------------------------------------------------------ tables, joined


def _json_value(value: object) -> str | None:
    """JSON text of what a document held under a key; a null is a null."""
    return None if value is None else to_json(value, inf_nan_mode="constants").decode()


@dataclasses.dataclass(frozen=True, slots=True)
class _Split:
    """Rows split into accepted and rejected.

    Attributes:
        accepted: the accepted rows.
        index: uint64 array, their positions in the batch, ascending.
        rejected: the others' errors as JSON text, by position in the batch.
    """

    accepted: pa.Table
    index: pa.Array[Any]
    rejected: dict[int, str]
    rules: Mapping[str, RuleCount] = dataclasses.field(default_factory=dict)

    def with_column(self, field: pa.Field[Any], column: pa.ChunkedArray[Any] | pa.Array[Any]) -> _Split:
        return dataclasses.replace(self, accepted=self.accepted.append_column(field, column))

    def without(self, faults: dict[int, RowErrors]) -> _Split:
        """Takes accepted rows out again that were found to be at fault; `faults` is by position in the batch."""
        if not faults:
            return self
        keep: Any = pc.invert(pc.is_in(self.index, pa.array(list(faults), pa.uint64())))
        rejected = self.rejected | {position: as_text(errors) for position, errors in faults.items()}
        return _Split(self.accepted.filter(keep), self.index.filter(keep), rejected)

    def verdict(self, by_pydantic: int) -> Verdict:
        positions = sorted(self.rejected)
        rejected = RejectedRows(positions, [self.rejected[position] for position in positions])
        return Verdict(self.accepted, self.index, rejected, by_pydantic, self.rules)


def _merged(decided: Decided, judged: Sequence[_Split]) -> _Split:
    """What the columns accepted, and what Pydantic said of the rows that they left, in the order of the batch."""
    rejected: dict[int, str] = {}
    for each in judged:
        rejected |= each.rejected
    parts = [_Split(decided.accepted, decided.positions, {}), *judged]
    parts = [part for part in parts if len(part.index)] or parts[:1]
    if len(parts) == 1:
        return dataclasses.replace(parts[0], rejected=rejected)
    positions = pa.concat_arrays([part.index for part in parts])
    order = pc.sort_indices(positions)
    whole = pa.concat_tables([part.accepted for part in parts])
    return _Split(whole.take(order), positions.take(order), rejected)


def _with_passed(split: _Split, source: pa.Table, fields: tuple[pa.Field[Any], ...]) -> _Split:
    """Adds the columns that pass through beside the model; rows whose values do not fit are rejected after all."""
    faults: dict[int, RowErrors] = {}
    for field in fields:
        if field.name not in source.column_names:
            split = split.with_column(field, pa.nulls(len(split.index), field.type))
            continue
        column, unfit = pass_through(source[field.name].take(split.index), field)
        split = split.with_column(field, column)
        for place, fault in unfit.items():
            faults.setdefault(split.index[place].as_py(), []).append(fault.at(field.name))
    return split.without(faults)
