"""What every request passes before it is looked at, and what every answer has.

In this order: the host is one of ours (a page of another site whose name was made to lead here names its own: DNS
rebinding); a page of another origin does not ask; the address sends no more than it may; the server is not about to
stop; there is room; the body is no larger than it may be. All in the event loop, before anything of the body is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from rowkeeper.errors import FrameworkError, RateExceeded, RequestRefused, ServerBusy
from rowkeeper.web.problems import MEDIA_TYPE, encoded, headers_of, problem, status_of
from rowkeeper.web.rates import Rates

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

ALIVE = "/health/live"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HSTS = (b"strict-transport-security", b"max-age=31536000")
# The console brings its own scripts and styles, from here alone; nothing is inline, nothing is framed.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
NO_STORE = (b"cache-control", b"no-store")


class Front:
    """Wraps the application.

    Args:
        hosts: names and addresses by which the server is asked, without ports.
        secure: it speaks TLS.
        requests_max: under way at a time.
        body_bytes_max: of one request.
        rates: of addresses.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Iterable[str],
        secure: bool,
        requests_max: int,
        body_bytes_max: int,
        rates: Rates,
    ) -> None:
        self._app = app
        self._hosts = frozenset(each.lower().strip("[]") for each in hosts)
        self._own = (HSTS, *HEADERS) if secure else HEADERS
        self._scheme = "https" if secure else "http"
        self._requests_max = requests_max
        self._body_bytes_max = body_bytes_max
        self._rates = rates
        self.under_way = 0
        self.stopping = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Implements an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._answering(send)
        try:
            self._admit(scope)
            body = self._bounded(scope, receive)
        except FrameworkError as error:
            await refuse(error, answer, close=True)
            return
        self.under_way += 1
        try:
            await self._app(scope, body, answer)
        finally:
            self.under_way -= 1

    def _admit(self, scope: MutableMapping[str, Any]) -> None:
        """Raises RequestRefused, RateExceeded or ServerBusy."""
        headers = scope["headers"]
        host = self._host(headers)
        self._refuse_foreign(scope["method"], headers, host)
        address = scope["client"][0] if scope.get("client") else ""
        if wait := self._rates.wait(address):
            raise RateExceeded(
                "this address sends more requests than it may",
                hint=f"come again in {wait:.1f} s",
                context={"retry_after": wait},
            )
        if scope["path"] == ALIVE:
            return
        if self.stopping:
            raise ServerBusy("the server is about to stop", hint="come again when it is up", context={"retry_after": 5})
        if self.under_way >= self._requests_max:
            raise ServerBusy(
                f"there are {self.under_way} requests under way, and no room for more",
                hint="come again in a second",
                context={"retry_after": 1},
            )

    def _host(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The one host that the request names. Raises RequestRefused if it is none of ours."""
        given = [value for name, value in headers if name == b"host"]
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        if host_in(text) not in self._hosts:
            raise RequestRefused(
                "the request names no host of this server" if len(given) < 2 else "the request names two hosts",
                hint="ask it by a name that it knows: ROWKEEPER_SERVER_HOSTS lists more",
                context={"http_status": HTTPStatus.MISDIRECTED_REQUEST},
            )
        return text

    def _refuse_foreign(self, method: str, headers: Iterable[tuple[bytes, bytes]], host: str) -> None:
        """Pages of other sites ask for nothing here, whatever cookies a browser would send along.

        Raises RequestRefused.
        """
        for name, value in headers:
            if name == b"origin":
                foreign = value.decode("latin-1").lower() != f"{self._scheme}://{host.lower()}"
            elif name == b"sec-fetch-site":
                foreign = value not in (b"same-origin", b"none") and method not in SAFE
            else:
                continue
            if foreign:
                raise RequestRefused(
                    "a page of another origin asks",
                    hint="ask from the console, or from a program",
                    context={"http_status": HTTPStatus.FORBIDDEN},
                )

    def _bounded(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        """The body, as long as it may be. Raises RequestRefused if it says itself that it is longer."""
        most = self._body_bytes_max
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > most:  # digits: llhttp has seen to that
                raise _too_large(most)
        had = 0

        async def bounded() -> Message:
            nonlocal had
            message = await receive()
            if message["type"] == "http.request":
                had += len(message.get("body", b""))
                if had > most:
                    raise _too_large(most)
            return message

        return bounded

    def _answering(self, send: Send) -> Send:
        """Adds the headers that every answer has."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                had = {name for name, _ in headers}
                headers += [each for each in self._own if each[0] not in had]
                if b"cache-control" not in had:
                    headers.append(NO_STORE)
                message["headers"] = headers
            await send(message)

        return answer


def host_in(text: str) -> str:
    """The host of a `Host` header, without its port: lower case, without brackets."""
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname or "") if not parts.path and not parts.query and "@" not in text else ""
    except ValueError:
        return ""


async def refuse(error: FrameworkError, send: Send, *, close: bool = False) -> None:
    """Answers with an error; `close`: and ends the connection, whose body nobody reads."""
    body = encoded(problem(error))
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **headers_of(error)}
    if close:
        headers["connection"] = "close"
    encoded_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(status_of(error)), "headers": encoded_headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _too_large(most: int) -> RequestRefused:
    return RequestRefused(
        f"the body of the request is larger than {most:,} bytes",
        hint="send less at a time, or have ROWKEEPER_SERVER_BODY_BYTES_MAX raised",
        context={"http_status": HTTPStatus.REQUEST_ENTITY_TOO_LARGE},
    )
