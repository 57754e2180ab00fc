"""The mark of a field whose values are not for everybody."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel


@dataclasses.dataclass(frozen=True, slots=True)
class Classified:
    """Marks a contract's field: `Annotated[str, rk.Classified("identifier")]`.

    Its values are in no profile.

    Args:
        label: what kind of data it is, in your own words.
    """

    label: str


def classified_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names of a contract's fields that are marked."""
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if any(isinstance(each, Classified) for each in field.metadata)
    )
