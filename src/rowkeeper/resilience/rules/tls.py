"""TLS: a handshake that fails over certificates or versions fails again, whoever asks and however often.

Other words of OpenSSL (a connection that ended in the middle) are the network's, and are not judged here.
"""

from __future__ import annotations

import ssl

from rowkeeper.errors import TLSError
from rowkeeper.resilience.outcomes import Judgement, Outcome

REASONS = frozenset(
    {
        # no version or cipher in common, or no TLS at all
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "WRONG_SSL_VERSION",
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "NO_SHARED_CIPHER",
        "NO_CIPHERS_AVAILABLE",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "HTTP_REQUEST",
        # what they think of our certificate
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        # what OpenSSL thinks of their keys and signatures, besides the verdict on the certificate
        "WRONG_SIGNATURE_TYPE",
        "BAD_SIGNATURE",
        "WRONG_CURVE",
        "BAD_ECPOINT",
        "TLSV1_UNRECOGNIZED_NAME",
    }
)
"""Of `ssl.SSLError.reason`; `rowkeeper.security.tls.explaining` has a sentence for each."""


def judge(error: BaseException) -> Judgement | None:
    """Asked first, and looks through what drivers wrapped around it: httpx calls every failed connect transient."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, TLSError | ssl.SSLCertVerificationError):
            return Judgement(Outcome.PERMANENT)
        if isinstance(at, ssl.SSLError) and getattr(at, "reason", None) in REASONS:
            return Judgement(Outcome.PERMANENT)
        at = at.__cause__ or _wrapped(at)
    return None


def _wrapped(error: BaseException) -> BaseException | None:
    """What urllib3 and requests keep in their arguments or in `reason`, rather than as the cause."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    return next((each for each in error.args if isinstance(each, BaseException)), None)
