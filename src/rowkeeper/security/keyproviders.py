"""Who holds the key that wraps the keysets (the key encryption key), by a reference.

    file:PATH             a key file outside the state folder; made at first use
    env:NAME              an environment variable with 64 hex digits
    keyring:SERVICE/NAME  the user's keyring, with 64 hex digits
    vault:PATH#KEY        a secret of OpenBao or Vault, with 64 hex digits
    transit:NAME          a key of the transit engine of OpenBao or Vault, which never leaves it

A provider has the two methods of Tink's `Aead`, so that Tink wraps keysets with it.
"""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import KeyUnusable, SettingsError
from rowkeeper.logs.secrets import learn
from rowkeeper.security import keyfile
from rowkeeper.security.references import resolve
from rowkeeper.security.references.vault import Vault
from rowkeeper.security.weakkeys import refuse_weak

NONCE_BYTES = 12
FILE, TRANSIT = "file:", "transit:"
TRANSIT_NAME = re.compile(r"(?:[\w.-]+/)*[\w.-]+")
TRANSIT_MOUNT = "transit"
HOW_TO_MAKE = 'python -c "import secrets; print(secrets.token_hex(32))" makes one'


class NotUnwrapped(Exception):  # noqa: N818 - reads as what happened; who asked says what it means
    """What was given was not wrapped with this key, or was changed since."""


class KeyProvider(Protocol):
    """Wraps and unwraps with one key.

    Attributes:
        reference: where the key is.
        made: it was made just now, and somebody should be told to keep a copy.
    """

    @property
    def reference(self) -> str:
        """As above."""
        ...

    @property
    def made(self) -> bool:
        """As above."""
        ...

    def check(self) -> str:
        """Tells this key from another without telling the key; empty where the provider itself does."""
        ...

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wraps. Raises SecurityError where the key cannot be had."""
        ...

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Unwraps. Raises NotUnwrapped, or SecurityError where the key cannot be had."""
        ...


class LocalKey:
    """A key of 32 bytes in the memory of this process: AES-256-GCM, the nonce first."""

    def __init__(self, reference: str, key: bytes, *, made: bool = False) -> None:
        learn(key.hex())
        self.reference = reference
        self.made = made
        self._key = key

    def __repr__(self) -> str:
        return f"LocalKey({self.reference!r})"

    def check(self) -> str:
        """16 hex digits of an HMAC."""
        return keyfile.check_value(self._key)

    def derived(self, purpose: str) -> bytes:
        """The key that was derived from this one for a purpose, before there were keysets."""
        return keyfile.derive(self._key, purpose)

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wraps."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Unwraps. Raises NotUnwrapped."""
        try:
            return AESGCM(self._key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:  # a ValueError for a nonce or a tag that is cut off
            raise NotUnwrapped from error


class TransitKey:
    """A key that stays in OpenBao or Vault, which wraps and unwraps with it.

    Args:
        name: the key's, after the mount of its engine where that is not `transit`: `transit:keys/rowkeeper`.
    """

    made = False

    def __init__(self, name: str, vault: Vault) -> None:
        self.reference = f"{TRANSIT}{name}"
        mount, _, self._name = name.rpartition("/")
        self._mount = mount or TRANSIT_MOUNT
        self._vault = vault

    def check(self) -> str:
        """Empty: the vault knows its keys."""
        return ""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wraps with the newest version of the key. Raises SecurityError."""
        answer = self._vault.write(
            f"{self._mount}/encrypt/{self._name}", plaintext=_text(plaintext), associated_data=_text(associated_data)
        )
        if not answer.ok:
            raise self._refused("wrap", "encrypt", answer.status)
        return str(answer.document["data"]["ciphertext"]).encode()

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Unwraps with the version that wrapped. Raises NotUnwrapped or SecurityError."""
        answer = self._vault.write(
            f"{self._mount}/decrypt/{self._name}",
            ciphertext=ciphertext.decode("ascii", "replace"),
            associated_data=_text(associated_data),
        )
        if answer.status == 400 and "not found" not in str(answer.document.get("errors")):
            raise NotUnwrapped
        if not answer.ok:
            raise self._refused("unwrap", "decrypt", answer.status)
        return base64.b64decode(answer.document["data"]["plaintext"])

    def _refused(self, what: str, path: str, status: int) -> KeyUnusable:
        at = f"{self._mount}/{path}/{self._name}"
        if status == 403:
            hint = f'its policy needs: path "{at}" {{ capabilities = ["create", "update"] }}'
        else:
            hint = f"see that there is such a key: bao read {self._mount}/keys/{self._name}"
        return KeyUnusable(f"{self.reference}: the vault does not {what} with this key (status {status})", hint=hint)


def open_provider(reference: str, vault: Vault | None, *, make: bool) -> KeyProvider:
    """The provider of a reference.

    Args:
        vault: who holds the keys of `transit:`; None where none is configured.
        make: a key file that is not there is made.

    Raises SecurityError if there is no such key or it may not be used, SettingsError for a wrong reference.
    """
    if reference.startswith(TRANSIT):
        name = reference.removeprefix(TRANSIT)
        if not TRANSIT_NAME.fullmatch(name):
            raise SettingsError(f"key: {reference} names no key of a vault", hint="it is written transit:NAME")
        if vault is None:
            raise SettingsError(
                f"key: {reference} is in a vault, and no vault is configured",
                hint="set ROWKEEPER_VAULT_ADDRESS, and ROWKEEPER_VAULT_TOKEN or _ROLE_ID and _SECRET_ID",
            )
        return TransitKey(name, vault)
    if reference.startswith(FILE):
        path = key_path(reference)
        if not make:
            return LocalKey(reference, keyfile.load(path))
        key, made = keyfile.load_or_make(path)
        return LocalKey(reference, key, made=made)
    parse(reference, "key")
    return LocalKey(reference, _decoded(reference, resolve(reference).reveal()))


def normal(reference: str) -> str:
    """The reference with its path made absolute, as it is written down."""
    if not reference.startswith(FILE):
        return reference
    return f"{FILE}{Path(reference.removeprefix(FILE)).expanduser().absolute()}"


def key_path(reference: str) -> Path:
    """The file of a `file:` reference."""
    return Path(reference.removeprefix(FILE)).expanduser().absolute()


def _decoded(reference: str, text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != keyfile.KEY_BYTES:
        raise KeyUnusable(f"{reference} does not hold {keyfile.KEY_BYTES} bytes in hex", hint=HOW_TO_MAKE)
    refuse_weak(key, reference)
    return key


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
