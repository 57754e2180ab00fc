"""Makes certificates, good ones and bad ones: each fault is one argument."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
HERE = ("localhost", "127.0.0.1")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Made:
    """A certificate with its key, and the certificates that a server sends after it."""

    certificate: x509.Certificate
    key: Any
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    def key_pem(self, passphrase: str | None = None) -> bytes:
        closed = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed)

    def write(self, folder: Path, name: str, passphrase: str | None = None) -> tuple[Path, Path]:
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(self.pem)
        key.touch(0o600)
        key.write_bytes(self.key_pem(passphrase))
        return cert, key

    def leaf(self, *names: str, **faults: Any) -> Made:
        """A server's, issued by this one, for localhost unless names are given."""
        return make(*(names or HERE), issuer=self, **faults)

    def crl(self, *revoked: x509.Certificate, begins: float = -1, ends: float = 30) -> bytes:
        """A revocation list of this authority, valid from and to so many days from now."""
        listed = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        listed = listed.last_update(now() + begins * DAY).next_update(now() + ends * DAY)
        own = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        listed = listed.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), False)
        listed = listed.add_extension(x509.CRLNumber(1), False)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(now() - DAY)
            listed = listed.add_revoked_certificate(entry.build())
        return listed.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def authority(name: str = "Test Authority", **faults: Any) -> Made:
    """One that signs itself."""
    return make(name, is_authority=True, **faults)


def make(
    *names: str,
    issuer: Made | None = None,
    is_authority: bool = False,
    key: Any = None,
    begins: float = -1,
    ends: float = 30,
    forged: bool = False,
    uses: Sequence[x509.ObjectIdentifier] = (Use.SERVER_AUTH,),
    key_usage: bool = True,
    permitted: Sequence[str] = (),
    path_length: int | None = None,
    sends: Sequence[x509.Certificate] = (),
) -> Made:
    """A certificate, valid from and to so many days from now; without an issuer it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    signer = issuer.key if issuer else key
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + begins * DAY)
        .not_valid_after(now() + ends * DAY)
        .add_extension(x509.BasicConstraints(is_authority, path_length), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    if key_usage:
        no = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        usage = x509.KeyUsage(
            digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **no
        )
        built = built.add_extension(usage, True)
    if permitted:
        built = built.add_extension(x509.NameConstraints([x509.DNSName(each) for each in permitted], None), True)
    if not is_authority:
        built = built.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), False)
        built = built.add_extension(x509.ExtendedKeyUsage(list(uses)), False)
    if forged:
        signer = ec.generate_private_key(ec.SECP256R1())
    return Made(built.sign(signer, hashes.SHA256()), key, tuple(sends))


WITH_RSA = bytes.fromhex("06092a864886f70d0101")  # and a last byte for the digest
SHA256_LAST, WEAK_LAST = b"\x0b", {"sha1": b"\x05", "md5": b"\x04"}


def signed_weakly(made: Made, issuer: Made, digest: Any) -> Made:
    """The same certificate, signed with SHA-1 or MD5 by an authority with an RSA key; no library does this any more."""
    strong, weak = WITH_RSA + SHA256_LAST, WITH_RSA + WEAK_LAST[digest.name]
    body = made.certificate.tbs_certificate_bytes.replace(strong, weak)
    signature = issuer.key.sign(body, padding.PKCS1v15(), digest)
    whole = made.certificate.public_bytes(Encoding.DER)
    whole = whole.replace(made.certificate.tbs_certificate_bytes, body).replace(strong, weak)
    return Made(x509.load_der_x509_certificate(whole.replace(made.certificate.signature, signature)), made.key)


def weak_rsa() -> Any:
    """A key of 1024 bits, about whose making `cryptography` warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rsa.generate_private_key(65537, 1024)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
