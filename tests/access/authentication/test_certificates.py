"""Machines by mutual TLS: a certificate of an authority that is set, bound to a service's account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rowkeeper.access.authentication import Credentials
from rowkeeper.caller import CallerKind, acting
from rowkeeper.errors import AccessDenied, AuthenticationFailed, CredentialUnfit
from rowkeeper.security.tls.authority import signing
from tests.access.authentication.installation import HERE, Clock, Installation, opened

SPIFFE = "spiffe://example.org/loader"


class Authority:
    """An authority of the test's own."""

    def __init__(self, now: datetime, name: str = "Test authority") -> None:
        self.now = now
        key = signing.new_key()
        self.signer = signing.Signer(signing.root(name, key, now - timedelta(days=40), 365, ()), key)

    def leaf(
        self,
        *names: x509.GeneralName,
        common: str = "loader",
        use: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> x509.Certificate:
        key = signing.new_key()
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
            .issuer_name(self.signer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or self.now - timedelta(days=1))
            .not_valid_after(ends or self.now + timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.signer.key.public_key()), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names or (x509.DNSName("loader.example"),)), critical=False)
        )
        return built.sign(self.signer.key, hashes.SHA256())

    def list(self, *revoked: x509.Certificate, now: datetime | None = None) -> bytes:
        return signing.revocations(self.signer, None, revoked, now or self.now).public_bytes(Encoding.PEM)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(clock: Clock) -> Authority:
    return Authority(clock.now)


@pytest.fixture
def here(tmp_path: Path, clock: Clock, authority: Authority) -> Iterator[Installation]:
    """An installation that takes this authority's certificates, with a service and a list of nothing."""
    (tmp_path / "ca.pem").write_bytes(authority.signer.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "crl.pem").write_bytes(authority.list())
    with opened(tmp_path / "state", clock, client_ca=tmp_path / "ca.pem", client_crl=tmp_path / "crl.pem") as made:
        made.ledger.users.add("loader", CallerKind.SERVICE, frozenset({"operator"}))
        yield made


def uri(text: str = SPIFFE) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def caller(here: Installation, certificate: x509.Certificate):
    shown = certificate.public_bytes(Encoding.DER)
    return here.authentication.caller(Credentials(client_certificate=shown, address=HERE))


def is_refused(here: Installation, certificate: x509.Certificate) -> bool:
    try:
        caller(here, certificate)
    except AuthenticationFailed:
        return True
    return False


def test_a_certificate_is_known_by_each_of_its_names(here: Installation, authority: Authority):
    """By SPIFFE id, common name or fingerprint, one of them bound to the account."""
    leaf = authority.leaf(uri())
    fingerprint = f"sha256:{leaf.fingerprint(hashes.SHA256()).hex()}"
    for name in (SPIFFE, "cn:loader", fingerprint):
        assert is_refused(here, leaf), name
        here.authentication.certificates.bind("loader", name)
        found = caller(here, leaf)
        assert (str(found), found.roles, found.address) == ("service:loader", {"operator"}, HERE)
        assert here.authentication.certificates.loose("loader", name)
        here.clock.pass_by(seconds=1)


def test_what_our_authority_issues_is_taken(here: Installation, authority: Authority, clock: Clock):
    """`rowkeeper certs issue NAME --client`."""
    leaf = signing.leaf(
        ["loader.example"], ["client"], signing.new_key().public_key(), authority.signer, now=clock.now, days=60
    )
    here.authentication.certificates.bind("loader", "cn:loader.example")
    assert caller(here, leaf).name == "loader"


def test_certificates_that_do_not_count(here: Installation, authority: Authority, clock: Clock):
    """Of another authority of the same name, run out, not yet valid, for servers, not bound, and what is none."""
    here.authentication.certificates.bind("loader", SPIFFE)
    day = timedelta(days=1)
    assert not is_refused(here, authority.leaf(uri()))
    for why, leaf in {
        "of another authority": Authority(clock.now).leaf(uri()),
        "run out": authority.leaf(uri(), begins=clock.now - 2 * day, ends=clock.now - day),
        "not yet valid": authority.leaf(uri(), begins=clock.now + day, ends=clock.now + 2 * day),
        "for servers": authority.leaf(uri(), use=ExtendedKeyUsageOID.SERVER_AUTH),
        "not bound": authority.leaf(uri("spiffe://example.org/other"), common="other"),
        "two ids": authority.leaf(uri(), uri("spiffe://example.org/more"), common="other"),
        "the authority itself": authority.signer.certificate,
    }.items():
        assert is_refused(here, leaf), why
    for shown in (b"", b"no certificate", b"\x30\x82"):
        with pytest.raises(AuthenticationFailed):
            here.authentication.caller(Credentials(client_certificate=shown))


