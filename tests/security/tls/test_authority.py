"""The private authority: what it issues is taken by our own clients and servers, and what it revoked is not."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from rowkeeper.errors import (
    AuthorityError,
    CertificateRefused,
    CertificateUnusable,
    ClientCertificateRefused,
    DeclarationError,
    StateError,
)
from rowkeeper.resilience.failpoints import arm
from rowkeeper.security.statefolder import open_state_folder
from rowkeeper.security.tls import TLS, server_context
from rowkeeper.security.tls.authority import Authority, CertificateFolder, Wish, expiries
from rowkeeper.settings import Settings
from tests.security.tls.servers import said, serving

HERE = Wish(["localhost", "127.0.0.1"])


class Clock:
    """Stands, and is set forward."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    made = Authority.of(open_state_folder(tmp_path / "home", tmp_path / "the.key"), clock)
    made.found("Test Authority")
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_what_it_issues_is_taken(authority: Authority):
    """By a client of ours from a server of ours, each with one of its certificates, and the list looked up by both."""
    web = authority.issue("web", HERE)
    etl = authority.issue("etl", Wish(["etl"], ["client"]))
    ca, crl = authority.folder.ca, authority.folder.crl
    with serving(server_context(web.cert, web.key, clients=TLS(ca=ca, crl=crl))) as port:
        for host in HERE.hosts:
            said(port, TLS(ca=ca, crl=crl, cert=etl.cert, key=etl.key), host=host)


def test_an_independent_verifier_agrees(authority: Authority):
    """The certificates are as RFC 5280 and the CA/Browser Forum ask, as `cryptography` reads them (in Rust)."""
    web = authority.issue("web", Wish(["db.example"]))
    store = Store([authority.certificate])
    verified = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("db.example")).verify(read(web.cert), [])
    assert verified == [read(web.cert), authority.certificate]


def test_a_leaf_lives_sixty_days(authority: Authority, clock: Clock):
    """Not longer, whatever is asked for; never longer than its authority; with a random serial number of its own."""
    first, second = authority.issue("first", HERE), authority.issue("second", HERE)
    assert first.not_after == clock.now + timedelta(days=60)
    assert first.serial != second.serial
    assert min(int(each.serial, 16).bit_length() for each in (first, second)) > 100
    clock.now = authority.certificate.not_valid_after_utc - timedelta(days=10)
    assert authority.issue("late", HERE).not_after == authority.certificate.not_valid_after_utc


def test_everything_is_private_and_the_authoritys_key_is_sealed(tmp_path: Path):
    """Folders 0700, files 0600, whatever the umask; and no private key in the clear but those of leaves."""
    former = os.umask(0)
    try:
        authority = Authority.of(open_state_folder(tmp_path / "home", tmp_path / "the.key"))
        authority.found("Test Authority")
        authority.issue("web", HERE)
        authority.renew(["web"])
    finally:
        os.umask(former)
    for path in (tmp_path / "home" / "certs").rglob("*"):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    sealed = (tmp_path / "home" / "certs" / "ca.key").read_bytes()
    assert b"PRIVATE" not in sealed
    assert authority._signer().key.private_numbers().private_value.to_bytes(32, "big") not in sealed


def test_a_leafs_key_can_be_encrypted(authority: Authority, monkeypatch: pytest.MonkeyPatch):
    """And is again when it is renewed: what stands in the folder is where the passphrase is, not the passphrase."""
    monkeypatch.setenv("WEB_PASSPHRASE", "canary-passphrase")
    web = authority.issue("web", Wish(HERE.hosts, passphrase="env:WEB_PASSPHRASE"))
    authority.renew(["web"])
    assert "ENCRYPTED PRIVATE KEY" in web.key.read_text()
    with pytest.raises(CertificateUnusable, match="encrypted, and no passphrase"):
        server_context(web.cert, web.key)
    with serving(server_context(web.cert, web.key, passphrase="env:WEB_PASSPHRASE")) as port:
        said(port, TLS(ca=authority.folder.ca))
    for path in authority.folder.path.rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes()


# ------------------------------------------------------------------------------------------------------ renewal


