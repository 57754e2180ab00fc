"""Machines that show a client certificate: who vouches for it, and which account it is.

The TLS connection has proved that the other end holds the key. Whether the certificate counts is checked here once
more, at each look-up: it leads to an authority that is set, is for clients, has not run out, and is not revoked. Then
one of its names has to be bound to an account: its SPIFFE id, its common name, or its fingerprint.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from rowkeeper.access.access import Access
from rowkeeper.access.authentication.permitting import require_person
from rowkeeper.access.authentication.signing_in import not_accepted
from rowkeeper.access.resource import of_user
from rowkeeper.caller import CallerKind
from rowkeeper.errors import CredentialUnfit
from rowkeeper.ledger.signing_in import SigningIn
from rowkeeper.ledger.users import LedgerUsers
from rowkeeper.security.tls.material import CRL, chain_of, check_lists, read

BINDING = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}/[A-Za-z0-9._/-]{1,200}|cn:[^\0\n]{1,200}|sha256:[0-9a-f]{64}", re.ASCII
)


class Certificates:
    """Which account a certificate is.

    Args:
        ca: a PEM file with the authorities whose certificates count; None if none do.
        crl: a PEM file with revocation lists; then there must be a list of the authority's.
    """

    def __init__(self, books: SigningIn, ca: Path | None, crl: Path | None) -> None:
        self._books = books
        self._ca = ca
        self._crl = crl

    def account_of(self, certificate: bytes) -> tuple[str, datetime]:
        """The account, and until when the certificate holds.

        Args:
            certificate: DER.

        Raises AuthenticationFailed; CertificateUnusable if authorities or lists cannot be read.
        """
        try:
            leaf = x509.load_der_x509_certificate(certificate)
        except ValueError as error:
            raise not_accepted() from error
        self._verify(leaf)
        accounts = self._books.certificates.users_of(names_of(leaf))
        if len(accounts) != 1:  # of two names of two accounts nobody can say which is meant
            raise not_accepted()
        return accounts.pop(), leaf.not_valid_after_utc

    def _verify(self, leaf: x509.Certificate) -> None:
        if self._ca is None:
            raise not_accepted()
        authorities = chain_of(self._ca, "the CA bundle")
        verifier = PolicyBuilder().store(Store(authorities)).time(self._books.clock()).build_client_verifier()
        try:
            chain = verifier.verify(leaf, []).chain
        except (VerificationError, ValueError) as error:
            raise not_accepted() from error
        if self._crl is not None:
            _refuse_revoked(leaf, chain[1], _lists(self._crl), self._books.clock())


class Bindings:
    """Binds certificates to the accounts of services, and looses them."""

    def __init__(self, books: SigningIn, users: LedgerUsers, access: Access) -> None:
        self._books = books
        self._users = users
        self._access = access

    def of(self, user: str) -> list[tuple[str, datetime]]:
        """The names of an account's certificates, and since when. Raises AccessDenied, UnknownUser."""
        self._access.require("user.list", of_user(user))
        self._users.get(user)
        return self._books.certificates.of(user)

    def bind(self, user: str, name: str) -> None:
        """From now on whoever shows a certificate of this name is this account.

        Args:
            name: `spiffe://DOMAIN/PATH`, `cn:NAME` or `sha256:FINGERPRINT` (64 hex digits).

        Raises AccessDenied, UnknownUser; CredentialUnfit if the account is a person's, or the name is none, or bound.
        """
        self._may_change(user)
        if self._users.get(user).kind is not CallerKind.SERVICE:
            raise CredentialUnfit(
                f"{user} is a person, and certificates are for machines", hint="rowkeeper users add NAME --service"
            )
        if not BINDING.fullmatch(name):
            raise CredentialUnfit(
                "this is no name of a certificate", hint="spiffe://DOMAIN/PATH, cn:NAME or sha256:64 hex digits"
            )
        if not self._books.certificates.bind(name, user):
            raise CredentialUnfit(f"{name} is bound to an account already", hint="loose it there first: --loose")

    def loose(self, user: str, name: str) -> bool:
        """It is no more. Returns whether it was. Raises AccessDenied, UnknownUser."""
        self._may_change(user)
        self._users.get(user)
        return self._books.certificates.unbind(name, user)

    def _may_change(self, user: str) -> None:
        require_person(self._access, user)


def names_of(leaf: x509.Certificate) -> list[str]:
    """The names by which a certificate can be bound to an account."""
    found = [f"sha256:{leaf.fingerprint(hashes.SHA256()).hex()}"]
    common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common) == 1 and isinstance(common[0].value, str):
        found.append(f"cn:{common[0].value}")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) == 1 and uris[0].startswith("spiffe://"):  # more than one is no SVID (SPIFFE X509-SVID, 2)
        found.append(uris[0])
    return found


def _refuse_revoked(
    leaf: x509.Certificate, issuer: x509.Certificate, lists: list[x509.CertificateRevocationList], now: datetime
) -> None:
    """A list of its authority's must be there, not have run out, and not name it."""
    key = issuer.public_key()
    own = [each for each in lists if each.issuer == issuer.subject and each.is_signature_valid(key)]  # type: ignore[arg-type]
    good = [each for each in own if each.next_update_utc is not None and each.next_update_utc > now]
    revoked = any(each.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None for each in own)
    if revoked or not good:
        raise not_accepted()


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    check_lists(path)
    return [x509.load_pem_x509_crl(CRL + part) for part in read(path, "the revocation list").split(CRL)[1:]]
