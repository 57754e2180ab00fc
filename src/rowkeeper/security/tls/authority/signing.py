"""Certificates and revocation lists, as RFC 5280 asks: EC P-256 keys, SHA-256, random serial numbers."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rowkeeper.errors import DeclarationError

AUTHORITY_DAYS = 3650
LEAF_DAYS_MAX = 60
LIST_DAYS = 30
BACKDATED = timedelta(minutes=5)  # clocks differ
USES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key for an authority or a leaf."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclasses.dataclass(frozen=True, slots=True)
class Signer:
    """An authority with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = dataclasses.field(repr=False)


def root(
    name: str, key: ec.EllipticCurvePrivateKey, now: datetime, days: int, permitted: Sequence[str]
) -> x509.Certificate:
    """An authority's own certificate: it issues leaves, and no further authorities.

    Args:
        permitted: names and networks that it may issue for, subdomains included; empty is any.

    Raises DeclarationError: one of them is neither.
    """
    subject = _named(name)
    built = _begun(key.public_key(), now, now + timedelta(days=days)).subject_name(subject).issuer_name(subject)
    built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    built = built.add_extension(_usage(authority=True), critical=True)
    if permitted:
        built = built.add_extension(_constraints(permitted), critical=True)
    return built.sign(key, hashes.SHA256())


def leaf(
    hosts: Sequence[str],
    uses: Sequence[str],
    public: ec.EllipticCurvePublicKey,
    signer: Signer,
    *,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """A server's or client's certificate. It ends with its authority at the latest.

    Raises DeclarationError: the authority may not issue for one of the hosts.
    """
    names = [general_name(each) for each in hosts]
    for host, name in zip(hosts, names, strict=True):
        if not permits(signer.certificate, name):
            raise DeclarationError(
                f"the authority may not issue for {host}", hint="rowkeeper certs show lists what it may issue for"
            )
    end = min(now + timedelta(days=days), signer.certificate.not_valid_after_utc)
    # OpenSSL takes the common name for a host's, if there is no other, and holds it to the name constraints.
    is_named = any(isinstance(each, x509.DNSName) for each in names)
    subject = _named(hosts[0] if is_named else f"address {hosts[0]}")
    built = _begun(public, now, end).subject_name(subject).issuer_name(signer.certificate.subject)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    built = built.add_extension(issuer, critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(_usage(authority=False), critical=True)
    built = built.add_extension(x509.ExtendedKeyUsage([USES[each] for each in uses]), critical=False)
    built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return built.sign(signer.key, hashes.SHA256())


def revocations(
    signer: Signer,
    former: x509.CertificateRevocationList | None,
    revoked: Iterable[x509.Certificate],
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list of revoked certificates: those of the former one, and these."""
    listed = x509.CertificateRevocationListBuilder().issuer_name(signer.certificate.subject)
    listed = listed.last_update(now - BACKDATED).next_update(now + timedelta(days=LIST_DAYS))
    number = 1
    known: set[int] = set()
    if former is not None:
        number = former.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
        for each in former:
            known.add(each.serial_number)
            listed = listed.add_revoked_certificate(each)
    for certificate in revoked:
        if certificate.serial_number not in known:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
            listed = listed.add_revoked_certificate(entry.build())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    listed = listed.add_extension(issuer, critical=False).add_extension(x509.CRLNumber(number), critical=False)
    return listed.sign(signer.key, hashes.SHA256())


def general_name(host: str) -> x509.GeneralName:
    """A host for a certificate. Raises DeclarationError: neither a name nor an address."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(_ascii(host))


def names_of(certificate: x509.Certificate) -> list[str]:
    """The hosts that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(each.value) for each in found if isinstance(each, x509.DNSName | x509.IPAddress)]


def uses_of(certificate: x509.Certificate) -> list[str]:
    """`server`, `client` or both."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return list(USES)
    return [name for name, use in USES.items() if use in found]


def permitted_by(authority: x509.Certificate) -> list[str]:
    """The names and networks that it may issue for; empty is any."""
    constraints = _constraints_of(authority)
    return [str(each.value) for each in (constraints.permitted_subtrees or ())] if constraints else []


def permits(authority: x509.Certificate, name: x509.GeneralName) -> bool:
    """Whether an authority's name constraints let it issue for a host (RFC 5280, 4.2.1.10)."""
    constraints = _constraints_of(authority)
    if constraints is None:
        return True
    if isinstance(name, x509.IPAddress):
        networks = [each.value for each in constraints.permitted_subtrees or () if isinstance(each, x509.IPAddress)]
        return any(ipaddress.ip_address(str(name.value)) in ipaddress.ip_network(str(each)) for each in networks)
    domains = [each.value for each in constraints.permitted_subtrees or () if isinstance(each, x509.DNSName)]
    return any(name.value == each or name.value.endswith(f".{each}") for each in domains)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # ub-common-name


def _begun(public: ec.EllipticCurvePublicKey, now: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(permitted: Sequence[str]) -> x509.NameConstraints:
    """A kind of name of which nothing is permitted is shut out whole: RFC 5280 would leave it open."""
    names: list[x509.GeneralName] = []
    for each in permitted:
        try:
            names.append(x509.IPAddress(ipaddress.ip_network(each)))
        except ValueError:
            names.append(x509.DNSName(_ascii(each.lstrip("."))))
    excluded: list[x509.GeneralName] = []
    if not any(isinstance(each, x509.IPAddress) for each in names):
        excluded += [x509.IPAddress(each) for each in EVERYWHERE]
    if not any(isinstance(each, x509.DNSName) for each in names):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(names, excluded or None)


def _constraints_of(authority: x509.Certificate) -> x509.NameConstraints | None:
    try:
        return authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _ascii(host: str) -> str:
    """A host's name as it stands in certificates. Raises DeclarationError."""
    try:
        name = host.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    labels = name.removeprefix("*.").split(".")
    if not all(each and each.replace("-", "").replace("_", "").isalnum() for each in labels):
        raise DeclarationError(
            f"{host!r} is neither a host's name nor an address", hint="such as db.example or 10.0.0.5"
        )
    return name