def test_a_renewed_certificate_is_shown_without_a_restart(authority: Authority):
    """The server goes on, the connection that there is goes on, and the next client is shown the new certificate."""
    web = authority.issue("web", HERE)
    context = server_context(web.cert, web.key)
    client = TLS(ca=authority.folder.ca)
    with serving(context) as port:
        before = said(port, client)
        (renewed,) = authority.renew(["web"])
        after = said(port, client)
    assert f"{x509.load_der_x509_certificate(before).serial_number:x}" == web.serial
    assert f"{x509.load_der_x509_certificate(after).serial_number:x}" == renewed.serial != web.serial
    assert (renewed.cert, renewed.key, renewed.hosts) == (web.cert, web.key, web.hosts)


def test_a_client_shows_its_renewed_certificate_without_a_restart(authority: Authority):
    """The former one is revoked meanwhile, so only the new one lets it in: both sides read their files anew."""
    web, etl = authority.issue("web", HERE), authority.issue("etl", Wish(["etl"], ["client"]))
    ca, crl = authority.folder.ca, authority.folder.crl
    client = TLS(ca=ca, cert=etl.cert, key=etl.key)
    with serving(server_context(web.cert, web.key, clients=TLS(ca=ca, crl=crl))) as port:
        said(port, client)
        authority.revoke("etl")
        authority.issue("etl", Wish(["etl"], ["client"]))
        said(port, client)
        former = authority.folder.versions("etl")
        assert len(former) == 2


def test_a_client_whose_certificate_is_revoked_is_shut_out(authority: Authority, tmp_path: Path):
    """By a server that was running all the time: the list that it was started with is not the one it goes by."""
    web, etl = authority.issue("web", HERE), authority.issue("etl", Wish(["etl"], ["client"]))
    kept = tmp_path / "kept.pem"
    kept.touch(0o600)
    kept.write_bytes(etl.cert.read_bytes() + etl.key.read_bytes())
    ca, crl = authority.folder.ca, authority.folder.crl
    with serving(server_context(web.cert, web.key, clients=TLS(ca=ca, crl=crl))) as port:
        said(port, TLS(ca=ca, cert=kept))
        authority.revoke("etl")
        with pytest.raises(ClientCertificateRefused, match="it was revoked"):
            said(port, TLS(ca=ca, cert=kept))


def test_only_what_is_due_is_renewed(authority: Authority, clock: Clock):
    """When a third of its time is left; the revocation list is published anew each time."""
    web = authority.issue("web", HERE)
    clock.now = web.renew_at - timedelta(seconds=1)
    late = authority.issue("late", HERE)
    assert authority.renew() == []
    clock.now = web.renew_at
    assert [each.name for each in authority.renew()] == ["web"]
    assert authority.issued("late").serial == late.serial
    assert authority.revocations.next_update_utc == clock.now + timedelta(days=30)
    assert authority.revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3


def test_a_key_that_is_pinned_can_be_kept(authority: Authority):
    """Otherwise each renewal brings a new one."""
    web = authority.issue("web", HERE)
    first = read(web.cert).public_key()
    authority.renew(["web"], keep_key=True)
    assert read(web.cert).public_key() == first
    authority.renew(["web"])
    assert read(web.cert).public_key() != first


def test_a_server_goes_on_with_what_it_has(authority: Authority):
    """A renewed certificate that cannot be used does not take the server down; the next good one is shown."""
    web = authority.issue("web", HERE)
    client = TLS(ca=authority.folder.ca)
    with serving(server_context(web.cert, web.key)) as port:
        before = said(port, client)
        whole = web.cert.read_bytes()
        for broken in (b"", whole[:100], b"no certificate"):
            web.cert.write_bytes(broken)
            assert said(port, client) == before
        web.cert.unlink()
        assert said(port, client) == before
        renewed = authority.issue("web", HERE, replace=True)
        assert f"{x509.load_der_x509_certificate(said(port, client)).serial_number:x}" == renewed.serial


def test_a_damaged_leaf_does_not_keep_the_others_from_being_renewed(authority: Authority, clock: Clock):
    """It is told when they are done, with how it is made anew."""
    bad, web = authority.issue("bad", HERE), authority.issue("web", HERE)
    bad.cert.write_text("damaged")
    clock.now = web.renew_at
    with pytest.raises(CertificateUnusable, match="holds no certificate") as caught:
        authority.renew()
    assert caught.value.hint == "rowkeeper certs issue bad --replace makes it anew"
    assert authority.issued("web").serial != web.serial


