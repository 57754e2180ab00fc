"""Contexts: TLS 1.2 or later, forward secrecy and authenticated encryption only, nothing weaker than 112 bits.

`client_context` is asked anew for each connection. It gives the context that it gave before, until a file that the
context was made from has changed: so a renewed certificate, a new authority or a new revocation list is used by the
next connection, without a restart. `server_context` does the same by itself, within each handshake.
"""

from __future__ import annotations

import functools
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from rowkeeper.errors import CertificateUnusable, SecurityError
from rowkeeper.logs import logger
from rowkeeper.security.tls.declaring import TLS

# ECDHE for forward secrecy, AEAD against changes; TLS 1.3 has nothing else. Level 2 refuses RSA keys below 2048 bits,
# curves below 224 bits, and signatures with SHA-1 or MD5, in every certificate of a chain.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
# What Python 3.13 checks by default: certificates that are formed as RFC 5280 asks; and a trusted certificate that is
# no root is trusted all the same, so that `ca` can name an intermediate authority, or one server's own certificate.
STRICT = ssl.VERIFY_X509_STRICT | ssl.VerifyFlags(0x80000)  # X509_V_FLAG_PARTIAL_CHAIN
SERVER_CURVE = "prime256v1"  # `ssl` can set no more than one before Python 3.15; every client has this one
DEFAULT = TLS()
KEPT_MAX = 64
Stamps = tuple[tuple[int, int, int], ...]
Protocols = tuple[str, ...]

log = logger("network")
_lock = threading.Lock()
_made: dict[tuple[TLS, Protocols], tuple[Stamps, ssl.SSLContext]] = {}


def client_context(tls: TLS | None = None, alpn: Protocols = ()) -> ssl.SSLContext:
    """The context for the next connection to a place of which this was declared.

    It checks everything but pins: call `verify_peer` after the handshake, or let `secure` make it.

    Args:
        alpn: the protocols that are spoken over it, the preferred one first, such as `h2`.

    Raises CertificateUnusable if a file cannot be used.
    """
    tls = tls or DEFAULT
    with _lock:
        found = _made.get((tls, alpn))
    if found is None or found[0] != _stamps(tls.files):
        made = functools.partial(_client, tls, alpn)  # may ask for a passphrase: not within the lock
        found = _coherent(tls.files, made)
        with _lock:
            if len(_made) >= KEPT_MAX:
                _made.clear()
            _made[tls, alpn] = found
    return found[1]


def _coherent(files: tuple[Path, ...], make: Callable[[], ssl.SSLContext]) -> tuple[Stamps, ssl.SSLContext]:
    """A context whose files were not replaced while they were read one after the other.

    Raises CertificateUnusable if they cannot be used, and were not being replaced.
    """
    while True:
        stamps = _stamps(files)
        try:
            context = make()
        except CertificateUnusable:
            if stamps == _stamps(files):
                raise
        else:
            if stamps == _stamps(files):
                return stamps, context


def store_file() -> Path | None:
    """This machine's store of authorities as one file, if it has one: for OpenSSLs of other libraries.

    Those that wheels bring along look for theirs where they were built, which is on nobody's disk.
    """
    found = ssl.get_default_verify_paths().cafile
    return Path(found) if found else None


