"""The identity provider as the settings have it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from rowkeeper.access.authentication.oidc import Mapped
from rowkeeper.access.authentication.provider import Provider, ProviderRules
from rowkeeper.errors import ProviderUnusable, SettingsError
from rowkeeper.protocols import WayOut
from rowkeeper.security.tls import default_tls, is_local
from rowkeeper.settings import Settings


def provider_of(
    settings: Settings, way_out: WayOut, now: Callable[[], datetime], steady: Callable[[], float] = time.monotonic
) -> tuple[Provider, Mapped]:
    """The provider, and which accounts its people are.

    Raises ProviderUnusable if none is set, SettingsError if what is set does not fit together.
    """
    if settings.oidc_issuer is None:
        raise no_provider()
    if settings.oidc_client_id is None or settings.oidc_redirect_url is None:
        raise SettingsError("oidc_issuer needs oidc_client_id and oidc_redirect_url", hint="set all three")
    _refuse_plaintext(settings.oidc_issuer, "oidc_issuer")
    _refuse_plaintext(settings.oidc_redirect_url, "oidc_redirect_url")
    rules = ProviderRules(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        settings.oidc_redirect_url,
        default_tls(settings),
    )
    mapped = Mapped(settings.oidc_user_claim, settings.oidc_create, settings.oidc_roles_claim, settings.oidc_roles)
    return Provider(rules, way_out, now, steady), mapped


def no_provider() -> ProviderUnusable:
    """None is set: to whoever asks a server, what there is not."""
    return ProviderUnusable(
        "no identity provider is set",
        hint="set ROWKEEPER_OIDC_ISSUER",
        context={"http_status": HTTPStatus.NOT_FOUND},
    )


def _refuse_plaintext(url: str, setting: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_local(parts.hostname)):
        return
    raise SettingsError(f"{setting} is no https:// URL", hint="off this machine it is reached by TLS alone")