@pytest.mark.parametrize("point", ["certificates.before_switch", "private_file.before_link"])
def test_a_renewal_that_dies_leaves_what_was(point: str, authority: Authority):
    """Certificate and key are still those that belong together, and the next renewal goes through."""
    web = authority.issue("web", HERE)
    for nth in range(1, 4 if "link" in point else 2):
        arm(f"{point}=raise@{nth}")
        try:
            with pytest.raises(StateError, match="cannot be written"):
                authority.renew(["web"])
        finally:
            arm("")
        assert authority.issued("web").serial == web.serial
        server_context(web.cert, web.key)
    assert authority.renew(["web"])[0].serial != web.serial
    assert authority.revoke("web")


def test_a_renewal_of_several_is_all_known_or_none(authority: Authority):
    """A name that is not there is told before another is renewed."""
    web = authority.issue("web", HERE)
    with pytest.raises(AuthorityError, match="no certificate of the name wbe"):
        authority.renew(["web", "wbe"])
    assert authority.issued("web").serial == web.serial


def test_one_process_at_a_time_changes_it(authority: Authority):
    """Another is told so at once, and reading goes on."""
    web = authority.issue("web", HERE)
    other = Authority(CertificateFolder(authority.folder.path), authority._seal)
    with authority.folder.alone():
        for act in (lambda: other.issue("x", HERE), lambda: other.renew(["web"]), lambda: other.revoke("web")):
            with pytest.raises(AuthorityError, match="another process is at the certificates"):
                act()
        assert other.issued("web") == web
    assert other.renew(["web"])


# --------------------------------------------------------------------------------------------------- revocation


def test_what_it_revoked_is_refused(authority: Authority):
    """All certificates of the name that have not run out, the renewed ones too; others stay good."""
    web, other = authority.issue("web", HERE), authority.issue("other", HERE)
    first = server_context(web.cert, web.key)  # shows the first certificate, wherever its files go
    first.sni_callback = None
    authority.renew(["web"])
    second = server_context(web.cert, web.key)
    second.sni_callback = None
    client = TLS(ca=authority.folder.ca, crl=authority.folder.crl)
    assert len(authority.revoke("web")) == 2
    for context in (first, second):
        with serving(context) as port, pytest.raises(CertificateRefused, match="was revoked"):
            said(port, client)
    with serving(server_context(other.cert, other.key)) as port:
        said(port, client)
    assert authority.folder.names() == ["other"]
    assert not web.key.exists()
    with pytest.raises(AuthorityError, match="no certificate of the name web"):
        authority.renew(["web"])


def test_what_was_revoked_stays_on_the_list(authority: Authority):
    """Through later revocations and renewals."""
    authority.issue("one", HERE)
    authority.issue("two", HERE)
    serials = authority.revoke("one") + authority.revoke("two")
    authority.renew()
    authority.revoke("one")
    assert sorted(f"{each.serial_number:x}" for each in authority.revocations) == sorted(serials)


# -------------------------------------------------------------------------------------------- name constraints


def bounded(tmp_path: Path, *permitted: str) -> Authority:
    made = Authority.of(open_state_folder(tmp_path / "bounded", tmp_path / "bounded.key"))
    made.found("Bounded Authority", permitted=permitted)
    return made


@pytest.mark.parametrize(
    ("permitted", "may", "may_not"),
    [
        (["localhost"], ["localhost", "db.localhost"], ["example.com", "127.0.0.1", "notlocalhost"]),
        (["127.0.0.0/8"], ["127.0.0.1"], ["localhost", "192.0.2.1", "::1"]),
    ],
)
def test_an_authority_can_be_bounded(permitted: list[str], may: list[str], may_not: list[str], tmp_path: Path):
    """It does not issue for other names; and a kind of name that is not mentioned is shut out."""
    authority = bounded(tmp_path, *permitted)
    for number, host in enumerate(may):
        leaf = authority.issue(f"may-{number}", Wish([host]))
        if host in HERE.hosts:
            with serving(server_context(leaf.cert, leaf.key)) as port:
                said(port, TLS(ca=authority.folder.ca), host=host)
    for host in may_not:
        with pytest.raises(DeclarationError, match="may not issue for"):
            authority.issue("may-not", Wish([host]))