def test_a_certificate_ends_in_the_midst(here: Installation, authority: Authority):
    """A connection that is kept does not outlive it: it is looked at with each request."""
    here.authentication.certificates.bind("loader", SPIFFE)
    leaf = authority.leaf(uri(), ends=here.clock() + timedelta(seconds=5))
    assert not is_refused(here, leaf)
    here.clock.pass_by(seconds=6)
    assert is_refused(here, leaf)


def test_a_revoked_certificate_is_refused(here: Installation, authority: Authority, tmp_path: Path):
    """Within a second of the list; and without a list of this authority's that has not run out nobody is let in."""
    here.authentication.certificates.bind("loader", SPIFFE)
    leaf, other = authority.leaf(uri()), authority.leaf(uri())
    assert not is_refused(here, leaf)
    crl = tmp_path / "crl.pem"
    for lists, refused in (
        (authority.list(leaf), {True: leaf, False: other}),
        (authority.list(now=here.clock() - timedelta(days=31)), {True: other}),
        (Authority(here.clock.now).list(), {True: other}),
        (authority.list() + authority.list(leaf), {True: leaf, False: other}),
    ):
        crl.write_bytes(lists)
        here.clock.pass_by(seconds=1)
        assert {is_refused(here, each): each for each in refused.values()} == refused


def test_of_two_accounts_nobody_can_say_which(here: Installation, authority: Authority):
    """A certificate whose names are bound to different services is refused."""
    here.ledger.users.add("other", CallerKind.SERVICE)
    here.authentication.certificates.bind("loader", SPIFFE)
    here.authentication.certificates.bind("other", "cn:loader")
    assert is_refused(here, authority.leaf(uri()))


def test_a_disabled_service_is_refused(here: Installation, authority: Authority):
    """Its certificate may be as good as it is."""
    here.authentication.certificates.bind("loader", SPIFFE)
    leaf = authority.leaf(uri())
    assert not is_refused(here, leaf)
    here.ledger.users.set_enabled("loader", False)
    here.clock.pass_by(seconds=1)
    assert is_refused(here, leaf)


def test_without_an_authority_no_certificate_counts(tmp_path: Path, clock: Clock, authority: Authority):
    """Nobody is let in by what nobody vouches for."""
    with opened(tmp_path / "state", clock) as here:
        here.ledger.users.add("loader", CallerKind.SERVICE)
        here.authentication.certificates.bind("loader", SPIFFE)
        assert is_refused(here, authority.leaf(uri()))


@pytest.mark.parametrize(
    "name",
    ["", "loader", "spiffe://", "spiffe://Example.org/x", "spiffe://e/x?y", "sha256:abc", "sha256:" + "G" * 64, "cn:"],
)
def test_what_is_no_name_is_not_bound(here: Installation, name: str):
    """A binding that could never fit, or fits too much."""
    with pytest.raises(CredentialUnfit):
        here.authentication.certificates.bind("loader", name)


def test_bindings_are_of_services_and_of_one(here: Installation):
    """Not of people; and a name that is bound is not bound again."""
    here.add("ann")
    with pytest.raises(CredentialUnfit, match="ann is a person"):
        here.authentication.certificates.bind("ann", SPIFFE)
    here.authentication.certificates.bind("loader", SPIFFE)
    with pytest.raises(CredentialUnfit, match="bound"):
        here.authentication.certificates.bind("loader", SPIFFE)
    assert [name for name, _ in here.authentication.certificates.of("loader")] == [SPIFFE]
    assert [each.event.action for each in here.told("user.certify")] == ["user.certify"]


def test_a_certificate_binds_no_other(here: Installation, authority: Authority):
    """Who stole one gains no other."""
    here.authentication.certificates.bind("loader", SPIFFE)
    with acting(caller(here, authority.leaf(uri()))), pytest.raises(AccessDenied):
        here.authentication.certificates.bind("loader", "cn:more")
