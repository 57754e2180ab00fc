"""Certificates, keys and lists of ours, looked at before they are used: OpenSSL would only say `PEM lib`."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from rowkeeper.errors import CertificateUnusable
from rowkeeper.security.secret import Secret

RSA_BITS_MIN = 2048
CURVE_BITS_MIN = 224
CERTIFICATE, CRL = b"-----BEGIN CERTIFICATE-----", b"-----BEGIN X509 CRL-----"


def read(path: Path, what: str) -> bytes:
    """The bytes of a file. Raises CertificateUnusable, naming it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(
            f"{what} {path} cannot be read: {error.strerror}", hint="put it there, or name the file that it is in"
        ) from error


def chain_of(path: Path, what: str) -> list[x509.Certificate]:
    """The certificates in a PEM file, in its order. Raises CertificateUnusable if there is none or one is damaged."""
    text = read(path, what)
    if CERTIFICATE not in text:
        raise CertificateUnusable(
            f"{what} {path} holds no certificate in PEM",
            hint="name a file with -----BEGIN CERTIFICATE-----; DER becomes PEM by: openssl x509 -inform der -in FILE",
        )
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise CertificateUnusable(
            f"{what} {path} is damaged: not every certificate in it can be read", hint="put it back from its source"
        ) from error


def key_of(path: Path, passphrase: Secret | None) -> PrivateKeyTypes:
    """The key in a PEM file. Raises CertificateUnusable: none, open to others, encrypted, damaged."""
    text = read(path, "the key")
    if b"PRIVATE KEY-----" not in text:
        raise CertificateUnusable(
            f"{path} holds no key", hint="give key=, the PEM file with -----BEGIN PRIVATE KEY----- of the certificate"
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CertificateUnusable(f"the key {path} is open to others (mode {mode:04o})", hint=f"chmod 600 {path}")
    is_encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in text or b"Proc-Type: 4,ENCRYPTED" in text
    if is_encrypted and passphrase is None:
        raise CertificateUnusable(
            f"the key {path} is encrypted, and no passphrase was given",
            hint="give passphrase=, a reference to it: env:NAME or file:PATH",
        )
    try:
        return load_pem_private_key(text, passphrase.reveal().encode() if is_encrypted and passphrase else None)
    except ValueError as error:
        if is_encrypted:
            raise CertificateUnusable(
                f"the passphrase does not open the key {path}", hint="see what the reference to the passphrase leads to"
            ) from error
        raise CertificateUnusable(f"the key {path} is damaged", hint="put it back from its copy") from error


def check_pair(cert: Path, key: Path | None, passphrase: Secret | None) -> None:
    """Refuses a certificate of ours that no server would take, or that is of another key.

    Raises CertificateUnusable.
    """
    leaf = chain_of(cert, "the certificate")[0]
    if spki(key_of(key or cert, passphrase).public_key()) != spki(leaf.public_key()):
        raise CertificateUnusable(
            f"the key {key or cert} is not the key of the certificate {cert}",
            hint="name the two that were made together; in a file of several certificates the own one comes first",
        )
    now = datetime.now(UTC)
    if now > leaf.not_valid_after_utc:
        raise CertificateUnusable(
            f"the certificate {cert} expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            hint="rowkeeper certs renew, or ask its authority for a new one",
        )
    if now < leaf.not_valid_before_utc:
        raise CertificateUnusable(
            f"the certificate {cert} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            hint="set the clock of this machine right, or wait",
        )
    if weak := weakness(leaf):
        raise CertificateUnusable(
            f"the certificate {cert} is weak: {weak}", hint="rowkeeper certs issue makes one of a strong key"
        )


def check_authorities(path: Path) -> None:
    """Refuses a CA bundle that holds nothing to trust. Raises CertificateUnusable."""
    chain_of(path, "the CA bundle")


def check_lists(path: Path) -> None:
    """Refuses a file of revocation lists that holds none, or that would add authorities by the way.

    Raises CertificateUnusable.
    """
    text = read(path, "the revocation list")
    if CRL not in text:
        raise CertificateUnusable(
            f"the revocation list {path} holds none in PEM",
            hint="name a file with -----BEGIN X509 CRL-----; DER becomes PEM by: openssl crl -inform der -in FILE",
        )
    if CERTIFICATE in text:
        raise CertificateUnusable(
            f"the revocation list {path} holds certificates, which would be trusted by its side",
            hint="put those that are to be trusted into the CA bundle, and lists alone into this file",
        )
    for part in text.split(CRL)[1:]:
        try:
            x509.load_pem_x509_crl(CRL + part)
        except ValueError as error:
            raise CertificateUnusable(
                f"the revocation list {path} is damaged", hint="fetch it again from its authority"
            ) from error


def spki(key: PublicKeyTypes) -> bytes:
    """A public key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def weakness(certificate: x509.Certificate) -> str:
    """Why a certificate does not reach OpenSSL's security level 2 (112 bits); empty if it does."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        return f"its RSA key has {key.key_size} bits, and {RSA_BITS_MIN} is the least"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < CURVE_BITS_MIN:
        return f"its key is on the curve {key.curve.name}, and {CURVE_BITS_MIN} bits are the least"
    signature = certificate.signature_hash_algorithm
    if signature is not None and signature.name in ("md5", "sha1"):
        return f"it is signed with {signature.name.upper()}, which can be forged"
    return ""
