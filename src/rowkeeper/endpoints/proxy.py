"""Proxy: a server by whose way another one is reached."""

from __future__ import annotations

import dataclasses
from urllib.parse import unquote

from rowkeeper.configuration.reference import parse
from rowkeeper.endpoints.url import place_of_url
from rowkeeper.errors import DeclarationError

PORTS = {"socks5": 1080, "socks5h": 1080, "http": 8080}


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, as it is declared.

    Args:
        url: `socks5://` (names are looked up here, and the proxy is given the address that was checked), `socks5h://`
            (the proxy looks them up) or `http://` (CONNECT, the proxy looks them up), with a user where it asks for
            one, never with a password.
        password: a reference to the user's password, such as `env:PROXY_PASSWORD`.

    Raises:
        DeclarationError: it is no such URL, or holds a password.
        SecretLiteral: the password is no reference.
    """

    url: str
    password: str | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        scheme, user, rest = self._parts()
        if scheme not in PORTS:
            raise DeclarationError(
                "a proxy's URL is of no kind that is known", hint="socks5://, socks5h:// or http://, host and port"
            )
        place_of_url(f"{scheme}://{rest}", port=PORTS[scheme])
        if ":" in user:
            raise DeclarationError(
                "a proxy's URL holds a password",
                hint="refer to it beside the URL: ROWKEEPER_PROXY_PASSWORD, or Proxy(..., password='env:NAME')",
            )
        if self.password is not None:
            parse(self.password, "the proxy's password")
        if self.password is not None and not user:
            raise DeclarationError("a proxy has a password and no user", hint=f"{scheme}://USER@{rest}")

    @property
    def scheme(self) -> str:
        """`socks5`, `socks5h` or `http`."""
        return self._parts()[0]

    @property
    def user(self) -> str | None:
        """Who asks it; None where it asks nobody."""
        return unquote(self._parts()[1]) or None

    @property
    def looks_up(self) -> bool:
        """Whether the proxy looks names up, and not this machine."""
        return self.scheme != "socks5"

    @property
    def place(self) -> tuple[str, int]:
        """Its own host and port."""
        scheme, _, rest = self._parts()
        _, host, port = place_of_url(f"{scheme}://{rest}", port=PORTS[scheme])
        return host, port

    def _parts(self) -> tuple[str, str, str]:
        scheme, _, rest = self.url.partition("://")
        user, _, place = rest.rpartition("@")
        return scheme.lower(), user, place

    def __str__(self) -> str:
        host, port = self.place
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
