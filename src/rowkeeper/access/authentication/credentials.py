"""What a request shows of who asks, and what is handed to somebody who has signed in."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
from datetime import datetime

from rowkeeper.ledger.signing_in import TokenRecord

SESSION_BYTES = 32
CSRF = b"rowkeeper csrf"


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brings.

    The first of these that is there counts, and is not made up for by the next: a token, a session, a certificate.

    Attributes:
        bearer: of `Authorization: Bearer`, an API token.
        session: of the cookie, a session's secret.
        client_certificate: DER, of the TLS connection, whose other end has proved that it holds the key.
        address: where the request came from, as text.
    """

    bearer: str | None = dataclasses.field(default=None, repr=False)
    session: str | None = dataclasses.field(default=None, repr=False)
    client_certificate: bytes | None = dataclasses.field(default=None, repr=False)
    address: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class NewSession:
    """A session that has just begun; its secret is told this once.

    Attributes:
        id: what lists and the audit trail call it.
        user: the account.
        secret: for the cookie.
        csrf: what requests that change something have to bring besides the cookie, in a header.
        expires_at: when it ends at the latest.
    """

    id: str
    user: str
    secret: str = dataclasses.field(repr=False)
    csrf: str = dataclasses.field(repr=False)
    expires_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class NewToken:
    """An API token that has just been made; its text is told this once."""

    text: str = dataclasses.field(repr=False)
    record: TokenRecord


def new_secret() -> str:
    """A text of 256 random bits, for cookies and URLs."""
    return secrets.token_urlsafe(SESSION_BYTES)


def new_id(kind: str) -> str:
    """What something is called that has a secret: `s_3f2a...` for a session, `t_...` for a token."""
    return f"{kind}_{secrets.token_hex(8)}"


def hashed(secret: str) -> str:
    """What the ledger holds in the place of a secret of 80 random bits or more: such need no slow hash."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def csrf_of(session: str) -> str:
    """The token that goes with a session's secret, from which the secret cannot be told."""
    return hmac.new(session.encode(errors="surrogatepass"), CSRF, hashlib.sha256).hexdigest()
