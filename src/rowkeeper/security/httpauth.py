"""How we say to an API who we are: a key in a header, basic, bearer, OAuth 2 client credentials, a signature.

Each is declared with references to secrets and never with secrets. They are followed at the first request, and again
when an API no longer takes what they led to: a token that was rotated in its vault is found without a restart.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import inspect
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import quote

from rowkeeper.configuration.reference import parse
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import ApiUnauthorised, DeclarationError
from rowkeeper.resilience.clock import SYSTEM_CLOCK, Clock
from rowkeeper.security.references import resolve
from rowkeeper.security.secret import Secret

EARLY_SECONDS = 30.0  # a token is renewed so long before it runs out, or at nine tenths of its time
LIFETIME_SECONDS = 3600.0  # of a token whose answer says nothing of it; a refusal renews it sooner

PostForm = Callable[[str, Mapping[str, str], Mapping[str, str]], Mapping[str, Any]]
"""Posts a form to a URL with headers, and gives the JSON object that is answered. Raises ApiUnauthorised if refused."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is about to be sent, for whoever signs it.

    Attributes:
        url: whole, with its query.
        at: the moment, aware.
    """

    method: str
    url: str
    body: bytes
    at: datetime


Sign = Callable[[bytes, Outgoing], Mapping[str, str]]
"""Gives the headers that sign a request with a key."""


class Credentials(Protocol):
    """An authentication at work."""

    def headers(self, request: Outgoing) -> Mapping[str, str]:
        """What to send with a request."""
        ...

    def renew(self) -> None:
        """What was sent last was not taken: whatever is remembered is to be had anew."""
        ...


class Authentication(Protocol):
    """A declaration of how we say who we are."""

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """The same at work."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """JSON values, with references, without secrets."""
        ...

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where else than to the API itself it connects."""
        ...


class _Plain:
    """What connects nowhere else."""

    def describe(self) -> Mapping[str, Any]:
        """Its kind and its arguments, which hold no secret."""
        return {"kind": type(self).__name__, **vars(self)}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """None."""
        return ()


@dataclasses.dataclass(frozen=True)
class HeaderKey(_Plain):
    """A secret in a header of its own: `HeaderKey("env:API_KEY", header="X-API-Key")`.

    Args:
        secret: a reference.
    """

    secret: str
    header: str = "X-API-Key"

    def __post_init__(self) -> None:
        parse(self.secret, "HeaderKey(secret=)")
        if not self.header.replace("-", "").replace("_", "").isalnum():
            raise DeclarationError(f"{self.header!r} is no name of a header", hint='header="X-API-Key"')

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """Implements Authentication."""
        return _Fixed(lambda: {self.header: resolve(self.secret).reveal()})


@dataclasses.dataclass(frozen=True)
class Basic(_Plain):
    """A user and a password (RFC 7617): `Basic("loader", password="env:API_PASSWORD")`.

    Args:
        user: no secret.
        password: a reference.
    """

    user: str
    password: str

    def __post_init__(self) -> None:
        parse(self.password, "Basic(password=)")
        if ":" in self.user:
            raise DeclarationError("Basic: a user has no colon in its name", hint="see what the API gave you")

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """Implements Authentication."""
        return _Fixed(lambda: {"Authorization": basic(self.user, resolve(self.password))})


@dataclasses.dataclass(frozen=True)
class Bearer(_Plain):
    """A token that somebody gave us: `Bearer("env:API_TOKEN")`.

    Args:
        token: a reference.
    """

    token: str

    def __post_init__(self) -> None:
        parse(self.token, "Bearer(token=)")

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """Implements Authentication."""
        return _Fixed(lambda: {"Authorization": f"Bearer {resolve(self.token).reveal()}"})


