"""What a user declares of TLS: whose word is taken, what is shown, which keys are known."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import DeclarationError

PIN_BYTES = 32
PIN_HINT = "a pin is the SHA-256 of a server's public key, as rowkeeper certs check HOST:PORT prints it: sha256/..."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How connections to one place are secured. What is left out is the default: `TLS()` trusts this machine's store.

    Args:
        ca: a PEM file with the authorities that are trusted, in the place of this machine's own store.
        cert: a PEM file with a client certificate, and with those between it and its authority.
        key: a PEM file with its key (0600); may be left out where `cert` has it as well.
        passphrase: a reference to the key's passphrase, such as `env:KEY_PASSPHRASE` or `file:/run/secrets/key`.
        pins: SHA-256 digests of public keys (of their SubjectPublicKeyInfo, RFC 7469), as `sha256/BASE64` or in hex;
            the server's own key must be one of them. Give two: the one in use, and the one that comes next.
        crl: a PEM file with revocation lists. Then every certificate of a chain is looked up, and a chain with an
            authority that has no list in it, or one that is out of date, is refused.

    Raises DeclarationError, and SecretLiteral for a passphrase that is no reference.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    passphrase: str | None = None
    pins: Sequence[str] = ()
    crl: str | Path | None = None

    def __post_init__(self) -> None:
        if self.cert is None and (self.key is not None or self.passphrase is not None):
            raise DeclarationError(
                "TLS: a key or a passphrase without a certificate", hint="give cert=, the certificate of that key"
            )
        if self.passphrase is not None:
            parse(self.passphrase, "TLS(passphrase=)")
        if isinstance(self.pins, str):
            raise DeclarationError("TLS: pins is one text", hint='pins are a list: pins=["sha256/..."]')
        object.__setattr__(self, "pins", tuple(sorted({f"sha256/{_pin(each)}" for each in self.pins})))
        for name in ("ca", "cert", "key", "crl"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, Path(path).expanduser())

    def document(self) -> dict[str, Any]:
        """What is declared, as JSON values: `TLS(**document)` is the same again. The passphrase is a reference."""
        given = {name: getattr(self, name) for name in ("ca", "cert", "key", "passphrase", "crl")}
        return {name: str(value) for name, value in given.items() if value is not None} | {"pins": list(self.pins)}

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it names."""
        return tuple(Path(each) for each in (self.ca, self.cert, self.key, self.crl) if each is not None)


def _pin(text: str) -> str:
    """A pin in base64, whichever way it was written."""
    digest = text.removeprefix("sha256/").removeprefix("/")  # curl writes two strokes
    try:
        raw = bytes.fromhex(digest.replace(":", ""))
    except ValueError:
        try:
            raw = base64.b64decode(digest, validate=True)
        except binascii.Error:
            raw = b""
    if len(raw) != PIN_BYTES:
        raise DeclarationError(f"TLS: {text!r} is no pin", hint=PIN_HINT)
    return base64.b64encode(raw).decode()
