"""Whether a place may be reached without TLS: on this machine; elsewhere only if that place is declared so by name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from rowkeeper.errors import PlaintextRefused
from rowkeeper.logs import logger

SECURE = {"https", "wss", "ftps", "ldaps", "amqps", "mqtts", "rediss", "tls"}
Listener = Callable[[str, str | None], None]
_listeners: list[Listener] = []  # of the process: connections are made in threads of many callers
log = logger("network")


def is_local(host: str | None) -> bool:
    """Whether this names the machine itself: a loopback address, `localhost`, a Unix socket; not what resolves to it.

    A name that happens to resolve to a loopback address today may resolve to another machine's tomorrow.
    """
    if not host:
        return False
    if host.startswith(("/", "@")) or host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_tls(url: str, *, plaintext: bool = False, name: str, setting: str) -> None:
    """Refuses a URL that would reach another machine without TLS. An unknown scheme counts as one without.

    Args:
        plaintext: the place says by name that it is reached without TLS; each use is logged.
        name: what the place is, for people, such as `the vault`.
        setting: where a user says so, such as `ROWKEEPER_VAULT_PLAINTEXT=true`.

    Raises PlaintextRefused.
    """
    parts = urlsplit(url)
    refuse_plaintext(
        parts.hostname, secure=parts.scheme.lower() in SECURE, plaintext=plaintext, name=name, setting=setting
    )


def refuse_plaintext(host: str | None, *, secure: bool, plaintext: bool, name: str, setting: str) -> None:
    """The same for a host, where it is known otherwise whether TLS is used. Raises PlaintextRefused."""
    if secure or is_local(host):
        return
    if not plaintext:
        raise PlaintextRefused(
            f"{name} on {host or 'an unnamed host'} would be reached without TLS",
            hint=f"reach it by TLS; if it must be without, say so of it by name: {setting}",
            context={"host": host},
        )
    note_plaintext(name, host)


def note_plaintext(name: str, host: str | None) -> None:
    """Tells the log and who listens that a place is about to be reached without TLS. Raises what they raise."""
    for listener in tuple(_listeners):
        listener(name, host)
    log.warning("reached without TLS, as declared", host=host, operation=name)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """In the block, of all threads of this process: what is reached without TLS is told, by its name and its host."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
