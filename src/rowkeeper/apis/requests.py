"""What is asked: one request as a frozen value that can be kept in the ledger, and asked again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import DeclarationError, RedirectRefused

Sent = Literal["query", "body"]
# Some APIs put our own credentials into the link to the next page. They are sent in headers, and are not kept.
CREDENTIALS = frozenset({"access_token", "api_key", "apikey", "auth_token", "client_secret"})


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        url: with its query.
        body: a JSON object, sent by POST; None is a GET.
    """

    url: str
    body: Mapping[str, Any] | None = None

    @property
    def method(self) -> str:
        """GET, or POST where there is a body."""
        return "GET" if self.body is None else "POST"

    @property
    def content_type(self) -> str:
        """What the body is; empty where there is none."""
        return "" if self.body is None else "application/json"

    @property
    def headers(self) -> Mapping[str, str]:
        """What this request alone has."""
        return {}

    @property
    def again(self) -> frozenset[int]:
        """Statuses that ask for another try, besides those that always do."""
        return frozenset()

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return b"" if self.body is None else json.dumps(self.body, sort_keys=True).encode()

    @property
    def place(self) -> str:
        """Where it goes, without the query, which may hold values of rows."""
        return self.url.partition("?")[0]

    @property
    def print(self) -> str:
        """What tells it from others: 16 hex digits."""
        return hashlib.blake2b(self.url.encode() + b"\n" + self.content, digest_size=8).hexdigest()

    def with_value(self, name: str, value: str | int, sent: Sent = "query") -> Self:
        """The same with a parameter set, in the query or in the body."""
        if sent == "body":
            return dataclasses.replace(self, body={**(self.body or {}), name: value})
        parts = urlsplit(self.url)
        query = [(key, text) for key, text in parse_qsl(parts.query, keep_blank_values=True) if key != name]
        return dataclasses.replace(self, url=urlunsplit(parts._replace(query=urlencode([*query, (name, str(value))]))))

    def linked(self, link: str) -> Self:
        """The one that a link of its answer leads to.

        Raises RedirectRefused if that is another host, or no longer TLS.
        """
        here = place_of_url(self.url)
        try:
            url = urljoin(self.url, link)
            there = place_of_url(url)
        except (DeclarationError, ValueError):
            raise RedirectRefused(f"{here[1]} links to what is no URL", hint="see to that server") from None
        if there != here:
            raise RedirectRefused(
                f"{here[1]} links to another place for its next page", hint="declare and use the other one, if meant"
            )
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        if any(name.lower() in CREDENTIALS for name, _ in query):
            kept = [(name, text) for name, text in query if name.lower() not in CREDENTIALS]
            parts = parts._replace(query=urlencode(kept))
        return dataclasses.replace(self, url=urlunsplit(parts._replace(fragment="")))

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"url": self.url} if self.body is None else {"url": self.url, "body": dict(self.body)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `document`."""
        return cls(document["url"], document.get("body"))


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """Rows on their way to an API.

    Attributes:
        content: the body, as it is sent, each time the same.
        headers: besides those of every request, such as an idempotency key.
        again: statuses that ask for another try, besides those that always do.
    """

    url: str
    content: bytes
    method: str = "POST"
    content_type: str = "application/json"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    again: frozenset[int] = frozenset()

    @property
    def place(self) -> str:
        """Where it goes, without the query."""
        return self.url.partition("?")[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        request: what was asked; of a delivery its place alone.
        headers: names in lower case.
        body: unpacked, UTF-8.
    """

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def validators(self) -> tuple[str, str] | None:
        """What it is known by: ETag and Last-Modified, either of them empty; None if it has neither."""
        found = self.headers.get("etag", ""), self.headers.get("last-modified", "")
        return found if any(found) else None
