"""What is wrong with a row, in words: Pydantic's error list made safe for JSON, and this room's own error types.

    rk_out_of_range      the model accepts the value, but its column cannot hold it (64-bit integers, the digits
                         of a Decimal, dates outside 1900 to 2299)
    rk_nanoseconds       a time finer than microseconds, which Python's types would cut off
    rk_validator_raised  the model's own code raised something that Pydantic does not take for a verdict
    rk_unstorable        the model holds a value of another kind than its field is annotated with
    rk_unreadable        the raw value cannot be turned into a Python value at all
    rk_unknown_column    a JSON document has a key that the contract does not know (policy `reject`)
    rk_rule              a business rule does not hold (`rk.rule`)
    rk_rule_unknown      a business rule cannot be told, and asks for such rows to be rejected
    rk_more_errors       ends a list that was cut off after `ERRORS_PER_ROW_MAX`

Locations begin with the field's name (for Pydantic's own errors: with the name that Pydantic gives).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

ERRORS_PER_ROW_MAX = 100
TEXT_CHARACTERS_MAX = 4_000  # `json` reads no integer of more than 4,300 digits

OUT_OF_RANGE = "rk_out_of_range"
NANOSECONDS = "rk_nanoseconds"
VALIDATOR_RAISED = "rk_validator_raised"
UNSTORABLE = "rk_unstorable"
UNREADABLE = "rk_unreadable"
UNKNOWN_COLUMN = "rk_unknown_column"
RULE_BROKEN = "rk_rule"
RULE_UNKNOWN = "rk_rule_unknown"
MORE_ERRORS = "rk_more_errors"

RowErrors = list[dict[str, Any]]
"""One row's errors, each with `type`, `loc` and `msg`, and Pydantic's `ctx` where there is one; JSON-safe."""


class Unfit(Exception):  # noqa: N818 - it says of a value what it is; it never leaves this room
    """A value that its column cannot hold exactly.

    Args:
        type: one of this module's error types.
        message: what is wrong, without the value.
    """

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.message = message

    def at(self, *loc: str | int) -> dict[str, Any]:
        """The error as an entry of a row's list."""
        return entry(self.type, loc, self.message)


def entry(type: str, loc: Sequence[str | int], message: str) -> dict[str, Any]:
    """An entry of a row's error list, in Pydantic's form."""
    return {"type": type, "loc": list(loc), "msg": message}


def errors_of(error: ValidationError) -> RowErrors:
    """Pydantic's error list without inputs and links, its context made JSON-safe."""
    found: RowErrors = error.errors(include_url=False, include_input=False)  # type: ignore[assignment]
    for each in found:
        each["loc"] = [part if type(part) is str else _json_safe(part) for part in each["loc"]]
        context = each.get("ctx")
        if context is not None:
            each["ctx"] = {
                str(key): value if type(value) is str else _json_safe(value) for key, value in context.items()
            }
    if len(found) > ERRORS_PER_ROW_MAX:
        cut = len(found) - ERRORS_PER_ROW_MAX
        found[ERRORS_PER_ROW_MAX:] = [entry(MORE_ERRORS, (), f"and {cut:,} more errors")]
    return found


def text_of(error: ValidationError) -> str:
    """What `as_text(errors_of(error))` says, by Pydantic's own shorter way where that is possible."""
    if error.error_count() <= ERRORS_PER_ROW_MAX:
        try:
            text = error.json(include_url=False, include_input=False)
            if len(text) <= TEXT_CHARACTERS_MAX:
                return text
        except (PydanticSerializationError, UnicodeError):
            pass  # something that JSON has no form for
    return as_text(errors_of(error))


def as_text(errors: RowErrors) -> str:
    """The errors of a row as JSON text."""
    try:
        return to_json(errors).decode()
    except (PydanticSerializationError, UnicodeError):  # half of a surrogate pair, in a message of the model's own
        return json.dumps(errors)


def errors_of_raised(error: BaseException, model: str) -> RowErrors:
    """The one error of a row on which the model's own code raised. Its text may hold data and stays out."""
    return [entry(VALIDATOR_RAISED, (), f"the model {model} raised {type(error).__name__}")]


def _json_safe(value: Any) -> Any:  # noqa: PLR0911 - a table of kinds
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is dict:
        return {str(key): _json_safe(each) for key, each in value.items()}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        # `json` refuses to print integers of more than 4,300 digits; in hexadecimal there is no limit.
        return int(value) if value.bit_length() < 64 else f"{int(value):#x}"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_safe(each) for each in value]
    return str(value)
