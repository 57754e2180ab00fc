"""An identity provider (OpenID Connect): what it says of itself, codes turned into ID tokens, and those checked.

What is checked of an ID token, in this order (OpenID Connect Core, 3.1.3.7):

1. it is signed by a key that the provider publishes, with an algorithm of ours: no `none`, nothing symmetric;
2. it is of this issuer;
3. it is for this client, and for it alone where it names several;
4. it has not run out, and was not made in the future or long ago;
5. it has the nonce of the attempt.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from rowkeeper.errors import ProviderRefused, ProviderUnusable, SecurityError
from rowkeeper.protocols import WayOut
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS, is_local

if TYPE_CHECKING:
    import httpx

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
KINDS = frozenset({"RSA", "EC", "OKP"})
DOCUMENT_BYTES_MAX = 1_000_000
KEPT_SECONDS = 3600.0  # what the provider says of itself
ASKED_AGAIN_SECONDS = 5.0  # keys, after one that is unknown
SECONDS_MAX = 10.0
LEEWAY_SECONDS = 30  # clocks differ
AGE_SECONDS_MAX = 600
NAME = "the identity provider"
HINT = "see to the settings oidc_*, and to the provider"


@dataclasses.dataclass(frozen=True, slots=True)
class ProviderRules:
    """What is set about the provider.

    Attributes:
        issuer: its URL, as it stands in its tokens.
        client: by what it knows us.
        secret: a reference to what it knows us by besides; None of a public client.
        redirect: the URL that it sends browsers back to.
        tls: whose certificates are trusted.
    """

    issuer: str
    client: str
    secret: str | None
    redirect: str
    tls: TLS | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """What the provider says of itself."""

    authorize: str
    token: str
    keys: str
    by_post: bool


class Provider:
    """Asks the provider. For any number of threads.

    Args:
        way_out: by which it is reached; the issuer's host is one of the endpoints that the settings declare.
        now: UTC.
        steady: seconds that never go back.
    """

    def __init__(
        self,
        rules: ProviderRules,
        way_out: WayOut,
        now: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._way_out = way_out
        self._now = now
        self._steady = steady
        self._turn = threading.Lock()
        self._said: _Said | None = None
        self._keys: dict[str | None, Any] = {}
        self._asked_at = self._keys_at = float("-inf")

    def authorize_url(self, state: str, nonce: str, challenge: str) -> str:
        """Where a browser is sent. Raises ProviderUnusable."""
        words = {
            "response_type": "code",
            "client_id": self.rules.client,
            "redirect_uri": self.rules.redirect,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = self._document().authorize
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in words.items())
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def claims(self, code: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """What the provider says of whoever brought a code.

        Raises ProviderRefused if code or token are not accepted, ProviderUnusable if it cannot be asked.
        """
        said = self._document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.rules.redirect,
            "code_verifier": verifier,
        }
        headers = {}
        secret = None if self.rules.secret is None else resolve(self.rules.secret).reveal()
        if secret is None or said.by_post:
            form["client_id"] = self.rules.client
            form |= {} if secret is None else {"client_secret": secret}
        else:
            pair = f"{quote(self.rules.client, safe='')}:{quote(secret, safe='')}".encode()
            headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        answer = self._ask("POST", said.token, form, headers)
        if answer is None:
            raise _refused("code")
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderUnusable("the identity provider sent no ID token", hint=HINT)
        return self._verified(token, nonce)

    # ------------------------------------------------------------------------------------- the token

    def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        jwt: Any = import_module("joserfc.jwt")
        jose: Any = import_module("joserfc.errors")
        try:
            claims: dict[str, Any] = jwt.decode(token, self._key(token), algorithms=list(ALGORITHMS)).claims
            wanted = {"essential": True}
            checks = jwt.JWTClaimsRegistry(
                now=int(self._now().timestamp()),
                leeway=LEEWAY_SECONDS,
                iss={**wanted, "value": self.rules.issuer},
                aud={**wanted, "value": self.rules.client},
                sub=wanted,
                exp=wanted,
                iat=wanted,
                nonce=wanted,
            )
            checks.validate(claims)
        except (jose.JoseError, ValueError, TypeError, binascii.Error) as error:
            raise _refused(type(error).__name__) from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else self.rules.client) != self.rules.client:
            raise _refused("azp")
        if claims["iat"] < self._now().timestamp() - AGE_SECONDS_MAX:
            raise _refused("iat")
        if not hmac.compare_digest(str(claims["nonce"]).encode(errors="replace"), nonce.encode()):
            raise _refused("nonce")
        return claims

    def _key(self, token: str) -> Any:
        """The published key that a token names; asked for anew if it is unknown, as keys are changed now and then."""
        header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
        name = header.get("kid") if isinstance(header, dict) else None
        if not (name is None or isinstance(name, str)):
            raise _refused("kid")
        for age in (KEPT_SECONDS, ASKED_AGAIN_SECONDS):
            keys = self._published(age)
            if name is None and len(keys) == 1:
                return next(iter(keys.values()))
            if name is not None and name in keys:
                return keys[name]
        raise _refused("key")

    def _published(self, age_seconds_max: float) -> dict[str | None, Any]:
        with self._turn:
            if self._steady() - self._keys_at >= age_seconds_max:
                self._keys = self._fetched_keys()
                self._keys_at = self._steady()
            return self._keys

    def _fetched_keys(self) -> dict[str | None, Any]:
        jwk: Any = import_module("joserfc.jwk")
        jose: Any = import_module("joserfc.errors")
        answer = self._ask("GET", self._document_unlocked().keys)
        listed = None if answer is None else answer.get("keys")
        if not isinstance(listed, list):
            raise ProviderUnusable("the identity provider does not publish its keys", hint=HINT)
        found: dict[str | None, Any] = {}
        for each in listed:
            if not isinstance(each, dict) or each.get("kty") not in KINDS or each.get("use", "sig") != "sig":
                continue
            try:
                found[each.get("kid")] = jwk.import_key(each)
            except (jose.JoseError, ValueError, TypeError):
                continue  # one that we do not know does not keep the others from being used
        return found

    # ---------------------------------------------------------------------------------- asking it

    def _document(self) -> _Said:
        with self._turn:
            return self._document_unlocked()

    def _document_unlocked(self) -> _Said:
        if self._said is None or self._steady() - self._asked_at >= KEPT_SECONDS:
            self._said = self._discovered()
            self._asked_at = self._steady()
        return self._said

    def _discovered(self) -> _Said:
        answer = self._ask("GET", f"{self.rules.issuer.rstrip('/')}/.well-known/openid-configuration")
        if answer is None or answer.get("issuer") != self.rules.issuer:
            raise ProviderUnusable("the identity provider says that it is another than oidc_issuer", hint=HINT)
        methods = answer.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "S256" not in (answer.get("code_challenge_methods_supported") or ["S256"]):
            raise ProviderUnusable("the identity provider does not know PKCE with S256", hint=HINT)
        return _Said(
            _url(answer, "authorization_endpoint"),
            _url(answer, "token_endpoint"),
            _url(answer, "jwks_uri"),
            "client_secret_basic" not in methods,
        )

    def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The answer, a JSON object; None if the provider refused (a status of 400 to 499)."""
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

        errors: Any = import_module("httpx")
        plain = urlsplit(url).scheme == "http" and is_local(urlsplit(url).hostname or "")
        try:
            with http_client(
                self._way_out, name=NAME, tls=self.rules.tls, plaintext=plain, seconds_max=SECONDS_MAX
            ) as client:
                headers = {"accept": "application/json", "accept-encoding": "identity", **(headers or {})}
                with client.stream(method, url, data=form, headers=headers, follow_redirects=False) as response:
                    content = _content(response)
                    status = response.status_code
        except (errors.HTTPError, errors.StreamError, errors.InvalidURL) as error:
            raise ProviderUnusable(f"{NAME} cannot be asked: {type(error).__name__}", hint=HINT) from error
        except SecurityError as error:
            if isinstance(error, ProviderUnusable):
                raise
            raise ProviderUnusable(f"{NAME} cannot be asked: {error.what}", hint=error.hint) from error
        if 400 <= status < 500:
            return None
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise ProviderUnusable(f"{NAME} answered with what is no JSON", hint=HINT) from error
        if status != 200 or not isinstance(answer, dict):
            raise ProviderUnusable(f"{NAME} answered with status {status}", hint=HINT)
        return answer


def _content(response: httpx.Response) -> bytes:
    content = b""
    for piece in response.iter_bytes():
        content += piece
        if len(content) > DOCUMENT_BYTES_MAX:
            raise ProviderUnusable(f"{NAME} answers without end", hint=HINT)
    return content


def _url(answer: Mapping[str, Any], name: str) -> str:
    """A URL of the provider's: by TLS, unless it is on this machine."""
    found = answer.get(name)
    parts = urlsplit(found) if isinstance(found, str) else None
    if parts is None or not parts.hostname or parts.username is not None or parts.fragment:
        raise ProviderUnusable(f"the identity provider does not say its {name}", hint=HINT)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local(parts.hostname)):
        raise ProviderUnusable(f"the {name} of the identity provider is not by TLS", hint=HINT)
    return str(found)


def _refused(why: str) -> ProviderRefused:
    """The one sentence; which check it was is for the log and the audit trail."""
    return ProviderRefused(
        "what the identity provider sent is not accepted", hint="sign in again", context={"why": why}
    )
