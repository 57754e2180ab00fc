"""What an error of `ssl` means, in our words: which host, what is wrong, and the mend."""

from __future__ import annotations

import dataclasses
import ssl

from rowkeeper.errors import (
    CertificateRefused,
    ClientCertificateRefused,
    ProtocolRefused,
    TLSError,
)
from rowkeeper.security.tls.declaring import TLS


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What is said: `{host}`, `{trusted}` (whose word is taken) and `{crl}` are filled in."""

    error: type[TLSError]
    what: str
    mend: str


def _refused(what: str, mend: str) -> Row:
    return Row(CertificateRefused, f"the certificate of {{host}} {what}", mend)


WEAK = "let the server have a key of EC P-256, Ed25519, or RSA of 2048 bits or more, signed with SHA-256 or better"
MALFORMED = _refused(
    "is not formed as RFC 5280 asks",
    "issue it anew with a tool of today, authority included: rowkeeper certs init and issue, or a public authority",
)
NO_LIST = _refused(
    "cannot be looked up: {crl} has no revocation list of one of its authorities",
    "put the list of every authority of the chain into that file, the root's own among them",
)
UNKNOWN = _refused(
    "leads to no authority that is trusted ({trusted}), or the server leaves out an intermediate certificate",
    "name the authority that issued it (ca=, or ROWKEEPER_TLS_CA); or let the server send its whole chain: "
    "rowkeeper certs check {host} says which",
)
NOT_AN_AUTHORITY = _refused(
    "was issued with a certificate that is no authority's, or that may not issue it",
    "let a proper authority issue it; somebody may have signed it with a certificate of a server",
)
OUTSIDE = _refused(
    "is for a name that its authority may not issue for",
    "use a name within the authority's name constraints: rowkeeper certs show",
)

BY_VERIFY_CODE = {
    2: UNKNOWN,
    3: NO_LIST,
    7: _refused("has a signature that is not its authority's", "fetch it anew from its authority: it was changed"),
    9: _refused(
        "is not valid yet", "set the clock right, there or here; or let the server show one that is valid today"
    ),
    10: _refused("expired", "renew it on the server, with its intermediate certificates: rowkeeper certs renew"),
    11: _refused(
        "cannot be looked up: the revocation list {crl} is not valid yet", "set the clock right, there or here"
    ),
    12: _refused(
        "cannot be looked up: a revocation list in {crl} is out of date",
        "fetch the new one from its authority; rowkeeper certs renew makes the private authority's",
    ),
    18: _refused(
        "is signed by itself, and by no authority",
        "let an authority issue it (rowkeeper certs issue); or, if it is meant, name it as the ca= of this one place",
    ),
    19: _refused(
        "leads to an authority that is not trusted ({trusted})",
        "name that authority (ca=, or ROWKEEPER_TLS_CA), if you know that it is yours",
    ),
    20: UNKNOWN,
    21: UNKNOWN,
    23: _refused("was revoked by its authority", "let the server have a new certificate and a new key"),
    24: NOT_AN_AUTHORITY,
    25: NOT_AN_AUTHORITY,
    26: _refused(
        "is not made for servers (extended key usage)",
        "issue one for a server: rowkeeper certs issue NAME, without --client",
    ),
    47: OUTSIDE,
    48: OUTSIDE,
    62: _refused(
        "is for other names than that",
        "connect by a name that it is for (rowkeeper certs check {host} prints them), or issue it for this one too",
    ),
    64: _refused(
        "is for other addresses than that",
        "connect by a name that it is for (rowkeeper certs check {host} prints them), or issue it for this one too",
    ),
    66: _refused("has a key that is too weak", WEAK),
    67: _refused("was issued by an authority whose key is too weak", WEAK),
    68: _refused("has a signature with a digest that can be forged (SHA-1 or MD5)", WEAK),
    79: NOT_AN_AUTHORITY,
    **dict.fromkeys(range(80, 95), MALFORMED),
}
"""By `ssl.SSLCertVerificationError.verify_code`: the X509_V_ERR numbers of OpenSSL's x509_vfy.h."""

