"""Rows through Pydantic, one by one, and the values of the good ones into columns, all at once.

What lands is what the validated model holds: each field's value, and each computed field's. No serializer is asked.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic.plugin._schema_validator import PluggableSchemaValidator
from pydantic_core import SchemaValidator

from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.faults import UNSTORABLE, RowErrors, Unfit, as_text, errors_of_raised, text_of
from rowkeeper.contracts.reading import Rows, rows_of
from rowkeeper.errors import SecurityError, is_fault

PART_ROWS = 8_192  # checked at a time, so that few validated models are alive at once
# The model's own validators need not bear being called from several threads; and Python runs one at a time anyway.
ONE_AT_A_TIME = threading.RLock()


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on some rows.

    Attributes:
        columns: an Arrow array, in chunks or not, for each column that was asked for, of the accepted rows.
        accepted: the accepted rows' positions among those given, ascending.
        rejected: by position, the errors as JSON text.
    """

    columns: list[Any]
    accepted: list[int]
    rejected: dict[int, str]


class RowByRow:
    """Checks rows with a validator of Pydantic's.

    Args:
        model: name of the model, for messages.
        validator: of the model, or of some of its fields.
        columns: where the values go, in the order of `values_of`.
        values_of: what the validator returned as values for the columns; may raise Unfit, and whatever the model's
            own code raises.
    """

    def __init__(
        self,
        model: str,
        validator: SchemaValidator | PluggableSchemaValidator,
        columns: Sequence[Column],
        values_of: Callable[[Any], tuple[Any, ...]],
    ) -> None:
        self._model = model
        self._columns = columns
        self._validator = validator
        self._values_of = values_of

    def check_table(self, table: pa.Table) -> Judged:
        """Judges rows of Python values, as `model_validate` does."""
        with ONE_AT_A_TIME:
            return joined([self.check_rows(rows_of(part)) for part in parts_of(table)])

    def check_rows(self, rows: Rows) -> Judged:
        """The same of few rows: all of them are Python objects at a time."""
        return self._judge(self._validator.validate_python, rows.rows, rows.unreadable)

    def check_documents(self, documents: Sequence[bytes]) -> Judged:
        """Judges JSON documents, as `model_validate_json` does; a broken one is `json_invalid`."""
        with ONE_AT_A_TIME:
            return self._judge(self._validator.validate_json, documents, {})

    def _judge(self, validate: Callable[[Any], Any], rows: Iterable[Any], refused: dict[int, RowErrors]) -> Judged:
        """Keeps a validated model no longer than its row's turn: the collector has a hundredth of the work."""
        rejected = {position: as_text(errors) for position, errors in refused.items()}
        held: list[tuple[Any, ...]] = []
        positions: list[int] = []
        for position, row in enumerate(rows):
            if refused and position in refused:
                continue
            try:
                held.append(self._values_of(validate(row)))
                positions.append(position)
            except ValidationError as error:
                rejected[position] = self._text_of(error)
            except Unfit as fault:
                rejected[position] = as_text([fault.at()])
            except (MemoryError, SecurityError):
                raise  # the machine's fault, or the pipeline's (it connects where it may not), not the row's
            except BaseException as error:
                if not is_fault(error):
                    raise
                # The user's own validators may raise anything, and what they call may panic.
                rejected[position] = as_text(errors_of_raised(error, self._model))
        return self._into_columns(held, positions, rejected)

    def _text_of(self, error: ValidationError) -> str:
        try:
            return text_of(error)
        except MemoryError:
            raise
        except Exception as broken:  # noqa: BLE001 - the user's own exceptions are printed here
            return as_text(errors_of_raised(broken, self._model))

    def _into_columns(self, held: list[tuple[Any, ...]], positions: list[int], rejected: dict[int, str]) -> Judged:
        faults: dict[int, RowErrors] = {}  # by place in `held`
        arrays = []
        values = zip(*held, strict=True) if held else [()] * len(self._columns)
        for column, column_values in zip(self._columns, values, strict=True):
            array, unfit = column.build(column_values)
            arrays.append(array)
            for place, fault in unfit.items():
                faults.setdefault(place, []).append(fault.at(column.name))
        if faults:
            keep = pa.array([place not in faults for place in range(len(held))], pa.bool_())
            arrays = [array.filter(keep) for array in arrays]
            rejected.update((positions[place], as_text(errors)) for place, errors in faults.items())
            positions = [position for place, position in enumerate(positions) if place not in faults]
        return Judged(arrays, positions, rejected)


def parts_of(table: pa.Table) -> Iterator[pa.Table]:
    """The table in parts of which each may be Python objects at a time."""
    for first in range(0, table.num_rows, PART_ROWS):
        # A table without columns would be taken to have as many rows as are asked for.
        yield table.slice(first, min(PART_ROWS, table.num_rows - first))


def joined(parts: Sequence[Judged]) -> Judged:
    """The verdicts on the parts of a table, which is not empty, as one."""
    if len(parts) == 1:
        return parts[0]
    accepted: list[int] = []
    rejected: dict[int, str] = {}
    for number, part in enumerate(parts):
        first = number * PART_ROWS
        accepted += [first + position for position in part.accepted]
        rejected.update((first + position, errors) for position, errors in part.rejected.items())
    columns = [pa.chunked_array(list(arrays)) for arrays in zip(*(part.columns for part in parts), strict=True)]
    return Judged(columns, accepted, rejected)


def by_model(model: type[BaseModel], columns: Sequence[Column]) -> RowByRow:
    """Checks rows as the model does.

    Args:
        model: complete, so that its validator is built.
        columns: for each field, then each computed field, in order.
    """
    fields = getter(list(model.model_fields))
    computed = list(model.model_computed_fields)

    def values_of(held: Any) -> tuple[Any, ...]:
        if not isinstance(held, model):
            raise Unfit(UNSTORABLE, f"a validator returned {type(held).__name__} in place of {model.__name__}")
        try:
            values = fields(held.__dict__)
        except KeyError:
            raise Unfit(UNSTORABLE, f"a validator returned a {model.__name__} without all its fields") from None
        if computed:
            values += tuple([getattr(held, name) for name in computed])
        return values

    return RowByRow(model.__name__, model.__pydantic_validator__, columns, values_of)


def getter(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Takes these keys out of a dict as a tuple; raises KeyError."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda held: tuple([held[name] for name in names])
