"""The secrets of a workspace: references are followed as its settings say, for as long as it is open."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.references import Resolver, resolve, resolving_with
from rowkeeper.security.secret import Secret
from rowkeeper.security.tls import default_tls
from rowkeeper.settings import Settings

if TYPE_CHECKING:
    import httpx

    from rowkeeper.security.references.vault import Vault


def password_of(settings: Settings) -> Callable[[], Secret] | None:
    """What reads the password of the ledger; None where none is set."""
    return functools.partial(resolve, settings.ledger_password) if settings.ledger_password else None


@contextmanager
def secrets_of(settings: Settings, calls: Calls, gateway: Gateway) -> Iterator[Vault | None]:
    """References in the block lead where the settings say. What a vault lent is given back at its end.

    Yields the vault, if one is configured. Raises SettingsError if its settings do not fit together.
    """
    with contextlib.ExitStack() as opened:
        vault = opened.enter_context(_vault(settings, calls, gateway)) if settings.vault_address else None
        opened.enter_context(resolving_with(Resolver(vault=vault.read if vault else None)))
        yield vault


def _vault(settings: Settings, calls: Calls, gateway: Gateway) -> contextlib.AbstractContextManager[Vault]:
    from rowkeeper.security.references.vault import Credentials, vault_of  # noqa: PLC0415 - few commands have a vault

    assert settings.vault_address is not None
    credentials = Credentials(
        settings.vault_token, settings.vault_role_id, settings.vault_secret_id, settings.vault_approle_mount
    )
    return vault_of(
        settings.vault_address,
        credentials,
        resolve=Resolver().resolve,
        open_client=lambda _url: _http_client(settings, gateway),
        namespace=settings.vault_namespace,
        calls=calls,
    )


def _http_client(settings: Settings, gateway: Gateway) -> httpx.Client:
    """The pinned client; the vault's address is one of the endpoints that the settings declare."""
    from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

    return http_client(gateway, name="the vault", tls=default_tls(settings))
