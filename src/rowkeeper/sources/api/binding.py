"""What a record of one call gives to the next: values in its URL, members of its records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec

from rowkeeper.apis.requests import Request
from rowkeeper.apis.selecting import MISSING, OBJECT, WRITER, Document, Path, Unreadable
from rowkeeper.errors import AnswerUnreadable, RecordsMissing

NAME = re.compile(r"\{([A-Za-z_]\w*)\}")


def names_in(url: str) -> list[str]:
    """The names that a URL has in braces."""
    return NAME.findall(url)


def bound_to(request: Request, record: bytes, bound: Mapping[str, str]) -> Request:
    """The request with a record's values in its URL, escaped so that none can be more than one step of the path.

    Raises RecordsMissing if the record has no such value.
    """
    document = Document(record)

    def text_of(match: re.Match[str]) -> str:
        value = _value(document, bound[match[1]], request)
        if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)) or str(value) in ("", ".", ".."):
            raise RecordsMissing(
                f"a record of the parent has nothing at {bound[match[1]]} that could stand in a URL",
                hint="compare bind= with a record",
            )
        return quote(str(value), safe="")

    return Request(NAME.sub(text_of, request.url), request.body)


def members_of(record: bytes, included: Mapping[str, str]) -> dict[str, msgspec.Raw]:
    """By name, what each child is given of its parent's record; null where the record has no such value."""
    document = Document(record)
    found = {name: _value(document, path, None) for name, path in included.items()}
    return {name: msgspec.Raw(WRITER.encode(None if value is MISSING else value)) for name, value in found.items()}


def with_members(record: bytes, added: Mapping[str, msgspec.Raw]) -> bytes:
    """A record with members more, its own as they stand; a record that is no object stays as it is."""
    try:
        members = OBJECT.decode(record)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return record
    return msgspec.json.encode({**members, **added})


def _value(document: Document, path: str, request: Request | None) -> Any:
    try:
        return Path(path).value(document)
    except Unreadable:
        place = request.place if request else "the parent"
        raise AnswerUnreadable(f"a record that {place} is asked for is not JSON", hint="run again") from None
