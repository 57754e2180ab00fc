"""Columns of text whose values repeat: what is costly is done once for each distinct value."""

from __future__ import annotations

import contextlib
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.contracts.compiler.rule import Rule, is_text

DISTINCT_SHARE_MAX = 0.5
SAMPLE_ROWS = 1_000
KNOWN_MAX = 4_096  # a look into a larger set costs what the dictionary costs


class Distinct:
    """A rule's answers on a column of text.

    Values once found good are remembered from batch to batch: to find that all of a batch's are among them takes half
    as long as to find out which there are.

    Args:
        name: of the field, under which the rule knows its column.
        rule: what is costly.
        nullable: whether null is accepted.
    """

    def __init__(self, name: str, rule: Rule, *, nullable: bool) -> None:
        self._name = name
        self._rule = rule
        self._nullable = nullable
        self._known: Any = None  # replaced as a whole: batches are checked in several threads

    def answers(self, cells: pa.ChunkedArray[Any]) -> list[pl.Series] | None:
        """For each cell whether it is accepted ("NAME ok"), and its value ("NAME") where the rule changes values.

        None where values hardly repeat, so that the rule is better applied to the column.
        """
        if not is_text(cells.type) or not len(cells):
            return None
        if not pa.types.is_dictionary(cells.type):
            sample = cells.slice(0, SAMPLE_ROWS)
            if len(sample.unique()) > len(sample) * DISTINCT_SHARE_MAX:
                return None
            if self._rule.value is None and (ok := self._among_known(cells)) is not None:
                return [ok.alias(f"{self._name} ok")]
        return self._by_dictionary(cells)

    def _among_known(self, cells: pa.ChunkedArray[Any]) -> pl.Series | None:
        """Which cells are among the good values; None if there are too many of those to know them all."""
        found: Any = None if self._known is None else pc.is_in(cells, value_set=self._known)
        if found is None or not pc.all(found).as_py():
            strange = cells if found is None else cells.filter(pc.invert(found))
            distinct: Any = strange.unique().drop_null()
            if len(distinct) > KNOWN_MAX:
                return None
            ok = self._applied(distinct)["ok"].fill_null(False).to_arrow()
            if pc.any(ok).as_py():
                good = [distinct.filter(ok), *([] if self._known is None else [self._known])]
                known = pa.concat_arrays(good)
                if len(known) > KNOWN_MAX:
                    self._known = None
                    return None
                self._known = known
                found = pc.is_in(cells, value_set=known)
            elif found is None:
                found = pa.repeat(False, len(cells))
            if self._nullable:
                found = pc.or_(found, cells.is_null())
        return pl.Series(found)

    def _by_dictionary(self, cells: pa.ChunkedArray[Any]) -> list[pl.Series]:
        distinct = encoded(cells)
        answers = self._applied(distinct.dictionary)
        indices = pl.from_arrow(distinct.indices)
        assert isinstance(indices, pl.Series)
        ok = answers["ok"].gather(indices)
        ok = ok.fill_null(True) if self._nullable and answers["ok"].null_count() == 0 else ok.fill_null(False)
        found = [ok.alias(f"{self._name} ok")]
        if self._rule.value is not None:
            found.append(answers["value"].gather(indices).alias(self._name))
        return found

    def _applied(self, values: pa.Array[Any]) -> pl.DataFrame:
        rule = self._rule
        return pl.DataFrame([series_of(self._name, pa.chunked_array([values]))]).select(
            ok=pl.lit(True) if rule.ok is None else rule.ok, value=pl.lit(None) if rule.value is None else rule.value
        )


def series_of(name: str, cells: pa.ChunkedArray[Any]) -> pl.Series:
    """A column as Polars has it."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if is_text(cells.type):
        with contextlib.suppress(pa.ArrowCapacityError):  # beyond 2 GiB; Polars reads it all the same, by a copy
            cells = cells.cast(pa.string_view())  # Polars' own form, five times as quick as its own way to it
    series = pl.from_arrow(cells)
    assert isinstance(series, pl.Series)
    return series.alias(name)


def encoded(cells: Any) -> Any:
    """A column as one dictionary array."""
    if pa.types.is_dictionary(cells.type):
        if cells.num_chunks == 1:
            return cells.chunk(0)
        # The values of all the chunks' dictionaries may be more than its index type can tell apart.
        cells = cells.cast(cells.type.value_type)
    whole = cells.combine_chunks()
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    return whole.dictionary_encode()