def server_context(
    cert: Path, key: Path, *, passphrase: str | None = None, clients: TLS | None = None, demanded: bool = True
) -> ssl.SSLContext:
    """A context for a server, which shows a renewed certificate to the next client, without a restart.

    A renewed one that cannot be used (half written, of another key) is logged, and the former one goes on.

    Args:
        passphrase: a reference to the key's.
        clients: its `ca` and `crl` say which client certificates are taken.
        demanded: each client must show one then; otherwise one that shows none is let in as well.

    Raises CertificateUnusable if a file cannot be used at the beginning.
    """
    files = (cert, key, *(clients.files if clients else ()))
    make = functools.partial(_server, cert, key, passphrase, clients, demanded)
    stamps, first = _coherent(files, make)
    current = _Current(files, stamps, first, make)

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Asked in every handshake, whether or not the client names a host."""
        connection.context = current.context()

    first.sni_callback = choose
    return first


class _Current:
    """The context of the files as they are now."""

    def __init__(
        self, files: tuple[Path, ...], stamps: Stamps, first: ssl.SSLContext, make: Callable[[], ssl.SSLContext]
    ) -> None:
        self._files = files
        self._make = make
        self._stamps: Stamps | None = stamps
        self._refused: Stamps | None = stamps
        self._context = first
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        with self._lock:
            stamps = _stamps_or_none(self._files)
            if stamps not in (self._stamps, self._refused):
                self._renew(stamps)
            return self._context

    def _renew(self, stamps: Stamps | None) -> None:
        try:
            self._stamps, self._context = _coherent(self._files, self._make)
        except SecurityError as error:  # its passphrase is gone, too
            self._refused = stamps  # told once; what is being written changes once more, and is looked at again
            log.warning("a renewed certificate cannot be used", what=error.what, code=error.code)
        else:
            log.info("certificate renewed", file=str(self._files[0]))


def _stamps(files: tuple[Path, ...]) -> Stamps:
    """What changes when a file is written or replaced. Raises CertificateUnusable, naming the one that is not there."""
    stamps = []
    for path in files:
        try:
            found = path.stat()
        except OSError as error:
            raise CertificateUnusable(
                f"{path} cannot be read: {error.strerror}", hint="put it there, or name the file that it is in"
            ) from error
        stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(stamps)


def _stamps_or_none(files: tuple[Path, ...]) -> Stamps | None:
    try:
        return _stamps(files)
    except CertificateUnusable:  # gone: told once, like one that cannot be used
        return None


def _client(tls: TLS, alpn: Protocols) -> ssl.SSLContext:
    context = _modern(ssl.PROTOCOL_TLS_CLIENT)  # checks the host's name, and demands a certificate
    if alpn:
        context.set_alpn_protocols(list(alpn))
    context.verify_flags |= STRICT
    if tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, Path(tls.ca))
    if tls.crl is not None:
        _look_up(context, Path(tls.crl))
    if tls.cert is not None:
        _show(context, Path(tls.cert), None if tls.key is None else Path(tls.key), tls.passphrase)
    return context


def _server(cert: Path, key: Path, passphrase: str | None, clients: TLS | None, demanded: bool) -> ssl.SSLContext:
    context = _modern(ssl.PROTOCOL_TLS_SERVER)
    context.set_ecdh_curve(SERVER_CURVE)
    _show(context, cert, key, passphrase)
    if clients is not None:
        if clients.ca is None:
            raise CertificateUnusable(
                "client certificates are asked for, and no authority is named whose are taken",
                hint="give TLS(ca=...): the public authorities would let anybody in",
            )
        context.verify_flags |= STRICT
        context.verify_mode = ssl.CERT_REQUIRED if demanded else ssl.CERT_OPTIONAL
        _trust(context, Path(clients.ca))
        if clients.crl is not None:
            _look_up(context, Path(clients.crl))
    return context


def _modern(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    from rowkeeper.security.tls.material import check_authorities  # noqa: PLC0415 - `cryptography`, if there are files

    check_authorities(ca)
    _loaded(functools.partial(context.load_verify_locations, ca), ca)


def _look_up(context: ssl.SSLContext, crl: Path) -> None:
    from rowkeeper.security.tls.material import check_lists  # noqa: PLC0415

    check_lists(crl)
    _loaded(functools.partial(context.load_verify_locations, crl), crl)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _show(context: ssl.SSLContext, cert: Path, key: Path | None, passphrase: str | None) -> None:
    from rowkeeper.security.references import resolve  # noqa: PLC0415
    from rowkeeper.security.tls.material import check_pair  # noqa: PLC0415

    secret = None if passphrase is None else resolve(passphrase)
    check_pair(cert, key, secret)
    # Without a callback OpenSSL would ask whoever sits at the terminal.
    _loaded(functools.partial(context.load_cert_chain, cert, key, lambda: secret.reveal() if secret else ""), cert)


def _loaded(load: Callable[[], object], path: Path) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a passphrase too long for OpenSSL
        raise CertificateUnusable(
            f"OpenSSL does not take {path}: {getattr(error, 'reason', None) or type(error).__name__}",
            hint="rowkeeper certs issue makes certificates that it takes; or see openssl x509 -text -in FILE",
        ) from error
