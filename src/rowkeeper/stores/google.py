"""Access tokens for a service account of Google's: a signed assertion is changed for one (RFC 7523)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from rowkeeper.errors import KeyUnusable, SecretUnavailable, StoreUnauthorised
from rowkeeper.protocols import Site
from rowkeeper.resilience.clock import SYSTEM_CLOCK
from rowkeeper.security.references import resolve
from rowkeeper.stores.access import Token
from rowkeeper.stores.declaring import GCS, GOOGLE_TOKENS

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_SECONDS = 3600
EARLY_SECONDS = 120


def token_of(access: GCS, site: Site) -> Token:
    """What gives tokens for the service account of a declaration, asked by the way out of a site.

    It raises SecretUnavailable or KeyUnusable for what is no key of a service account, StoreUnauthorised where no token
    is given for it.
    """
    assert access.service_account is not None
    reference = access.service_account

    def given() -> tuple[str, float]:
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra

        assert site.way_out is not None
        form = {"grant_type": GRANT, "assertion": assertion(_key(reference), int(SYSTEM_CLOCK.now().timestamp()))}
        way_out = site.way_out.declaring(access.endpoints(""))
        with http_client(way_out, name="Google's token server", tls=access.tls or site.default_tls) as client:
            answer = client.post(GOOGLE_TOKENS, data=form)
        if answer.status_code != 200:
            raise StoreUnauthorised(
                f"Google gives no token for the service account: it answers {answer.status_code}",
                hint="see whether its key was revoked, and whether the clock is right",
            )
        found = answer.json()
        return str(found["access_token"]), max(1.0, float(found.get("expires_in", LIFETIME_SECONDS)) - EARLY_SECONDS)

    return given


def assertion(key: Mapping[str, Any], now: int) -> str:
    """The signed assertion that says who we are (RFC 7523, 3), good for an hour.

    Args:
        key: the JSON of a service account's key.
        now: seconds since 1970.

    Raises KeyUnusable.
    """
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

    head = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    claims = {
        "iss": key["client_email"],
        "scope": SCOPE,
        "aud": GOOGLE_TOKENS,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    signed = ".".join(_base64(json.dumps(each).encode()) for each in (head, claims))
    try:
        private = serialization.load_pem_private_key(str(key["private_key"]).encode(), None)
    except ValueError as error:
        raise KeyUnusable("the service account's private key cannot be read", hint="fetch its JSON anew") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise KeyUnusable("the service account's private key is no RSA key", hint="fetch its JSON anew")
    return f"{signed}.{_base64(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _key(reference: str) -> Mapping[str, Any]:
    try:
        found = json.loads(resolve(reference).reveal())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"client_email", "private_key"} <= found.keys():
        raise SecretUnavailable(
            f"{reference} is no key of a service account", hint="the JSON that Google gives for it, whole"
        )
    return found


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