@pytest.mark.parametrize("permitted", ["inside.example", "10.0.0.0/8"])
def test_clients_hold_a_bounded_authority_to_it(permitted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever steals its key cannot issue for other hosts: clients refuse it, by name and by address."""
    authority = bounded(tmp_path, permitted)
    monkeypatch.setattr("rowkeeper.security.tls.authority.signing.permits", lambda *_: True)
    for host in HERE.hosts:
        leaf = authority.issue("forged", Wish([host]), replace=True)
        with (
            serving(server_context(leaf.cert, leaf.key)) as port,
            pytest.raises(CertificateRefused, match="may not issue"),
        ):
            said(port, TLS(ca=authority.folder.ca), host=host)


# -------------------------------------------------------------------------------------------------- bad input


def test_an_authority_is_made_once(authority: Authority):
    """Another of the same name would not be trusted by those who trust this one."""
    before = authority.folder.ca.read_bytes()
    with pytest.raises(AuthorityError, match="there is an authority already"):
        authority.found("Another")
    assert authority.folder.ca.read_bytes() == before


def test_without_an_authority_nothing_is_issued(tmp_path: Path):
    """The error says how one is made."""
    authority = Authority.of(open_state_folder(tmp_path / "home", tmp_path / "the.key"))
    for act in (lambda: authority.issue("web", HERE), authority.renew, lambda: authority.revoke("web")):
        with pytest.raises(AuthorityError, match="there is no authority") as caught:
            act()
        assert "certs init" in caught.value.hint


def test_a_flipped_bit_in_its_key_is_told(authority: Authority):
    """The seal is broken, nothing is issued, and nothing half-written is left."""
    path = authority.folder.path / "ca.key"
    sealed = bytearray(path.read_bytes())
    sealed[-1] ^= 1
    path.write_bytes(sealed)
    before = sorted(authority.folder.path.rglob("*"))
    with pytest.raises(AuthorityError, match="key cannot be opened"):
        authority.issue("web", HERE)
    assert [each for each in sorted(authority.folder.path.rglob("*")) if each.name != "lock"] == [
        each for each in before if each.name != "lock"
    ]


@pytest.mark.parametrize("name", ["../../etc/web", "ca.pem", "", ".hidden", "Web", "a/b", "a\0b", "lock"])
def test_a_name_is_no_path(name: str, authority: Authority):
    """It names a folder of the authority's own, and no other."""
    with pytest.raises(DeclarationError, match="cannot be the name"):
        authority.issue(name, HERE)


@pytest.mark.parametrize("host", ["", "a b", "http://db.example", "db.example:5432", "x" * 300, "a..b"])
def test_a_host_is_a_host(host: str, authority: Authority):
    """Neither a URL nor a port."""
    with pytest.raises(DeclarationError, match="neither a host's name nor an address"):
        authority.issue("web", Wish([host]))


def test_a_lost_revocation_list_is_not_made_up(authority: Authority):
    """An empty new one would take back what was revoked."""
    authority.issue("web", HERE)
    authority.folder.crl.unlink()
    for act in (authority.renew, lambda: authority.revoke("web")):
        with pytest.raises(AuthorityError, match="gone or damaged"):
            act()


# ------------------------------------------------------------------------------------------------------- expiry


def test_what_runs_out_is_known_before(authority: Authority, clock: Clock, tmp_path: Path):
    """The authority, its list, its leaves and what the settings name, each with a time and a mend; once each."""
    web = authority.issue("web", HERE)
    settings = Settings(home=tmp_path / "home", tls_ca=authority.folder.ca, tls_cert=web.cert, tls_key=web.key)
    known = {each.what: each for each in expiries(authority, settings)}
    assert set(known) == {"the private authority", "its revocation list", "the certificate web"}
    assert known["the certificate web"].at == web.not_after
    assert known["the certificate web"].soon == web.renew_at
    assert known["its revocation list"].at == clock.now + timedelta(days=30)
    assert all(each.mend for each in known.values())
    web.cert.write_text("damaged")
    broken = {each.what: each for each in expiries(authority, settings)}["the certificate web"]
    assert "holds no certificate" in broken.fault
