"""URLs, taken apart so that no program that gets one reads another host in it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from rowkeeper.endpoints.host import canonical_host
from rowkeeper.errors import DeclarationError

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What one program ends a host at and another does not. Python's own parser drops tabs and line ends without a word.
STRANGE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")


def place_of_url(url: str, *, port: int | None = None) -> tuple[str, str, int]:
    """Scheme, canonical host and port of a URL.

    Args:
        port: of a URL that has none, for a scheme that has no usual one.

    Raises DeclarationError if it holds anything that some programs read otherwise, or a user and password; no part of
    it is told but the host.
    """
    if STRANGE.search(url):
        raise DeclarationError(
            "a URL holds a blank, a backslash, a control character or a letter that is not ASCII",
            hint="escape it (%20), or write the host in ASCII",
        )
    try:
        parts = urlsplit(url)
        given = parts.port
    except ValueError:
        raise DeclarationError("a URL has no valid host and port", hint="such as https://api.example.com/v1") from None
    if "@" in parts.netloc:
        raise DeclarationError(
            f"the URL of {_host_of(parts)} holds a user or a password",
            hint="give them beside the URL, secrets by reference (env:NAME, file:PATH)",
        )
    if not parts.scheme or not parts.hostname:
        raise DeclarationError("a URL has no scheme or no host", hint="such as https://api.example.com/v1")
    host = canonical_host(_host_of(parts))
    found = given if given is not None else port or PORTS.get(parts.scheme)
    if not found:
        raise DeclarationError(f"the URL of {host} has no port", hint=f"such as {parts.scheme}://{host}:8443")
    return parts.scheme, host, found


def _host_of(parts: SplitResult) -> str:
    """As it is written: `hostname` lowers, and takes brackets away."""
    place = parts.netloc.rpartition("@")[2]
    return place if place.endswith("]") else place.rpartition(":")[0] or place
