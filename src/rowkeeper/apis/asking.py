"""One request and its answer: by the one way out, within limits of rate, time and size, and again if that is right.

    client = Client(where, site)
    answer = client.ask(Request("https://api.example.com/v1/items"))

The answer is read as a stream and unpacked piece by piece, so that a small body which unpacks to a large one is given
up at the limit, and never held. Of what an API says in its errors nothing is told: it may quote what was sent.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from rowkeeper.apis.requests import Answer, Delivery, Request
from rowkeeper.apis.selecting import Document, Unreadable
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import (
    AmbiguousError,
    AnswerTooLarge,
    AnswerUnreadable,
    ApiRefused,
    ApiUnauthorised,
    ApiUnavailable,
    CircuitOpenError,
    DeadlineExceeded,
    FrameworkError,
    RetryError,
    SourceError,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.clock import SYSTEM_CLOCK
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry
from rowkeeper.resilience.rates import Limiter, RateLimit
from rowkeeper.security.httpauth import Authentication, Credentials, Outgoing
from rowkeeper.security.tls import TLS

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
STEP_SECONDS_MAX = 30.0  # to connect, and to wait for the next piece of an answer
DEADLINE_SECONDS = 900.0
API = Resilience(
    retry=Retry(attempts=6, wait_seconds_initial=0.5, wait_seconds_max=30.0, attempt_seconds_max=120.0),
    breaker=CircuitBreaker(when_open="wait"),
    deadline_seconds=DEADLINE_SECONDS,
)
PAGE_BYTES_MAX = 64 << 20
NOT_MODIFIED, UNAUTHORISED, FORBIDDEN = 304, 401, 403
AGAIN = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 520, 522, 524})
ACCEPTS = {"Accept": "application/json, application/x-ndjson", "Accept-Encoding": "gzip"}
GZIP = zlib.MAX_WBITS | 16
FORM = "application/x-www-form-urlencoded"


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """What is known of an API before anything is asked of it.

    Attributes:
        base: a URL of it: scheme, host and port are those of every request.
        headers: sent with each request; no secrets.
    """

    base: str
    auth: Authentication | None = None
    headers: tuple[tuple[str, str], ...] = ()
    rate: RateLimit | None = None
    resilience: Resilience | None = None
    tls: TLS | None = None
    plaintext: bool = False
    page_bytes_max: int = PAGE_BYTES_MAX


class _Refused(Exception):  # noqa: N818 - reads as what it is
    """An answer with a status of an error; `response` is what the retries judge by (`rules/http.py`)."""

    def __init__(self, response: _Status) -> None:
        super().__init__(f"status {response.status_code}")
        self.response = response


@dataclasses.dataclass(frozen=True, slots=True)
class _Status:
    status_code: int
    headers: Mapping[str, str]


class Client:
    """Asks one API. Its connections are pooled; close it when the reading is over.

    Args:
        site: the way out, and the breakers and budgets that others share.
    """

    def __init__(self, where: Where, site: Site) -> None:
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

        assert site.way_out is not None, "the source is not at work anywhere"
        self.where = where
        _, self._host, _ = place_of_url(where.base)
        endpoints = where.auth.endpoints() if where.auth else ()
        self._http: httpx.Client = http_client(
            site.way_out.declaring((endpoint_of(where), *endpoints)),
            name=f"the API at {self._host}",
            tls=where.tls or site.default_tls,
            plaintext=where.plaintext,
            headers={**ACCEPTS, **dict(where.headers)},
            seconds_max=STEP_SECONDS_MAX,
            http2=True,
        )
        self._calls = site.calls
        self._policy = where.resilience or API
        self._limiter = Limiter(where.rate)
        self._credentials: Credentials | None = where.auth.opened(self._post_form) if where.auth else None

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def ask(self, request: Request, *, known: tuple[str, str] | None = None) -> Answer:
        """The answer to a request; its status is 200 to 299, or 304 where it was `known`.

        Args:
            known: ETag and Last-Modified of what was loaded before.

        Raises:
            ApiRefused: it will not, and would not if it was asked again.
            ApiUnauthorised: not to us.
            ApiUnavailable: it could not, however often it was asked.
            AnswerTooLarge, AnswerUnreadable: the body is too large, or packed in a way that was not asked for.
            EgressRefused, TLSError, DeadlineExceeded: as the way out raises them.
        """
        failpoint("api.before_request")
        answer = self._asked(request, known)
        if answer.status == UNAUTHORISED and self._credentials is not None:
            self._credentials.renew()  # once: a token can run out in the middle, and a secret can be rotated
            answer = self._asked(request, known)
        failpoint("api.after_request")
        if answer.status in (UNAUTHORISED, FORBIDDEN):
            raise ApiUnauthorised(
                f"{request.place} answers {answer.status} to our credentials"
                if self._credentials
                else f"{request.place} answers {answer.status}, and no credentials were declared",
                hint="see to what auth= refers to, and to what its owner may read",
                context={"status": answer.status},
            )
        if answer.status >= 400 or (answer.status == NOT_MODIFIED and known is None):
            raise ApiRefused(
                f"{request.place} answers {answer.status}",
                hint="see whether the URL and the parameters are right, by asking it by hand",
                context={"status": answer.status},
            )
        return answer

    def deliver(self, delivery: Delivery) -> Answer:
        """The answer to rows that are handed over, whatever its status, once it is one that stays.

        They are sent until there is an answer: once more is no harm where they have an idempotency key, and what the
        guarantee says where they have none.

        Raises as `ask` does, but for ApiRefused.
        """
        failpoint("api.before_send")
        answer = self._asked(delivery, None)
        if answer.status == UNAUTHORISED and self._credentials is not None:
            self._credentials.renew()
            answer = self._asked(delivery, None)
        failpoint("api.after_send")
        if answer.status in (UNAUTHORISED, FORBIDDEN):
            raise ApiUnauthorised(
                f"{delivery.place} answers {answer.status}",
                hint="see to what auth= refers to, and to what its owner may write",
                context={"status": answer.status},
            )
        return answer

    def _asked(self, request: Request | Delivery, known: tuple[str, str] | None) -> Answer:
        """Whatever the status, once it is one that stays."""
        line = self._calls.to(self._host, "write" if isinstance(request, Delivery) else "read", self._policy)
        self._limiter.wait(self._policy.deadline_seconds)
        return self._called(line, request.place, lambda: self._once(request, known))

    @staticmethod
    def _called(line: Line, place: str, once: Callable[[], T]) -> T:
        import httpx  # noqa: PLC0415

        try:
            return line.call(once, effect=Effect.READ)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{place}: {error.what}", hint=error.hint, context=error.context) from error
        except CircuitOpenError as error:
            raise ApiUnavailable(f"{place}: {error.what}", hint=error.hint) from error
        except (RetryError, AmbiguousError, httpx.HTTPError, httpx.InvalidURL) as error:
            if isinstance(error.__cause__, SourceError):  # what was wrong with the answer, each time
                raise error.__cause__ from error.__cause__.__cause__
            raise _unavailable(place, error) from error

    def _once(self, request: Request | Delivery, known: tuple[str, str] | None) -> Answer:
        headers = {**request.headers, **self._signed(request)}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        if known is not None:
            headers |= {
                name: text for name, text in zip(("If-None-Match", "If-Modified-Since"), known, strict=True) if text
            }
        with self._http.stream(
            request.method,
            request.url,
            headers=headers,
            content=request.content or None,
            timeout=seconds_left(STEP_SECONDS_MAX),
        ) as response:
            found = {name.lower(): text for name, text in response.headers.items()}
            self._limiter.learn(found)
            delivers = isinstance(request, Delivery)
            if response.status_code in AGAIN | request.again:
                raise _Refused(_Status(response.status_code, found))
            body = b"" if response.status_code >= 300 and not delivers else self._body(response, request.place)
        asked = request if isinstance(request, Request) else Request(request.url)
        return Answer(asked, response.status_code, found, body)

    def _signed(self, request: Request | Delivery) -> Mapping[str, str]:
        if self._credentials is None:
            return {}
        outgoing = Outgoing(request.method, request.url, request.content, SYSTEM_CLOCK.now())
        return self._credentials.headers(outgoing)

    def _body(self, response: httpx.Response, place: str) -> bytes:
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in ("", "identity", "gzip", "x-gzip"):
            raise AnswerUnreadable(f"{place} answers packed as {packed[:20]!r}", hint="only gzip was asked for")
        pieces, size = [], 0
        raw = response.iter_raw()
        for piece in raw if packed in ("", "identity") else _unpacked(raw, self.where.page_bytes_max, place):
            size += len(piece)
            if size > self.where.page_bytes_max:
                raise AnswerTooLarge(
                    f"{place} answers with more than {self.where.page_bytes_max:,} bytes",
                    hint="ask for smaller pages (size=), or allow larger ones (page_bytes_max=)",
                )
            pieces.append(piece)
        return _as_utf8(b"".join(pieces), response.headers.get("content-type", ""), place)

    def _post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, Any]:
        """For tokens. A call of its own, to a host of its own; what is sent and what is answered is told to nobody."""
        _, host, _ = place_of_url(url)

        def once() -> tuple[int, bytes]:
            with self._http.stream(
                "POST", url, headers={"Content-Type": FORM, **headers}, content=urlencode(form).encode()
            ) as response:
                if response.status_code in AGAIN:
                    raise _Refused(_Status(response.status_code, dict(response.headers)))
                return response.status_code, self._body(response, host)

        status, body = self._called(self._calls.to(host, "token", self._policy), host, once)
        if status >= 300:
            raise ApiUnauthorised(
                f"{host} gives no token: it answers {status}", hint="see to client_id, client_secret and scope"
            )
        try:
            found = Document(body).decoded
        except Unreadable:
            found = None
        if not isinstance(found, dict):
            raise ApiUnauthorised(f"{host} answers as no token server does", hint="see whether token_url= is right")
        return found


def endpoint_of(where: Where) -> Endpoint:
    """The place of an API, for those who list what is reached."""
    _, host, port = place_of_url(where.base)
    return Endpoint(host, port, why="API")


def _unavailable(place: str, error: Exception) -> FrameworkError:
    cause = error.__cause__ if isinstance(error, FrameworkError) else error
    if isinstance(cause, _Refused):
        status = cause.response.status_code
        is_spent = isinstance(error, RetryError) and "budget" in error.what
        why = "so often that it is not asked again for now" if is_spent else "however often it is asked"
        return ApiUnavailable(
            f"{place} answers {status}, {why}",
            hint="run again later: it goes on at this page",
            context={"status": status},
        )
    kind = type(cause or error).__name__
    return ApiUnavailable(
        f"{place} does not answer as a whole ({kind})", hint="see whether it is up, then run again: it goes on here"
    )


def _unpacked(pieces: Iterator[bytes], size_max: int, place: str) -> Iterator[bytes]:
    """Gzip, a bounded piece at a time, whatever a piece of it unpacks to."""
    unpacker, begun = zlib.decompressobj(GZIP), False
    piece_max = min(size_max + 1, 1 << 20)
    try:
        for packed in pieces:
            rest = packed
            while rest:
                begun = True
                yield unpacker.decompress(rest, piece_max)
                rest = unpacker.unconsumed_tail
                if unpacker.eof:  # gzip may have several members
                    rest = unpacker.unused_data
                    unpacker, begun = zlib.decompressobj(GZIP), False
    except zlib.error:
        raise AnswerUnreadable(f"{place} answers with gzip that is damaged", hint="run again") from None
    if begun:
        raise AnswerUnreadable(f"{place} answers with gzip that breaks off", hint="run again")


def _as_utf8(body: bytes, content_type: str, place: str) -> bytes:
    """JSON is UTF-8 (RFC 8259, 8.1); an API that says that its is not is believed."""
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip(' "')
    if charset and charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        try:
            body = body.decode(charset).encode()
        except (LookupError, UnicodeDecodeError):
            raise AnswerUnreadable(
                f"{place} answers in a charset that it is not in, or that nobody knows", hint="see to that server"
            ) from None
    return body.removeprefix(b"\xef\xbb\xbf")
