"""`rowkeeper certs check`: what our client would think of a server, and what it shows.

The verdict comes from a connection as every client of ours makes it. What the certificate holds is then read from a
second one that trusts nothing and sends nothing, so that a server which is refused can be described all the same; a
third asks whether TLS 1.1 would be spoken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from rowkeeper.errors import DeclarationError, TLSError
from rowkeeper.operations.finding import Finding
from rowkeeper.security.tls import TLS, secure
from rowkeeper.security.tls.authority.signing import names_of
from rowkeeper.security.tls.material import chain_of, weakness
from rowkeeper.security.tls.peers import pin_of, telling
from rowkeeper.security.tls.postgresql import ALERT_SECONDS, SECONDS_MAX, ask_for_tls

RENEW_SOON = timedelta(days=20)
LIFETIME_MAX = timedelta(days=398)  # browsers refuse longer ones of public authorities
PROTOCOLS = ("tls", "postgresql")


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Who is looked at."""

    host: str
    port: int
    protocol: str = "tls"

    @classmethod
    def of(cls, text: str, protocol: str) -> Place:
        """`db.example:5432`, `[::1]:443`. Raises DeclarationError."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise DeclarationError(f"{text!r} is no HOST:PORT", hint="such as db.example:5432 or [::1]:443")
        return cls(host, int(port), protocol)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def examine_peer(place: Place, tls: TLS) -> Iterator[Finding]:
    """The verdict first, then what there is to know."""
    try:
        yield _verdict(place, tls)
    except OSError as error:
        yield Finding("connection", False, f"{place}: {_words(error)}", "see whether it is up, and the network between")
        return
    chain = _shown(place)
    if chain:
        yield _validity(chain[0])
        yield _names(chain[0], place.host)
        yield _strength(chain)
        yield _chain(chain, tls)
        yield Finding("pin", True, pin_of(chain[0].public_bytes(Encoding.DER)))
    yield _revocation(tls)
    yield _old_versions(place)


def _words(error: OSError) -> str:
    return error.strerror or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


# ------------------------------------------------------------------------------------------------- connections


def _connected(place: Place) -> socket.socket:
    """A connection up to where TLS begins. Raises OSError, and TLSError if the server offers none."""
    connection = socket.create_connection((place.host, place.port), timeout=SECONDS_MAX)
    try:
        if place.protocol == "postgresql":
            ask_for_tls(connection, str(place))
    except BaseException:
        connection.close()
        raise
    return connection


def _verdict(place: Place, tls: TLS) -> Finding:
    """As every client of ours connects. Raises OSError."""
    try:
        with secure(_connected(place), place.host, tls) as connection:
            found = f"{connection.version()}, {(connection.cipher() or ('?',))[0]}"
            connection.settimeout(ALERT_SECONDS)
            with telling(place.host, tls), contextlib.suppress(TimeoutError):
                connection.recv(1)
    except TLSError as error:
        return Finding("connection", False, error.what, error.hint)
    return Finding("connection", True, f"{place} is trusted: {found}")


def _shown(place: Place) -> list[x509.Certificate]:
    """The certificates that the server sends, whoever it is; none if it does not come so far."""
    context = _trusting_nobody()
    try:
        with context.wrap_socket(_connected(place), server_hostname=place.host) as connection:
            return [x509.load_der_x509_certificate(each) for each in _sent(connection)]
    except (OSError, TLSError, ValueError):  # ValueError: a certificate so odd that it cannot be read
        return []


def _trusting_nobody() -> ssl.SSLContext:
    """For looking at certificates only: nothing is sent over such a connection, and nothing of it is believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context


def _sent(connection: ssl.SSLSocket) -> list[bytes]:
    """The chain as it was sent; a method of its own since Python 3.13."""
    if hasattr(connection, "get_unverified_chain"):
        return [bytes(each) for each in connection.get_unverified_chain()]
    inner = connection._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain()]


# ---------------------------------------------------------------------------------------------------- findings


