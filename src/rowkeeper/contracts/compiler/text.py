"""Rules for text: str, bytes, UUID."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa
from pydantic_core import SchemaValidator, ValidationError

from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, both, check_keys, is_strict, is_text

UUID_TEXT = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
ASCII = r"^[\x00-\x7f]*$"
# What Polars and Pydantic must say the same of, whatever the pattern is.
PROBES = (
    *("", "a", "A", "0", "\u0663", "é", "ß", " ", "\n", "a\n", "a\nb", "\x1c", "aa", "_", "-1", "\u212a"),
    *("zone 123", "zone 123\n"),
)


def str_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Text: stripped, then its length and pattern looked at, then its case changed, in Pydantic's order."""
    check_keys(
        schema,
        *("strict", "strip_whitespace", "to_lower", "to_upper", "min_length", "max_length", "pattern", "regex_engine"),
        "coerce_numbers_to_str",
    )
    if not is_text(given.type):
        raise Unsuited(f"str from {given.type}")
    text, changed = given.value, False
    if schema.get("strip_whitespace", config.get("str_strip_whitespace", False)):
        text, changed = text.str.strip_chars(), True
    conditions: list[pl.Expr] = []
    low = schema.get("min_length", config.get("str_min_length"))
    high = schema.get("max_length", config.get("str_max_length"))
    if low:
        conditions.append(text.str.len_chars() >= low)
    if high is not None:
        conditions.append(text.str.len_chars() <= high)
    pattern = schema.get("pattern")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise Unsuited("a compiled pattern is Python's own")
        if schema.get("regex_engine", config.get("regex_engine", "rust-regex")) != "rust-regex":
            raise Unsuited("the regex engine is Python's own")
        _check_pattern(pattern)
        conditions.append(text.str.contains(pattern))
    lower = schema.get("to_lower", config.get("str_to_lower", False))
    upper = schema.get("to_upper", config.get("str_to_upper", False))
    if lower and upper:
        raise Unsuited("both to_lower and to_upper")
    if lower or upper:
        # Beyond ASCII the two libraries' tables may be of different versions.
        conditions.append(text.str.contains(ASCII))
        text, changed = (text.str.to_lowercase() if lower else text.str.to_uppercase()), True
    kind: Any = "P" if lower or upper else "V"
    costly = pattern is not None or lower or upper
    return Rule(kind, both(*conditions), text if changed else None, costly=costly, proof="test_text.py::test_str")


def _check_pattern(pattern: str) -> None:
    """Whether Polars reads the pattern as Pydantic does, on what patterns are known to differ in.

    Raises Unsuited.
    """
    validator = SchemaValidator({"type": "str", "pattern": pattern})
    try:
        found = pl.Series(PROBES).str.contains(pattern).to_list()
    except pl.exceptions.ComputeError as error:
        raise Unsuited("the pattern is none of Polars'") from error
    for probe, matches in zip(PROBES, found, strict=True):
        try:
            validator.validate_python(probe)
            accepted = True
        except ValidationError:
            accepted = False
        if accepted != matches:
            raise Unsuited("Polars reads the pattern differently")


def bytes_rule(schema: Mapping[str, Any], _config: Mapping[str, Any], given: Given) -> Rule:
    """Bytes, as they are."""
    check_keys(schema, "strict", "min_length", "max_length")
    if not (pa.types.is_binary(given.type) or pa.types.is_large_binary(given.type)):
        raise Unsuited(f"bytes from {given.type}")
    low, high = schema.get("min_length"), schema.get("max_length")
    length = given.value.bin.size()
    return Rule(
        "V",
        both(length >= low if low else None, length <= high if high is not None else None),
        proof="test_text.py::test_bytes",
    )


def uuid_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """UUIDs in their usual form, with hyphens."""
    check_keys(schema, "strict")
    if not is_text(given.type) or is_strict(schema, config):
        raise Unsuited(f"UUID from {given.type}")
    value = given.value.str.replace_all("-", "", literal=True).str.decode("hex", strict=False)
    return Rule("P", given.value.str.contains(UUID_TEXT), value, proof="test_text.py::test_uuid")
