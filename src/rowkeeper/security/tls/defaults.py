"""What the settings say of TLS, for places that say nothing of their own."""

from __future__ import annotations

from rowkeeper.errors import DeclarationError, SettingsError
from rowkeeper.security.tls.declaring import TLS
from rowkeeper.settings import Settings


def default_tls(settings: Settings) -> TLS:
    """`ROWKEEPER_TLS_CA` and its like. Raises SettingsError: a key without a certificate."""
    try:
        return TLS(
            ca=settings.tls_ca,
            cert=settings.tls_cert,
            key=settings.tls_key,
            passphrase=settings.tls_key_passphrase,
            crl=settings.tls_crl,
        )
    except DeclarationError as error:
        raise SettingsError(f"a setting is wrong: {error.what}", hint="set ROWKEEPER_TLS_CERT as well") from error
