"""Rows through Pydantic, one by one, and the values of the good ones into columns, all at once.

What lands is what the validated model holds: each field's value, and each computed field's. No serializer is asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.faults import UNSTORABLE, RowErrors, Unfit, as_text, errors_of_raised, text_of
from rowkeeper.contracts.reading import Rows


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on some rows.

    Attributes:
        columns: an Arrow array for each column of the contract, of the accepted rows.
        accepted: the accepted rows' positions among those given, ascending.
        rejected: by position, the errors as JSON text.
    """

    columns: list[pa.Array[Any]]
    accepted: list[int]
    rejected: dict[int, str]


class RowByRow:
    """Checks rows with a model's own validator.

    Args:
        model: complete, so that its validator is built.
        columns: for each field, then each computed field, in order.
    """

    def __init__(self, model: type[BaseModel], columns: Sequence[Column]) -> None:
        self._model = model
        self._columns = columns
        self._validator = model.__pydantic_validator__
        self._fields = _getter(list(model.model_fields))
        self._computed = list(model.model_computed_fields)

    def check_rows(self, rows: Rows) -> Judged:
        """Judges rows of Python values, as `model_validate` does."""
        return self._judge(self._validator.validate_python, rows.rows, rows.unreadable)

    def check_documents(self, documents: Sequence[bytes]) -> Judged:
        """Judges JSON documents, as `model_validate_json` does; a broken one is `json_invalid`."""
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
            except MemoryError:
                raise  # the machine's fault, not the row's
            except Exception as error:  # noqa: BLE001 - the user's own validators may raise anything
                rejected[position] = as_text(errors_of_raised(error, self._model.__name__))
        return self._into_columns(held, positions, rejected)

    def _values_of(self, model: Any) -> tuple[Any, ...]:
        """The values of the fields and computed fields. Raises Unfit, or what a computed field raises."""
        if not isinstance(model, self._model):
            raise Unfit(UNSTORABLE, f"a validator returned {type(model).__name__} in place of {self._model.__name__}")
        try:
            values = self._fields(model.__dict__)
        except KeyError:
            raise Unfit(UNSTORABLE, f"a validator returned a {self._model.__name__} without all its fields") from None
        if self._computed:
            values += tuple([getattr(model, name) for name in self._computed])
        return values

    def _text_of(self, error: ValidationError) -> str:
        try:
            return text_of(error)
        except MemoryError:
            raise
        except Exception as broken:  # noqa: BLE001 - the user's own exceptions are printed here
            return as_text(errors_of_raised(broken, self._model.__name__))

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


def _getter(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Takes these keys out of a dict as a tuple; raises KeyError."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda held: tuple([held[name] for name in names])