TOO_OLD = Row(
    ProtocolRefused,
    "{host} speaks no TLS that is safe: 1.1 or older",
    "let the server speak TLS 1.2 or 1.3",
)
NO_CIPHER = Row(
    ProtocolRefused,
    "{host} ended the handshake: no cipher or curve in common, or it wants a client certificate",
    "let it take ECDHE with AES-GCM or ChaCha20; or show a client certificate (cert=, key=)",
)
NOT_TLS = Row(
    ProtocolRefused,
    "what answers on {host} does not speak TLS",
    "name the port on which it does; rowkeeper certs check HOST:PORT tries one",
)
WANTED = Row(
    ClientCertificateRefused,
    "{host} wants a client certificate, and none was shown",
    "give cert= and key=, or ROWKEEPER_TLS_CERT and ROWKEEPER_TLS_KEY",
)


def _of_ours(why: str) -> Row:
    return Row(
        ClientCertificateRefused,
        f"{{host}} refuses the client certificate: {why}",
        "show one of an authority that it trusts, in date, and made for clients: rowkeeper certs issue NAME --client",
    )


FORGED = Row(
    CertificateRefused,
    "{host} does not prove that the key of its certificate is its own, or proves it in a way that is too weak",
    WEAK,
)
BY_REASON = {
    "UNSUPPORTED_PROTOCOL": TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": TOO_OLD,
    "WRONG_SSL_VERSION": TOO_OLD,
    "NO_PROTOCOLS_AVAILABLE": TOO_OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": NO_CIPHER,
    "NO_SHARED_CIPHER": NO_CIPHER,
    "NO_CIPHERS_AVAILABLE": NO_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": NO_CIPHER,
    "WRONG_VERSION_NUMBER": NOT_TLS,
    "RECORD_LAYER_FAILURE": NOT_TLS,
    "HTTP_REQUEST": NOT_TLS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": WANTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _of_ours("it cannot read it, or misses it"),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _of_ours("it is not made for clients"),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _of_ours("it was revoked"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _of_ours("it expired"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _of_ours("it does not say why"),
    "TLSV1_ALERT_UNKNOWN_CA": _of_ours("its authority is not trusted there"),
    "TLSV1_ALERT_ACCESS_DENIED": _of_ours("its owner may not in"),
    "TLSV1_ALERT_DECRYPT_ERROR": _of_ours("it does not prove that its key is ours"),
    "WRONG_SIGNATURE_TYPE": FORGED,
    "BAD_SIGNATURE": FORGED,
    "WRONG_CURVE": FORGED,
    "BAD_ECPOINT": FORGED,
    "TLSV1_UNRECOGNIZED_NAME": _refused(
        "cannot be had: it knows no host of this name", "connect by a name that the server knows"
    ),
}
"""By `ssl.SSLError.reason`; the keys are those of `rowkeeper.resilience.rules.tls`, which are not tried again."""


def explained(error: BaseException, host: str, tls: TLS | None = None) -> TLSError | None:
    """What an error of `ssl` means, from a handshake or from the first read after it (as TLS 1.3 tells of clients).

    Args:
        host: whom it was about, such as `db.example:5432`.

    Returns None for what is not about certificates or versions: a time-out, a connection that ended.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        row = BY_VERIFY_CODE.get(error.verify_code) or _refused(
            f"is refused: {error.verify_message or 'OpenSSL does not say why'}",
            "rowkeeper certs check {host} says more",
        )
    else:
        found = BY_REASON.get(_reason(error) or "") if isinstance(error, ssl.SSLError) else None
        if found is None:
            return None
        row = found
    names = {
        "host": host,
        "trusted": f"those in {tls.ca}" if tls and tls.ca else "those of this machine",
        "crl": str(tls.crl) if tls and tls.crl else "the list",
    }
    context = {"host": host, "verify_code": getattr(error, "verify_code", None), "reason": _reason(error)}
    return row.error(row.what.format(**names), hint=row.mend.format(**names), context=context)


def _reason(error: BaseException) -> str | None:
    """OpenSSL's own word. Python's `SSLEOFError` and its like may have none."""
    return getattr(error, "reason", None)
