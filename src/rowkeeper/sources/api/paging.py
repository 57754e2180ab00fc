"""How one page leads to the next: by number, offset, cursor, token, link in the body, or Link header."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from rowkeeper.apis.requests import Answer, Request, Sent
from rowkeeper.apis.selecting import MISSING, Document, Path
from rowkeeper.errors import CursorWentBack, DeclarationError, RecordsMissing

LINK = re.compile(r"<([^>]*)>\s*((?:;\s*[\w*!#$&+^`|~.-]+\s*(?:=\s*(?:\"[^\"]*\"|[^\s;,\"]*))?\s*)*)")
REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)
OVER: Sequence[Any] = (MISSING, None, "", False)
Order = Literal["ascending", "descending"]


@dataclasses.dataclass(frozen=True, slots=True)
class PageRead:
    """A page, for whoever looks for the next one.

    Attributes:
        before: how many records the pages before it had.
    """

    answer: Answer
    document: Document
    records: Sequence[bytes]
    before: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pagination:
    """What every kind has in common.

    Args:
        size: how many records a page is to have, sent as `size_param`; None leaves it to the API.
        total: a JSONPath to the number of all records. It must be the same on every page, and be what was read.
        sent: whether parameters go in the query or in the JSON body of a POST.
    """

    size: int | None = None
    size_param: str = "limit"
    total: str | None = None
    sent: Sent = "query"

    def __post_init__(self) -> None:
        if self.size is not None and (type(self.size) is not int or self.size < 1):
            raise DeclarationError(f"{type(self).__name__}(size={self.size!r})", hint="a number of records from 1 on")
        if self.sent not in ("query", "body"):
            raise DeclarationError(f"{type(self).__name__}(sent={self.sent!r})", hint='sent="query" or sent="body"')
        for path in self._paths():
            Path(path)

    def _paths(self) -> list[str]:
        return [] if self.total is None else [self.total]

    def first(self, request: Request) -> Request:
        """The request for the first page."""
        return request if self.size is None else request.with_value(self.size_param, self.size, self.sent)

    def following(self, page: PageRead) -> Request | None:
        """The request for the page after this one; None after the last.

        Raises RecordsMissing or CursorWentBack.
        """
        raise NotImplementedError

    def total_of(self, page: PageRead) -> int | None:
        """What a page says of the number of all records. Raises RecordsMissing if it does not say it."""
        if self.total is None:
            return None
        found = Path(self.total).value(page.document)
        if isinstance(found, str) and found.isascii() and found.isdecimal():
            found = int(found)
        if type(found) is not int:
            raise RecordsMissing(
                f"{page.answer.request.place} answers without the number of records at {self.total}",
                hint="compare total= with an answer",
            )
        return found

    def describe(self) -> Mapping[str, Any]:
        """As JSON values."""
        return {"kind": type(self).__name__, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class SinglePage(Pagination):
    """All of it comes at once."""

    def following(self, page: PageRead) -> Request | None:
        """None."""
        return None


@dataclasses.dataclass(frozen=True)
class PageNumber(Pagination):
    """`?page=1`, `?page=2`, ... until a page is empty.

    A page that is merely short is not taken for the last: APIs cap sizes as they like.

    Args:
        param: the parameter.
        start: the number of the first page.
    """

    param: str = "page"
    start: int = 1

    def first(self, request: Request) -> Request:
        """With the number of the first page."""
        return super().first(request).with_value(self.param, self.start, self.sent)

    def following(self, page: PageRead) -> Request | None:
        """The next number, unless this page is empty."""
        if not page.records:
            return None
        asked = page.answer.request
        return asked.with_value(self.param, int(_sent_with(asked, self.param, self.sent)) + 1, self.sent)


@dataclasses.dataclass(frozen=True)
class Offset(Pagination):
    """`?offset=0`, `?offset=100`, ... by as many as each page had, until a page is empty.

    Args:
        param: the parameter.
        start: the offset of the first record.
    """

    param: str = "offset"
    start: int = 0

    def first(self, request: Request) -> Request:
        """With the first offset."""
        return super().first(request).with_value(self.param, self.start, self.sent)

    def following(self, page: PageRead) -> Request | None:
        """As many further as this page had records."""
        if not page.records:
            return None
        asked = page.answer.request
        at = int(_sent_with(asked, self.param, self.sent))
        return asked.with_value(self.param, at + len(page.records), self.sent)


@dataclasses.dataclass(frozen=True)
class Cursor(Pagination):
    """What comes after a record: `?after=<id of the last one>`, until a page is empty.

    Args:
        param: the parameter.
        field: a JSONPath in the record, such as `$.id`.
        order: of the values; one that goes the other way is an error. None does not look.
        more: a JSONPath in the answer that is false on the last page, which then need not be empty.
    """

    param: str = "after"
    field: str = "$.id"
    order: Order | None = None
    more: str | None = None

    def _paths(self) -> list[str]:
        return [*super()._paths(), self.field, *([self.more] if self.more else [])]

    def following(self, page: PageRead) -> Request | None:
        """From the last record on."""
        if not page.records or (self.more and Path(self.more).value(page.document) in OVER):
            return None
        asked = page.answer.request
        last = Path(self.field).value(Document(page.records[-1]))
        if not isinstance(last, (str, int, Decimal)) or isinstance(last, bool):
            raise RecordsMissing(
                f"{asked.place}: the last record of a page has no {self.field}, by which the next page is asked for",
                hint="compare field= with a record",
            )
        former = _sent_with(asked, self.param, self.sent)
        if self.order is not None and former is not None:
            self._check_order(asked, former, last)
        return asked.with_value(self.param, int(last) if isinstance(last, int) else str(last), self.sent)

    def _check_order(self, asked: Request, former: Any, last: str | int | Decimal) -> None:
        one, other = (Decimal(str(former)), Decimal(last)) if not isinstance(last, str) else (str(former), last)
        ahead = other > one if self.order == "ascending" else other < one  # type: ignore[operator]
        if not ahead:
            raise CursorWentBack(
                f"{asked.place}: a page ends at a cursor that does not follow the one it was asked for",
                hint=f"are the records in {self.order} order of {self.field}, and does the API know {self.param}?",
            )


@dataclasses.dataclass(frozen=True)
class Token(Pagination):
    """A token in the body leads to the next page: `{"next_page": "abc"}`, until there is none.

    Args:
        at: a JSONPath to the token.
        param: the parameter that it is sent as.
    """

    at: str = "$.next_page_token"
    param: str = "page_token"

    def _paths(self) -> list[str]:
        return [*super()._paths(), self.at]

    def following(self, page: PageRead) -> Request | None:
        """With the token of this page."""
        found = Path(self.at).value(page.document)
        if found in OVER:
            return None
        return page.answer.request.with_value(self.param, _text(found, page, self.at), self.sent)


@dataclasses.dataclass(frozen=True)
class NextLink(Pagination):
    """A link in the body leads to the next page: `{"next": "https://..."}`, until there is none.

    Args:
        at: a JSONPath to the link, whole or relative; at the same host.
    """

    at: str = "$.next"

    def _paths(self) -> list[str]:
        return [*super()._paths(), self.at]

    def following(self, page: PageRead) -> Request | None:
        """Where the link leads."""
        found = Path(self.at).value(page.document)
        return None if found in OVER else page.answer.request.linked(str(_text(found, page, self.at)))


@dataclasses.dataclass(frozen=True)
class LinkHeader(Pagination):
    """The header `Link: <https://...>; rel="next"` (RFC 8288) leads to the next page, until there is none."""

    def following(self, page: PageRead) -> Request | None:
        """Where the link leads."""
        for match in LINK.finditer(page.answer.headers.get("link", "")):
            rel = REL.search(match[2])
            if rel is not None and "next" in (rel[1] or rel[2] or "").lower().split():
                return page.answer.request.linked(match[1])
        return None


def _text(found: Any, page: PageRead, path: str) -> str | int:
    if isinstance(found, (str, int)):
        return found
    raise RecordsMissing(
        f"{page.answer.request.place}: what is at {path} leads to no page", hint="compare at= with an answer"
    )


def _sent_with(request: Request, name: str, sent: Sent) -> Any:
    """The value of a parameter in a request."""
    if sent == "body":
        return (request.body or {}).get(name)
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True)).get(name)