def _validity(leaf: x509.Certificate) -> Finding:
    now, begin, end = datetime.now(UTC), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    found = f"valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    if now > end:
        return Finding("validity", False, f"{found}: expired", "renew it on the server")
    if now < begin:
        return Finding("validity", False, f"{found}: not valid yet", "set the clock right, there or here")
    if end - now < RENEW_SOON:
        return Finding("validity", True, f"{found}: {(end - now).days} days left", "renew it on the server soon")
    if end - begin > LIFETIME_MAX:
        return Finding("validity", True, f"{found}: {(end - begin).days} days in all", "issue it for 90 days or fewer")
    return Finding("validity", True, f"{found}: {(end - now).days} days left")


def _names(leaf: x509.Certificate, host: str) -> Finding:
    names = names_of(leaf)
    found = f"for {', '.join(names) or 'no host'}"
    if _matches(host.lower().rstrip("."), names):
        return Finding("name", True, found)
    return Finding(
        "name", False, f"{found}; not for {host}", "connect by one of its names, or issue it for this one too"
    )


def _matches(host: str, names: Sequence[str]) -> bool:
    """A star stands for one label, the first (RFC 6125, 6.4.3)."""
    parent = host.partition(".")[2]
    return any(host == each.lower() or (parent and f"*.{parent}" == each.lower()) for each in names)


def _strength(chain: Sequence[x509.Certificate]) -> Finding:
    for number, each in enumerate(chain):
        if why := weakness(each):
            whose = "it" if number == 0 else f"its authority {each.subject.rfc4514_string()}"
            return Finding("key", False, f"{whose} is weak: {why}", "EC P-256 or RSA of 2048 bits, signed with SHA-256")
    return Finding("key", True, _key(chain[0]))


def _key(leaf: x509.Certificate) -> str:
    key = leaf.public_key()
    digest = leaf.signature_hash_algorithm
    signed = f", signed with {digest.name.upper()}" if digest else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"{key.curve.name}{signed}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA of {key.key_size} bits{signed}"
    return f"{type(key).__name__.removesuffix('PublicKey')}{signed}"


def _chain(chain: Sequence[x509.Certificate], tls: TLS) -> Finding:
    """Whether what was sent leads from the server's own certificate to one that is trusted, as far as names tell."""
    last = chain[-1]
    found = f"{len(chain)} sent: " + ", issued by ".join(
        each.rfc4514_string() for each in (*(each.subject for each in chain), last.issuer)
    )
    if last.issuer == last.subject:
        found = found.removesuffix(f", issued by {last.issuer.rfc4514_string()}")
    if tls.ca is None:
        return Finding("chain", True, found)
    trusted = {each.subject for each in chain_of(tls.ca, "the CA bundle")}  # type: ignore[arg-type]
    if trusted & {each for certificate in chain for each in (certificate.subject, certificate.issuer)}:
        return Finding("chain", True, found)
    if len(chain) == 1 and last.issuer != last.subject:
        mend = (
            f"if {last.issuer.rfc4514_string()} is an intermediate authority, let the server send its certificate; "
            "if it is a root that you trust, put it into the CA bundle"
        )
    else:
        mend = f"put {last.issuer.rfc4514_string()} into the CA bundle, if you know that it is yours"
    return Finding("chain", False, f"{found}; none of them is in {tls.ca}", mend)


def _revocation(tls: TLS) -> Finding:
    if tls.crl is None:
        return Finding("revocation", True, "not looked up", "name a revocation list: --crl, or ROWKEEPER_TLS_CRL")
    return Finding("revocation", True, f"looked up in {tls.crl}")


def _old_versions(place: Place) -> Finding:
    """TLS 1.1 is not spoken by us; that a server would is for its other clients to mind."""
    context = _trusting_nobody()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with context.wrap_socket(_connected(place), server_hostname=place.host) as connection:
            spoken = connection.version()
    except (OSError, TLSError):
        return Finding("old versions", True, "TLS 1.1 and older are not spoken")
    return Finding("old versions", True, f"{spoken} is spoken too", "let the server speak nothing below TLS 1.2")
