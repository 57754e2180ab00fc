"""A small and strict identity provider: a real server on loopback, which a test may have say wrong things.

It does what OpenID Connect asks of one: it takes registered clients and redirect URLs alone, asks for PKCE with S256,
gives a code out for one use, by whoever has verifier and secret, and signs with a key that it publishes.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "rowkeeper", "a secret: of the / client"
REDIRECT = "https://rowkeeper.example:7443/api/v1/oidc/callback"
ANN = {"sub": "8f1c", "preferred_username": "ann", "email": "ann@example.org", "email_verified": True}


@dataclasses.dataclass
class IdentityProvider:
    """What it knows, and how it is told to lie.

    Attributes:
        person: who signs in at it, as claims.
        header, claims: what it puts into its next tokens instead.
        sign: makes the token of header and claims instead.
        document: what it says of itself instead.
        asked: how often for what.
    """

    now: Callable[[], datetime]
    person: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(ANN))
    header: dict[str, Any] = dataclasses.field(default_factory=dict)
    claims: dict[str, Any] = dataclasses.field(default_factory=dict)
    sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    document: dict[str, Any] = dataclasses.field(default_factory=dict)
    asked: dict[str, int] = dataclasses.field(default_factory=dict)
    algorithm: str = "RS256"

    def __post_init__(self) -> None:
        self._codes: dict[str, dict[str, str]] = {}
        self.rotate()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                provider.answer(self, {name: values[0] for name, values in parse_qs(body).items()})

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def rotate(self) -> None:
        """Another key, in the place of the former one."""
        name = {"kid": secrets.token_hex(4)}
        self.key = ECKey.generate_key("P-256", name) if self.algorithm == "ES256" else RSAKey.generate_key(2048, name)

    # ------------------------------------------------------------------------------------- its pages

    def answer(self, request: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        url = urlsplit(request.path)
        self.asked[url.path] = self.asked.get(url.path, 0) + 1
        match url.path:
            case "/.well-known/openid-configuration":
                self._send(request, 200, {**self._described(), **self.document})
            case "/keys":
                self._send(request, 200, {"keys": [self.key.as_dict(private=False)]})
            case "/authorize":
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                self._send(request, 302, {}, self.authorize(query))
            case "/token":
                self._send(request, *self._exchange(form, request.headers.get("authorization", "")))
            case _:
                self._send(request, 404, {})

    def authorize(self, query: dict[str, str]) -> str:
        """Lets the person in, and says where the browser goes on."""
        assert query["client_id"] == CLIENT
        assert query["redirect_uri"] == REDIRECT
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert len(query["code_challenge"]) == 43
        assert query["state"]
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return f"{REDIRECT}?code={code}&state={query['state']}&iss={self.issuer}"

    def _exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)  # for one use, whatever comes of it
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        if [unquote(each) for each in pair] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        verifier = form.get("code_verifier", "")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if asked is None or form.get("grant_type") != "authorization_code" or form.get("redirect_uri") != REDIRECT:
            return 400, {"error": "invalid_grant"}
        if challenge != asked["code_challenge"] or len(verifier) < 43:
            return 400, {"error": "invalid_grant"}
        return 200, {"token_type": "Bearer", "access_token": "x", "id_token": self._token(asked["nonce"])}

    def _token(self, nonce: str) -> str:
        now = int(self.now().timestamp())
        own = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {name: value for name, value in {**own, **self.person, **self.claims}.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid, **self.header}
        if self.sign is not None:
            return self.sign(header, claims)
        return jwt.encode({k: v for k, v in header.items() if v is not None}, claims, self.key, [self.algorithm])

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "code_challenge_methods_supported": ["S256"],
        }

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, document: dict[str, Any], location: str = "") -> None:
        body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(body)))
        if location:
            request.send_header("location", location)
        request.end_headers()
        request.wfile.write(body)


def encoded(document: dict[str, Any]) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def signed_by(key: Any, algorithm: str) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Makes tokens with another key or algorithm than the provider's."""
    return lambda header, claims: jws.serialize_compact(
        {**header, "alg": algorithm}, json.dumps(claims).encode(), key, [algorithm]
    )
