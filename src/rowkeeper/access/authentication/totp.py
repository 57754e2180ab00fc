"""The second factor: time-based codes (RFC 6238), whose secret is sealed; recovery codes for a lost device."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import re
import secrets
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowkeeper.access.authentication.credentials import hashed
from rowkeeper.access.authentication.passwords import library
from rowkeeper.errors import SealBroken
from rowkeeper.security.keysets import LOGIN, Key, Keysets

STEP_SECONDS = 30
STEPS_OFF = 1  # a clock may be wrong by one step, either way
SECRET_BYTES = 20  # as RFC 4226 recommends, and every app takes
NONCE_BYTES = 12
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits
USE = "second factor"
ISSUER = "Rowkeeper"
CODE = re.compile(r"\d{6}", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as the ledger keeps it."""

    data: bytes
    key_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody puts into an authenticator; told this once.

    Attributes:
        secret: base32.
        uri: the same, as `otpauth://`.
    """

    secret: str = dataclasses.field(repr=False)
    uri: str = dataclasses.field(repr=False)


def enrolment(name: str) -> Enrolment:
    """A new secret for an account."""
    secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
    uri = library("pyotp").TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    return Enrolment(secret, str(uri))


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step that a code is of, now or one step off; None if it is of none of them."""
    digits = re.sub(r"[ -]", "", code)
    if CODE.fullmatch(digits) is None:
        return None
    totp, step = library("pyotp").TOTP(secret), int(now.timestamp()) // STEP_SECONDS
    near = range(step - STEPS_OFF, step + STEPS_OFF + 1)
    right = [each for each in near if hmac.compare_digest(totp.generate_otp(each), digits)]
    return right[-1] if right else None


def recovery_codes() -> list[str]:
    """Codes that each stand once in the place of one of the device's: `abcd-efgh-ijkl-mnop`."""
    texts = (base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES))
    return ["-".join(text[at : at + 4] for at in range(0, len(text), 4)) for text in texts]


def recovery_hash(code: str) -> str | None:
    """What the ledger holds of a recovery code; None if it is none by its form."""
    letters = re.sub(r"[ -]", "", code).lower()
    return hashed(letters) if re.fullmatch(r"[a-z2-7]{16}", letters, re.ASCII) else None


class FactorSeal:
    """Seals secrets with AES-256-GCM and the keyset `login`; the account is bound in, so that none has another's."""

    def __init__(self, keysets: Keysets) -> None:
        self._keysets = keysets

    def seal(self, user: str, secret: str) -> Sealed:
        """Seals a secret."""
        key = self._keysets.of(LOGIN).primary
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Sealed(nonce + _cipher(key).encrypt(nonce, secret.encode(), _bound(user)), key.id)

    def is_newest(self, key_id: int) -> bool:
        """Whether something is sealed with the key that seals now."""
        return self._keysets.of(LOGIN).primary.id == key_id

    def open(self, user: str, sealed: Sealed) -> str:
        """Opens a secret. Raises SealBroken if it was changed or is another account's, KeyRevoked, KeyUnusable."""
        key = self._keysets.of(LOGIN).key(sealed.key_id)
        nonce, ciphertext = sealed.data[:NONCE_BYTES], sealed.data[NONCE_BYTES:]
        try:
            return _cipher(key).decrypt(nonce, ciphertext, _bound(user)).decode()
        except (InvalidTag, ValueError) as error:  # a ValueError for one that is cut off in its nonce
            raise SealBroken(
                f"the second factor of {user} is not what was sealed",
                hint=f"rowkeeper users totp {user} --remove, then enrol anew",
            ) from error


def _cipher(key: Key) -> AESGCM:
    return AESGCM(key.derive(USE))


def _bound(user: str) -> bytes:
    return f"rowkeeper second factor {user}".encode()
