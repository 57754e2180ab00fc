"""What contexts offer and take, asked of themselves and tried from the other side."""

from __future__ import annotations

import os
import ssl
import threading
import warnings
from pathlib import Path

import pytest

from rowkeeper.security.statefolder import open_state_folder
from rowkeeper.security.tls import TLS, client_context, server_context
from rowkeeper.security.tls.authority import Authority, Wish
from tests.security.tls import workshop
from tests.security.tls.servers import said, serving
from tests.security.tls.workshop import Made


@pytest.fixture(scope="module")
def root() -> Made:
    return workshop.authority()


def server(root: Made, folder: Path) -> ssl.SSLContext:
    return server_context(*root.leaf().write(folder, "web"))


def test_every_cipher_has_forward_secrecy_and_is_authenticated(root: Made, tmp_path: Path):
    """On both sides, TLS 1.2 or later, level 2, names and certificates checked, nothing compressed or renegotiated."""
    client = client_context()
    for context in (client, server(root, tmp_path)):
        for each in context.get_ciphers():
            assert each["protocol"] == "TLSv1.3" or each["name"].startswith("ECDHE-"), each
            assert each["aead"], each
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.security_level >= 2
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
    assert client.check_hostname
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.verify_flags & ssl.VERIFY_X509_STRICT


def test_no_secret_is_logged_for_debuggers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """SSLKEYLOGFILE, which would write session keys to a file, is not heeded."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert client_context(TLS(pins=["00" * 32])).keylog_filename is None
    assert os.listdir(tmp_path) == []


def test_a_servers_key_exchange_is_p256(root: Made, tmp_path: Path):
    """A client that has no other curve gets through; one that has only another does not."""
    with serving(server(root, tmp_path)) as port:
        for curve, passes in (("prime256v1", True), ("secp521r1", False)):
            client = ssl.create_default_context(cadata=root.pem.decode())
            client.set_ecdh_curve(curve)
            assert got_through(client, port) is passes


@pytest.mark.parametrize("how", ["TLS 1.1", "no forward secrecy", "no authenticated encryption"])
def test_an_old_client_is_turned_away(how: str, root: Made, tmp_path: Path):
    """By a server of ours, although the client itself is content."""
    client = ssl.create_default_context(cadata=root.pem.decode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if how == "TLS 1.1":
            client.set_ciphers("ALL:@SECLEVEL=0")
            client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
        else:
            client.maximum_version = ssl.TLSVersion.TLSv1_2
            client.set_ciphers("AES128-GCM-SHA256" if "secrecy" in how else "ECDHE-ECDSA-AES128-SHA")
    with serving(server(root, tmp_path)) as port:
        assert not got_through(client, port)


def got_through(client: ssl.SSLContext, port: int) -> bool:
    import socket

    try:
        with client.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="127.0.0.1"):
            return True
    except ssl.SSLError:
        return False


def test_renewals_in_the_middle_of_handshakes_harm_nobody(tmp_path: Path):
    """Four clients connect again and again while the certificate is renewed: every handshake is one or the other."""
    authority = Authority.of(open_state_folder(tmp_path / "home", tmp_path / "the.key"))
    authority.found("Test Authority")
    web = authority.issue("web", Wish(["127.0.0.1"]))
    client = TLS(ca=authority.folder.ca, crl=authority.folder.crl)
    failed: list[BaseException] = []
    shown: set[bytes] = set()
    over = threading.Event()

    def connect(port: int) -> None:
        try:
            while not over.is_set():
                shown.add(said(port, client))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            failed.append(error)

    with serving(server_context(web.cert, web.key)) as port:
        clients = [threading.Thread(target=connect, args=(port,)) for _ in range(4)]
        for each in clients:
            each.start()
        try:
            for _ in range(10):
                authority.renew(["web"])
                shown.add(said(port, client))
        finally:
            over.set()
            for each in clients:
                each.join()
    assert failed == []
    assert len(shown) >= 10
