"""Servers that are not to be trusted: real ones, one fault each, one clear error each."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Use

from rowkeeper.errors import (
    CertificateRefused,
    ClientCertificateRefused,
    PinMismatch,
    ProtocolRefused,
    TLSError,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.security.tls import TLS, client_context
from rowkeeper.security.tls.peers import pin_of
from tests.security.tls import workshop
from tests.security.tls.servers import careless, listening, said, serving
from tests.security.tls.workshop import Made


def refused(port: int, tls: TLS | None, **names: str) -> TLSError:
    """The error with which our client turns away; it names the host and the next step, and is not tried again."""
    with pytest.raises(TLSError) as caught:
        said(port, tls, **names)
    error = caught.value
    assert names.get("host", "127.0.0.1") in error.what
    assert error.hint
    for effect in Effect:
        assert DEFAULT.judge(error, effect).outcome is Outcome.PERMANENT
        if error.__cause__ is not None:  # what a driver would have raised
            assert DEFAULT.judge(error.__cause__, effect).outcome is Outcome.PERMANENT
    return error


def trusting(made: Made, folder: Path, **more: Any) -> TLS:
    return TLS(ca=made.write(folder, "ca")[0], **more)


def test_a_good_server_is_taken(tmp_path: Path):
    """By name and by address; what the others lack is not lacking by the tests' own doing."""
    root = workshop.authority()
    with serving(careless(root.leaf(), tmp_path)) as port:
        for host in workshop.HERE:
            said(port, trusting(root, tmp_path), host=host)


# ----------------------------------------------------------------------------- what is wrong with a certificate


def truncated(root: Made) -> Made:
    """Issued by an intermediate authority that the server does not send."""
    return workshop.authority("Intermediate", issuer=root).leaf()


def by_a_leaf(root: Made) -> Made:
    """Issued with a server's certificate, which is no authority's."""
    other = root.leaf("other.example")
    return other.leaf(sends=[other.certificate])


def too_deep(root: Made) -> Made:
    """Issued below an authority that may have none below it."""
    first = workshop.authority("First", issuer=root, path_length=0)
    second = workshop.authority("Second", issuer=first)
    return second.leaf(sends=[second.certificate, first.certificate])


def small_curve() -> Any:
    return ec.generate_private_key(ec.SECP192R1())


def of_a_weak_authority(root: Made, key: Any = None) -> Made:
    weak = workshop.authority("Weak", issuer=root, key=key or workshop.weak_rsa())
    return weak.leaf(sends=[weak.certificate])


def outside(root: Made) -> Made:
    """Issued for a name that the authority may not issue for."""
    bounded = workshop.authority("Bounded", issuer=root, permitted=["inside.example"])
    return bounded.leaf("127.0.0.1", "localhost", sends=[bounded.certificate])


def malformed(root: Made) -> Made:
    bad = workshop.authority("Without key usage", issuer=root, key_usage=False)
    return bad.leaf(sends=[bad.certificate])


def sha1(root: Made) -> Made:
    """Signed with SHA-1 by an intermediate authority."""
    old = workshop.authority("Old", issuer=root, key=rsa.generate_private_key(65537, 2048))
    leaf = workshop.signed_weakly(old.leaf(), old, hashes.SHA1())
    return Made(leaf.certificate, leaf.key, (old.certificate,))


def md5(root: Made) -> Made:
    """The same with MD5."""
    old = workshop.authority("Old", issuer=root, key=rsa.generate_private_key(65537, 2048))
    leaf = workshop.signed_weakly(old.leaf(), old, hashes.MD5())
    return Made(leaf.certificate, leaf.key, (old.certificate,))