@dataclasses.dataclass(frozen=True)
class OAuth2:
    """OAuth 2 client credentials (RFC 6749, 4.4): a token that is asked for, and renewed before it runs out.

    Args:
        token_url: where it is asked for; an endpoint of its own.
        client_id: no secret.
        client_secret: a reference.
        scope: what is asked for, with blanks between.
        audience: for servers that want one.
        sent: whether id and secret go in the header (`basic`, which every server must take) or in the form (`form`).
    """

    token_url: str
    client_id: str
    client_secret: str
    scope: str = ""
    audience: str = ""
    sent: Literal["basic", "form"] = "basic"

    def __post_init__(self) -> None:
        parse(self.client_secret, "OAuth2(client_secret=)")
        place_of_url(self.token_url)
        if self.sent not in ("basic", "form"):
            raise DeclarationError(f"OAuth2(sent={self.sent!r})", hint='sent="basic" or sent="form"')

    def describe(self) -> Mapping[str, Any]:
        """Its kind and its arguments, which hold no secret."""
        return {"kind": "OAuth2", **dataclasses.asdict(self)}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The one where tokens are asked for."""
        _, host, port = place_of_url(self.token_url)
        return (Endpoint(host, port, why="tokens"),)

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """Implements Authentication."""
        return _Tokens(self, post_form, clock)


def hmac_sha256(key: bytes, request: Outgoing) -> Mapping[str, str]:
    """HMAC-SHA256 (hex) over time, method, URL and the SHA-256 of the body, a line each; the time is sent beside it."""
    at = str(int(request.at.timestamp()))
    text = "\n".join((at, request.method, request.url, hashlib.sha256(request.body).hexdigest()))
    return {"X-Timestamp": at, "X-Signature": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


@dataclasses.dataclass(frozen=True)
class Signed:
    """Every request signed with a key: `Signed("env:API_KEY", sign=my_signature)`.

    Args:
        secret: a reference to the key.
        sign: a function of the key (bytes) and the request (`Outgoing`) that gives the headers to send.
    """

    secret: str
    sign: Sign = hmac_sha256

    def __post_init__(self) -> None:
        parse(self.secret, "Signed(secret=)")
        if not callable(self.sign):
            raise DeclarationError("Signed: sign is no function", hint="sign=lambda key, request: {...}")

    def describe(self) -> Mapping[str, Any]:
        """The reference, and the text of the function."""
        try:
            text = inspect.getsource(self.sign)
        except (OSError, TypeError):
            text = getattr(self.sign, "__qualname__", "")
        return {"kind": "Signed", "secret": self.secret, "sign": hashlib.sha256(text.encode()).hexdigest()}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """None."""
        return ()

    def opened(self, post_form: PostForm, clock: Clock = SYSTEM_CLOCK) -> Credentials:
        """Implements Authentication."""
        return _Signing(self)


AUTHENTICATIONS = (HeaderKey, Basic, Bearer, OAuth2, Signed)


def authentication_of(description: Mapping[str, Any]) -> Authentication:
    """The inverse of `describe`; of a signature, the one that we make: a function of the user's own is not in it."""
    values = {name: value for name, value in description.items() if name != "kind"}
    kind: Any = next(each for each in AUTHENTICATIONS if each.__name__ == description["kind"])
    if kind is Signed:
        return Signed(values["secret"])
    made: Authentication = kind(**values)
    return made


def basic(user: str, password: Secret) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()


class _Fixed:
    """Headers that stay the same until they are not taken any more."""

    def __init__(self, make: Callable[[], Mapping[str, str]]) -> None:
        self._make = make
        self._made: Callable[[], Mapping[str, str]] | None = None  # no attribute holds the text itself

    def headers(self, request: Outgoing) -> Mapping[str, str]:
        if self._made is None:
            made = self._make()
            self._made = lambda: made
        return self._made()

    def renew(self) -> None:
        self._made = None


class _Signing:
    def __init__(self, declared: Signed) -> None:
        self._declared = declared
        self._secret: Secret | None = None

    def headers(self, request: Outgoing) -> Mapping[str, str]:
        if self._secret is None:
            self._secret = resolve(self._declared.secret)
        return self._declared.sign(self._secret.reveal().encode(), request)

    def renew(self) -> None:
        self._secret = None


class _Tokens:
    """A token and how long it lasts."""

    def __init__(self, declared: OAuth2, post_form: PostForm, clock: Clock) -> None:
        self._declared = declared
        self._post_form = post_form
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._good_until = 0.0

    def headers(self, request: Outgoing) -> Mapping[str, str]:
        with self._lock:
            if self._token is None or self._clock.monotonic() >= self._good_until:
                self._ask()
            assert self._token is not None
            return {"Authorization": f"Bearer {self._token.reveal()}"}

    def renew(self) -> None:
        with self._lock:
            self._token = None

    def _ask(self) -> None:
        declared, asked_at = self._declared, self._clock.monotonic()
        form = {"grant_type": "client_credentials", "scope": declared.scope, "audience": declared.audience}
        headers: dict[str, str] = {}
        if declared.sent == "basic":  # both are form-encoded first (RFC 6749, 2.3.1)
            secret = Secret(quote(resolve(declared.client_secret).reveal(), safe=""))
            headers["Authorization"] = basic(quote(declared.client_id, safe=""), secret)
        else:
            form |= {"client_id": declared.client_id, "client_secret": resolve(declared.client_secret).reveal()}
        answer = self._post_form(declared.token_url, {name: text for name, text in form.items() if text}, headers)
        token, seconds = answer.get("access_token"), answer.get("expires_in", LIFETIME_SECONDS)
        if not isinstance(token, str) or not token or str(answer.get("token_type", "bearer")).lower() != "bearer":
            _, host, _ = place_of_url(declared.token_url)
            raise ApiUnauthorised(f"{host} answers without a bearer token", hint="see whether token_url= is right")
        lasts = _lifetime(seconds)
        self._token, self._good_until = Secret(token), asked_at + max(lasts - EARLY_SECONDS, 0.9 * lasts)


def _lifetime(stated: Any) -> float:
    """Seconds; some servers write the number as a text."""
    try:
        seconds = float(stated)
    except (TypeError, ValueError):
        return LIFETIME_SECONDS
    return seconds if seconds > 0 else LIFETIME_SECONDS
