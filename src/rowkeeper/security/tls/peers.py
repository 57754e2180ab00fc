"""The handshake with a server, and what `ssl` cannot check by itself: pins."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
from collections.abc import Iterator

from rowkeeper.errors import PinMismatch, TLSError
from rowkeeper.security.tls.contexts import client_context
from rowkeeper.security.tls.declaring import TLS
from rowkeeper.security.tls.explaining import explained


def secure(sock: socket.socket, host: str, tls: TLS | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLSocket:
    """Makes the handshake on a connected socket, which it takes over: on an error it is closed.

    Args:
        host: the name, or the address, that the server's certificate must be for.
        alpn: the protocols that are spoken over it, the preferred one first.

    Raises TLSError, and OSError for a connection that ends in the middle.
    """
    try:
        wrapped = client_context(tls, alpn).wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        with telling(host, tls):
            wrapped.do_handshake()
        verify_peer(wrapped, tls, host)
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def verify_peer(connection: ssl.SSLSocket | ssl.SSLObject, tls: TLS | None, host: str) -> None:
    """Checks pins, after the handshake and before anything is sent.

    Raises PinMismatch if pins were declared and the server's own key is none of them.
    """
    if tls is None or not tls.pins:
        return
    certificate = connection.getpeercert(binary_form=True)
    shown = "" if certificate is None else pin_of(certificate)
    if not any(hmac.compare_digest(shown, pin) for pin in tls.pins):
        raise PinMismatch(
            f"the key of {host} is none of those that are pinned",
            hint=f"if it was changed on purpose, add the new pin: {shown}; otherwise somebody is between you and it",
            context={"host": host},
        )


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate's key: SHA-256 of its SubjectPublicKeyInfo (RFC 7469, 2.4). Takes DER."""
    from cryptography import x509  # noqa: PLC0415 - only where pins are declared

    from rowkeeper.security.tls.material import spki  # noqa: PLC0415

    digest = hashlib.sha256(spki(x509.load_der_x509_certificate(certificate).public_key())).digest()
    return f"sha256/{base64.b64encode(digest).decode()}"


@contextlib.contextmanager
def telling(host: str, tls: TLS | None = None) -> Iterator[None]:
    """Puts what `ssl` raises in the block in our words. Raises TLSError; other errors go on as they are."""
    try:
        yield
    except TLSError:
        raise
    except ssl.SSLError as error:
        told = explained(error, host, tls)
        if told is None:
            raise
        raise told from error