FAULTS: dict[str, tuple[Callable[[Made], Made], str, str]] = {
    "expired": (lambda root: root.leaf(begins=-90, ends=-1), "expired", "renew it"),
    "not yet valid": (lambda root: root.leaf(begins=1, ends=30), "not valid yet", "set the clock right"),
    "another host's name": (lambda root: root.leaf("other.example"), "is for other addresses", "prints them"),
    "another address": (lambda root: root.leaf("192.0.2.1"), "is for other addresses", "issue it for this one too"),
    "self-signed": (lambda root: workshop.make(*workshop.HERE), "signed by itself", "let an authority issue it"),
    "unknown authority": (
        lambda root: workshop.authority("Other").leaf(),
        "leads to no authority that",
        "ROWKEEPER_TLS_CA",
    ),
    "unknown authority, sent along": (
        lambda root: (other := workshop.authority("Other")).leaf(sends=[other.certificate]),
        "an authority that is not trusted",
        "ROWKEEPER_TLS_CA",
    ),
    "truncated chain": (truncated, "leaves out an intermediate certificate", "send its whole chain"),
    "RSA of 1024 bits": (lambda root: root.leaf(key=workshop.weak_rsa()), "a key that is too weak", "2048 bits"),
    "authority on a small curve": (
        lambda root: of_a_weak_authority(root, small_curve()),
        "issued by an authority whose key is too weak",
        "EC P-256",
    ),
    "weak authority": (of_a_weak_authority, "issued by an authority whose key is too weak", "2048 bits"),
    "signed with SHA-1": (sha1, "can be forged (SHA-1 or MD5)", "SHA-256"),
    "signed with MD5": (md5, "can be forged (SHA-1 or MD5)", "SHA-256"),
    "for clients only": (lambda root: root.leaf(uses=[Use.CLIENT_AUTH]), "not made for servers", "without --client"),
    "issued with a server's certificate": (by_a_leaf, "no authority's", "proper authority"),
    "issued below an end": (too_deep, "no authority's, or that may not issue it", "proper authority"),
    "outside the name constraints": (outside, "may not issue for", "name constraints"),
    "malformed authority": (malformed, "not formed as RFC 5280 asks", "issue it anew"),
    "changed": (lambda root: root.leaf(forged=True), "a signature that is not its authority's", "it was changed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_certificate_is_refused(fault: str, tmp_path: Path):
    """Each with its own sentence and mend, and for good."""
    make, what, mend = FAULTS[fault]
    root = workshop.authority()
    with serving(careless(make(root), tmp_path)) as port:
        error = refused(port, trusting(root, tmp_path))
    assert type(error) is CertificateRefused
    assert what in error.what
    assert mend in error.hint


def test_another_name_is_refused(tmp_path: Path):
    """The address is right, the name that was asked for is not."""
    root = workshop.authority()
    with serving(careless(root.leaf("127.0.0.1", "other.example"), tmp_path)) as port:
        error = refused(port, trusting(root, tmp_path), host="localhost")
    assert "is for other names" in error.what


def by_urllib3(port: int, context: ssl.SSLContext) -> None:
    urllib3.PoolManager(ssl_context=context, retries=False).request("GET", f"https://127.0.0.1:{port}/")


def by_httpx(port: int, context: ssl.SSLContext) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    httpx.get(f"https://127.0.0.1:{port}/", verify=context, trust_env=False)


@pytest.mark.parametrize("get", [by_urllib3, by_httpx])
def test_what_drivers_make_of_it_is_permanent(get: Callable[[int, ssl.SSLContext], None], tmp_path: Path):
    """Whatever a driver wraps around it, and calls a failed connect, a bad certificate is not tried again."""
    root = workshop.authority()
    with serving(careless(root.leaf(begins=-90, ends=-1), tmp_path)) as port:
        with pytest.raises(Exception, match="certificate") as caught:
            get(port, client_context(trusting(root, tmp_path)))
        assert not isinstance(caught.value, ssl.SSLError)
        for effect in Effect:
            assert DEFAULT.judge(caught.value, effect).outcome is Outcome.PERMANENT


# ------------------------------------------------------------------------------------------------- revocation


def test_a_revoked_server_is_refused(tmp_path: Path):
    """It is on its authority's list; another server of the same authority is not, and is taken."""
    root = workshop.authority()
    bad, good = root.leaf(), root.leaf()
    (tmp_path / "crl.pem").write_bytes(root.crl(bad.certificate))
    tls = trusting(root, tmp_path, crl=tmp_path / "crl.pem")
    with serving(careless(bad, tmp_path)) as port:
        error = refused(port, tls)
    assert type(error) is CertificateRefused
    assert "was revoked by its authority" in error.what
    with serving(careless(good, tmp_path, "good")) as port:
        said(port, tls)


def test_a_revoked_authority_is_refused(tmp_path: Path):
    """The intermediate authority is on the root's list: what it issued falls with it."""
    root = workshop.authority()
    middle = workshop.authority("Intermediate", issuer=root)
    (tmp_path / "crl.pem").write_bytes(root.crl(middle.certificate) + middle.crl())
    with serving(careless(middle.leaf(sends=[middle.certificate]), tmp_path)) as port:
        error = refused(port, trusting(root, tmp_path, crl=tmp_path / "crl.pem"))
    assert "was revoked by its authority" in error.what


LISTS: dict[str, tuple[Callable[[Made], bytes], str, str]] = {
    "another authority's": (
        lambda root: workshop.authority("Other").crl(),
        "has no revocation list",
        "every authority",
    ),
    "out of date": (lambda root: root.crl(begins=-30, ends=-1), "is out of date", "certs renew"),
    "of tomorrow": (lambda root: root.crl(begins=1, ends=30), "is not valid yet", "clock"),
}


@pytest.mark.parametrize("which", LISTS)
def test_what_cannot_be_looked_up_is_refused(which: str, tmp_path: Path):
    """A list that is lacking or stale closes the door rather than leave it open."""
    make, what, mend = LISTS[which]
    root = workshop.authority()
    (tmp_path / "crl.pem").write_bytes(make(root))
    with serving(careless(root.leaf(), tmp_path)) as port:
        error = refused(port, trusting(root, tmp_path, crl=tmp_path / "crl.pem"))
    assert type(error) is CertificateRefused
    assert what in error.what
    assert str(tmp_path / "crl.pem") in error.what
    assert mend in error.hint


# ------------------------------------------------------------------------------------------------------- pins


def test_only_a_pinned_key_is_taken(tmp_path: Path):
    """The key counts, not the certificate: a renewed one with the same key passes, one with a new key does not."""
    root = workshop.authority()
    first = root.leaf()
    pin = pin_of(first.certificate.public_bytes(workshop.Encoding.DER))
    spare = "sha256/" + "A" * 43 + "="
    tls = trusting(root, tmp_path, pins=[spare, pin])
    for made in (first, root.leaf(key=first.key)):
        with serving(careless(made, tmp_path)) as port:
            said(port, tls)
    other = root.leaf()
    with serving(careless(other, tmp_path)) as port:
        error = refused(port, tls)
    assert type(error) is PinMismatch
    assert pin_of(other.certificate.public_bytes(workshop.Encoding.DER)) in error.hint


def test_a_pin_does_not_replace_the_other_checks(tmp_path: Path):
    """The right key in a certificate that nobody trusts is refused."""
    made = workshop.make(*workshop.HERE)
    pin = pin_of(made.certificate.public_bytes(workshop.Encoding.DER))
    with serving(careless(made, tmp_path)) as port:
        assert type(refused(port, TLS(pins=[pin]))) is CertificateRefused


# --------------------------------------------------------------------------------------- versions and ciphers


def old(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


def without_forward_secrecy(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")


@pytest.mark.parametrize(
    ("weaken", "what"),
    [(old, "no TLS that is safe: 1.1 or older"), (without_forward_secrecy, "no cipher or curve in common")],
)
def test_an_old_server_is_refused(weaken: Callable[[ssl.SSLContext], None], what: str, tmp_path: Path):
    """TLS 1.1, and ciphers without forward secrecy, are not spoken, although the certificate is good."""
    root = workshop.authority()
    context = careless(root.leaf(key=rsa.generate_private_key(65537, 2048)), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        weaken(context)
    with serving(context) as port:
        error = refused(port, trusting(root, tmp_path))
    assert type(error) is ProtocolRefused
    assert what in error.what


def test_a_server_with_a_key_on_a_small_curve_is_refused(tmp_path: Path):
    """We do not offer the curve, so the handshake ends before the certificate is shown."""
    root = workshop.authority()
    with serving(careless(root.leaf(key=small_curve()), tmp_path)) as port:
        error = refused(port, trusting(root, tmp_path))
    assert type(error) is ProtocolRefused
    assert "no cipher or curve in common" in error.what


def test_a_server_without_tls_is_told_as_such():
    """Plain HTTP, where TLS was expected."""

    def answer(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        client.recv(1)

    with listening(answer) as port:
        error = refused(port, None)
    assert type(error) is ProtocolRefused
    assert "does not speak TLS" in error.what


# ----------------------------------------------------------------------------------------- client certificates


def demanding(root: Made, folder: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = careless(root.leaf(), folder)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(root.write(folder, "clients")[0])
    context.maximum_version = version
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_is_shown(version: ssl.TLSVersion, tmp_path: Path):
    """Its key is encrypted, and the passphrase comes from a reference."""
    root = workshop.authority()
    cert, key = root.leaf("client", uses=[Use.CLIENT_AUTH]).write(tmp_path, "client", "open sesame")
    (tmp_path / "passphrase").touch(0o600)
    (tmp_path / "passphrase").write_text("open sesame\n")
    tls = trusting(root, tmp_path, cert=cert, key=key, passphrase=f"file:{tmp_path / 'passphrase'}")
    with serving(demanding(root, tmp_path, version)) as port:
        said(port, tls)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_client_certificate_is_told(version: ssl.TLSVersion, tmp_path: Path):
    """In TLS 1.3 the server says so after the handshake, where a client hears it when it reads."""
    root = workshop.authority()
    with serving(demanding(root, tmp_path, version)) as port:
        error = refused(port, trusting(root, tmp_path))
    assert "client certificate" in error.what
    assert "cert=" in error.hint


CLIENTS: dict[str, tuple[Callable[[Made], Made], str]] = {
    "another authority's": (
        lambda root: workshop.authority("Other").leaf("c", uses=[Use.CLIENT_AUTH]),
        "not trusted there",
    ),
    "for servers": (lambda root: root.leaf("c"), "not made for clients"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("which", CLIENTS)
def test_a_wrong_client_certificate_is_told(which: str, version: ssl.TLSVersion, tmp_path: Path):
    """With what the server says of it."""
    make, what = CLIENTS[which]
    root = workshop.authority()
    cert, key = make(root).write(tmp_path, "client")
    with serving(demanding(root, tmp_path, version)) as port:
        error = refused(port, trusting(root, tmp_path, cert=cert, key=key))
    assert type(error) is ClientCertificateRefused
    assert what in error.what
