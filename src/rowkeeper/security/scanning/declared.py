"""What is handed to sources and destinations, at the moment at which it is: however it was put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rowkeeper.configuration.literal import ABOUT_COLUMNS, is_named_like_a_secret, refuse_url
from rowkeeper.configuration.reference import parse

DEPTH_MAX = 4


def refuse_declared(declared: object, what: str) -> None:
    """Raises SecretLiteral if an argument of a declaration is a secret, or a URL with a password in it.

    Args:
        what: the declaration, for the message, such as `source`.
    """
    for name, text in _texts(_arguments(declared), "", DEPTH_MAX):
        where = f"{what}: {name}"
        refuse_url(text, where)
        if text and is_named_like_a_secret(name):
            parse(text, where)


def _arguments(declared: object) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(declared):
        return {field.name: getattr(declared, field.name, None) for field in dataclasses.fields(declared)}
    return getattr(declared, "__dict__", {})


def _texts(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """All texts in an argument, each with the name that is nearest to it."""
    if isinstance(value, str):
        yield name, value
    elif depth and isinstance(value, Mapping) and name not in ABOUT_COLUMNS:
        for key, each in value.items():
            yield from _texts(each, str(key).strip("_"), depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _texts(each, name, depth - 1)
    elif depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _texts(_arguments(value), name, depth - 1)
