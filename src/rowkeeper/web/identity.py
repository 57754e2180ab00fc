"""What a request shows of who asks."""

from __future__ import annotations

import re

from starlette.requests import Request

from rowkeeper.access.authentication import Credentials
from rowkeeper.errors import RequestRefused
from rowkeeper.web.wire import TLS_EXTENSION

SESSION_COOKIE = "__Host-rowkeeper"  # a browser takes it by TLS alone, for this host alone
CSRF_HEADER = "x-csrf-token"
PURPOSE_HEADER = "rowkeeper-purpose"
PURPOSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def credentials_of(request: Request) -> Credentials:
    """What a request shows."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    tls = request.scope.get("extensions", {}).get(TLS_EXTENSION, {})
    return Credentials(
        bearer=text.strip() if scheme.lower() == "bearer" else None,
        session=request.cookies.get(SESSION_COOKIE),
        client_certificate=tls.get("certificate"),
        address=address_of(request),
    )


def address_of(request: Request) -> str:
    """Where it came from. What a header says of that is not asked: anybody could write it."""
    return request.client.host if request.client else ""


def purpose_of(request: Request) -> str | None:
    """What for, in one word. Raises RequestRefused if it is none."""
    given = request.headers.get(PURPOSE_HEADER)
    if given is not None and not PURPOSE.fullmatch(given):
        raise RequestRefused(
            "the purpose is not one word", hint=f"{PURPOSE_HEADER}: letters, digits, dots, hyphens, 64 at most"
        )
    return given
