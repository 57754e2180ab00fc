"""Who we are to a broker, where `Basic` (a user and a password) and `Bearer` (a token) do not say it."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import DeclarationError, KeyUnusable
from rowkeeper.security.references import resolve
from rowkeeper.security.secret import Secret

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SEED_PREFIX, USER_PREFIX = 18 << 3, 20 << 3  # "S" and "U" in base 32: nkeys of NATS, strkey.go
SEED_BYTES = 2 + 32 + 2  # what it is of, the seed of Ed25519, CRC-16


@dataclasses.dataclass(frozen=True)
class Sasl:
    """A user and a password for Kafka: `Sasl("loader", password="env:KAFKA_PASSWORD")`.

    Args:
        user: no secret.
        password: a reference.
        mechanism: `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN`, which tells the broker the password itself.
    """

    user: str
    password: str
    mechanism: Mechanism = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        parse(self.password, "Sasl(password=)")
        if self.mechanism not in MECHANISMS:
            raise DeclarationError(f"{self.mechanism!r} is no mechanism of Sasl", hint=f"one of {MECHANISMS}")

    def describe(self) -> Mapping[str, Any]:
        """Its arguments, which hold no secret."""
        return {"kind": "Sasl", **vars(self)}


@dataclasses.dataclass(frozen=True)
class Nkey:
    """A key of NATS: `Nkey("file:/run/secrets/loader.nk")`; with `jwt` where accounts are decentralised.

    Args:
        seed: a reference to the seed, a text that begins with `SU`.
        jwt: a reference to the user's JWT.
    """

    seed: str
    jwt: str | None = None

    def __post_init__(self) -> None:
        parse(self.seed, "Nkey(seed=)")
        if self.jwt is not None:
            parse(self.jwt, "Nkey(jwt=)")

    def describe(self) -> Mapping[str, Any]:
        """Its arguments, which hold no secret."""
        return {"kind": "Nkey", **vars(self)}


class Signer:
    """A seed at work: it signs what the server asks to be signed.

    Raises KeyUnusable if the seed is none of a user's.
    """

    def __init__(self, declared: Nkey) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        raw = _seed_in(resolve(declared.seed), declared.seed)
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.jwt = None if declared.jwt is None else resolve(declared.jwt)

    @property
    def public(self) -> str:
        """The user's name to the server: the public key, as a text that begins with `U`."""
        body = bytes([USER_PREFIX]) + self._key.public_key().public_bytes_raw()
        return base64.b32encode(body + _crc(body).to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, nonce: str) -> bytes:
        """The signature of what the server sent, in base 64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def _seed_in(secret: Secret, reference: str) -> bytes:
    text = secret.reveal().strip()
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raw = b""
    kind = ((raw[0] & 7) << 5) | (raw[1] >> 3) if len(raw) == SEED_BYTES else -1
    sound = kind == USER_PREFIX and raw[0] & 0xF8 == SEED_PREFIX and _crc(raw[:-2]).to_bytes(2, "little") == raw[-2:]
    if not sound:
        raise KeyUnusable(
            f"{reference} leads to no seed of a NATS user", hint="a text that begins with SU: nk -gen user"
        )
    return raw[2:-2]


def _crc(data: bytes) -> int:
    """CRC-16/XMODEM, which guards nkeys against slips of the pen; it is `binascii.crc_hqx`."""
    return binascii.crc_hqx(data, 0)
