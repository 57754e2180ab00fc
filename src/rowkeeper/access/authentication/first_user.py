"""The first user of a server: by a token that its own console shows, from its own machine, once.

Whoever reaches a new server before its owner does must not become its owner (setup takeover). So there is no default
password and no form that is open to the first who comes: the token is made at the start, is good for an hour and for
one use, and is taken from loopback alone.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta

from rowkeeper.access.authentication.credentials import hashed, new_secret
from rowkeeper.access.authentication.passwords import Passwords, refuse_weak
from rowkeeper.errors import FirstUserRefused
from rowkeeper.ledger.signing_in import SigningIn

ROLE = "admin"
GOOD_FOR = timedelta(hours=1)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", re.ASCII)


class FirstUser:
    """Offers the first user's place, and gives it away once."""

    def __init__(self, books: SigningIn, passwords: Passwords) -> None:
        self._books = books
        self._passwords = passwords

    def offer(self) -> str | None:
        """A token for the console of a server that starts; None if there are people already.

        A token of before is good no more.
        """
        token = new_secret()
        return token if self._books.first_user.offer(hashed(token), GOOD_FOR) else None

    def claim(self, token: str, name: str, password: str, address: str) -> None:
        """Makes the first user, an admin, who then signs in.

        Args:
            address: where the request came from.

        Raises FirstUserRefused; PasswordUnfit, after which the token is still good.
        """
        if not is_loopback(address):
            self._books.first_user.refuse(address)
            raise FirstUserRefused(
                "the first user is made from the server's own machine alone", hint="go there, and use 127.0.0.1"
            )
        if not NAME.fullmatch(name):
            raise FirstUserRefused(
                "the name is none for an account", hint="1 to 100 letters of a-z, A-Z, 0-9, and . _ @ - between them"
            )
        refuse_weak(password, name)
        if not self._books.first_user.claim(hashed(token), name, self._passwords.hash(password), ROLE, address):
            raise FirstUserRefused(
                "there is a first user already, or the token is not the one that was printed last",
                hint="start the server anew for another token, or: rowkeeper users add NAME",
            )


def is_loopback(address: str) -> bool:
    """Whether a request came from this machine."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback
