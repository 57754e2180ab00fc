"""Machines that show a client certificate: who vouches for it, and which account it is."""

from __future__ import annotations

from datetime import datetime

from rowkeeper.access.authentication.signing_in import not_accepted


class Certificates:
    """Which account a certificate is."""

    def account_of(self, certificate: bytes) -> tuple[str, datetime]:
        """The account, and until when the certificate holds. Raises AuthenticationFailed."""
        raise not_accepted()
