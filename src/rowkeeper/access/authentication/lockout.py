"""Whose failures are counted, and how long nothing is let through after so many of them.

Each attempt counts against its address, and against its account. An account is counted at an address from which it has
signed in before on its own, apart from all others: strangers who fail at it do not lock out whoever belongs there. No
delay is longer than a quarter of an hour, an attempt during one neither counts nor lengthens it, and a day without
failures forgets all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from datetime import timedelta

from rowkeeper.ledger.signing_in import Subject

ACCOUNT_FREE, ADDRESS_FREE = 5, 20  # failures in a row before there is a delay
FIRST, LONGEST = timedelta(seconds=1), timedelta(minutes=15)
DOUBLINGS = 10  # to beyond the longest


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """Against what an attempt counts.

    Attributes:
        account: the account, at this address or elsewhere.
        address: the address.
        known_as: the account at this address, by which it is known again.
    """

    account: Subject
    address: Subject
    known_as: str


class Lockout:
    """Names accounts and addresses by keyed hashes: what somebody typed as a name may have been a password.

    Args:
        key: gives 32 secret bytes, when they are first needed.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def known_as(self, name: str, address: str) -> str:
        """An account at an address."""
        return self._named("account at address", name, place_of(address))

    def counted(self, name: str, address: str, *, known: bool) -> Counted:
        """Against what an attempt counts.

        Args:
            known: whether this account has signed in from there before.
        """
        pair = self.known_as(name, address)
        account = pair if known else self._named("account", name)
        return Counted(
            Subject(account, growing(ACCOUNT_FREE)),
            Subject(self._named("address", place_of(address)), growing(ADDRESS_FREE)),
            pair,
        )

    def _named(self, *words: str) -> str:
        text = "\0".join(words).encode(errors="surrogatepass")
        return hmac.new(self._key(), text, hashlib.sha256).hexdigest()


def growing(free: int) -> Callable[[int], timedelta]:
    """A delay by the number of failures in a row: none at first, then one second, and twice as long each time."""

    def delay(failures: int) -> timedelta:
        if failures < free:
            return timedelta()
        doublings = min(failures - free, DOUBLINGS)
        return min(LONGEST, FIRST * (1 << doublings))

    return delay


def place_of(address: str) -> str:
    """An address as it is counted: of IPv6 its network of 64 bits, as one place has all of that."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
