"""The server's certificate: the one that is set, or one of the private authority, issued and renewed by itself."""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rowkeeper.errors import AuthorityError, FrameworkError, SettingsError
from rowkeeper.logs import logger
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.tls import TLS, server_context
from rowkeeper.security.tls.authority import Authority, Wish, due
from rowkeeper.settings import Settings

LEAF = "server"
AUTHORITY_NAME = "Rowkeeper private authority"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

log = logger("network")


def names_of(settings: Settings, address: str) -> tuple[str, ...]:
    """By which hosts the server is asked: its address, unless that is all of them; this machine's own; those set."""
    try:
        everywhere = ipaddress.ip_address(address).is_unspecified
    except ValueError:
        everywhere = False
    return tuple(dict.fromkeys([*LOOPBACK, *([] if everywhere else [address]), *settings.server_hosts]))


def context_of(space: Workspace, address: str) -> ssl.SSLContext:
    """The context for the server, which shows a renewed certificate to the next client.

    Raises SecurityError, SettingsError.
    """
    settings = space.settings
    if (settings.server_cert is None) != (settings.server_key is None):
        raise SettingsError("server_cert and server_key go together", hint="set both, or neither")
    if settings.server_cert is not None and settings.server_key is not None:
        cert, key = settings.server_cert.expanduser(), settings.server_key.expanduser()
    else:
        cert, key = issued(Authority.of(space.folder), names_of(settings, address))
    clients = None
    if settings.server_client_ca is not None:
        crl = settings.server_client_crl
        clients = TLS(ca=settings.server_client_ca.expanduser(), crl=None if crl is None else crl.expanduser())
    context = server_context(cert, key, passphrase=settings.server_key_passphrase, clients=clients, demanded=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


def issued(authority: Authority, hosts: Sequence[str]) -> tuple[Path, Path]:
    """The authority's certificate for the server and its key; both are made where they are not there.

    One that is not for all of these hosts is replaced.
    """
    if not authority.folder.ca.exists():
        authority.found(AUTHORITY_NAME)
    names = authority.folder.names()
    if LEAF not in names:
        leaf = authority.issue(LEAF, Wish(hosts))
    else:
        leaf = authority.issued(LEAF)
        if not set(hosts) <= set(leaf.hosts):
            leaf = authority.issue(LEAF, Wish(list(dict.fromkeys([*leaf.hosts, *hosts]))), replace=True)
        elif LEAF in due(authority, datetime.now(UTC)):
            [leaf] = authority.renew([LEAF])
    return leaf.cert, leaf.key


def renew_if_due(space: Workspace) -> bool:
    """Renews the server's own certificate where a third of its time is left; whether it did.

    What keeps it from that is logged: it is looked at again, and the certificate holds for weeks yet.
    """
    if space.settings.server_cert is not None:
        return False
    authority = Authority.of(space.folder)
    try:
        if LEAF not in due(authority, datetime.now(UTC)):
            return False
        with contextlib.suppress(AuthorityError):  # a worker is at it
            authority.renew([LEAF])
    except FrameworkError as error:
        log.warning("the server's certificate could not be renewed", what=error.what, code=error.code)
        return False
    return True
