"""What a rule says of a column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import polars as pl
import pyarrow as pa

ANNOTATIONS = frozenset({"type", "metadata", "serialization", "ref"})  # keys that change no verdict and no value


class Unsuited(Exception):  # noqa: N818 - it is no error: the field is Pydantic's to judge
    """Why no column check fits a field."""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What a rule has to work with.

    Attributes:
        value: the column of the input.
        type: its Arrow type.
        stored: the Arrow type of the contract's column.
    """

    value: pl.Expr
    type: pa.DataType
    stored: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Which values of a column are surely accepted, and what they become.

    Attributes:
        kind: V if every value that Pydantic accepts is accepted here, P if only values of a narrow form are.
        ok: true for a value that is surely accepted; false or null leaves it to Pydantic. None: every value but null.
        value: what an accepted value becomes. None: it stays as it is (in the contract's Arrow type).
        prepare: what is done to the column first, once for `ok` and `value`; what it cannot read becomes null.
        costly: whether it is worth while to check each distinct value once.
        by_arrow: what `ok` says of a column of plain text, by Arrow: as quick, and without the copy that Polars would
            have to make of the text first. False for null. Only where values stay as they are.
        proof: the test that compares this rule with Pydantic.
    """

    kind: Literal["V", "P"]
    ok: pl.Expr | None
    value: pl.Expr | None = None
    prepare: Callable[[pa.ChunkedArray[Any]], pl.Series] | None = None
    costly: bool = False
    by_arrow: Callable[[pa.ChunkedArray[Any]], Any] | None = None
    proof: str = dataclasses.field(kw_only=True)


def both(*conditions: pl.Expr | None) -> pl.Expr | None:
    """The conditions that there are, all of them; None if there are none."""
    given = [each for each in conditions if each is not None]
    return pl.all_horizontal(given) if len(given) > 1 else (given[0] if given else None)


def check_keys(schema: Mapping[str, Any], *known: str) -> None:
    """Raises Unsuited for a key that the rule does not know, unless it is None (not set)."""
    for key, value in schema.items():
        if key not in ANNOTATIONS and key not in known and value is not None:
            raise Unsuited(f"{schema['type']} with {key}")


def is_strict(schema: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether the field takes values of its own type only."""
    return bool(schema.get("strict", config.get("strict", False)))


def is_text(type: pa.DataType) -> bool:
    """Whether a column holds text, dictionary-encoded or not."""
    if pa.types.is_dictionary(type):
        return is_text(type.value_type)
    return is_plain_text(type) or bool(pa.types.is_string_view(type))


def is_plain_text(type: pa.DataType) -> bool:
    """Whether a column holds text one value after the other."""
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))
