"""Sockets, TLS, name look-ups, and other errors of the operating system."""

from __future__ import annotations

import errno
import socket
import ssl

from rowkeeper.resilience.outcomes import Judgement, Outcome
from rowkeeper.resilience.rules.lineage import lineage

# The connection was never made: nothing can have happened.
NOT_CONNECTED = {
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.ENOENT,  # a Unix socket whose server is not up; for files it is permanent, see below
}
# It broke while it was in use: the request may have arrived.
BROKEN = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN}
# This machine is short of something for a moment.
SHORT = {errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EINTR}

BY_NAME = {
    # urllib3: what failed before the request was sent, and what failed after.
    "urllib3.exceptions.NewConnectionError": Outcome.TRANSIENT,
    "urllib3.exceptions.ConnectTimeoutError": Outcome.TRANSIENT,
    "urllib3.exceptions.EmptyPoolError": Outcome.TRANSIENT,
    "urllib3.exceptions.SSLError": Outcome.PERMANENT,
    "urllib3.exceptions.ReadTimeoutError": Outcome.AMBIGUOUS,
    "urllib3.exceptions.ProtocolError": Outcome.AMBIGUOUS,
    # httpx
    "httpx.ConnectError": Outcome.TRANSIENT,
    "httpx.ConnectTimeout": Outcome.TRANSIENT,
    "httpx.PoolTimeout": Outcome.TRANSIENT,
    "httpx.UnsupportedProtocol": Outcome.PERMANENT,
    "httpx.LocalProtocolError": Outcome.PERMANENT,
    "httpx.TimeoutException": Outcome.AMBIGUOUS,
    "httpx.TransportError": Outcome.AMBIGUOUS,
    # httpcore, whose errors are httpx's causes
    "httpcore.ConnectError": Outcome.TRANSIENT,
    "httpcore.ConnectTimeout": Outcome.TRANSIENT,
    "httpcore.PoolTimeout": Outcome.TRANSIENT,
    "httpcore.UnsupportedProtocol": Outcome.PERMANENT,
    "httpcore.LocalProtocolError": Outcome.PERMANENT,
    "httpcore.TimeoutException": Outcome.AMBIGUOUS,
    "httpcore.NetworkError": Outcome.AMBIGUOUS,
    "httpcore.ProtocolError": Outcome.AMBIGUOUS,
    "httpcore.ProxyError": Outcome.AMBIGUOUS,
    # requests
    "requests.exceptions.ConnectTimeout": Outcome.TRANSIENT,
    "requests.exceptions.SSLError": Outcome.PERMANENT,
    "requests.exceptions.ConnectionError": Outcome.AMBIGUOUS,
    "requests.exceptions.Timeout": Outcome.AMBIGUOUS,
    # the standard library
    "http.client.HTTPException": Outcome.AMBIGUOUS,
}


def judge(error: BaseException) -> Judgement | None:
    """By the driver's class, then by what the operating system said."""
    names = lineage(error)
    for name, outcome in BY_NAME.items():
        if name in names or name.replace("httpx.", "httpx._exceptions.") in names:
            return Judgement(outcome)
    if not isinstance(error, OSError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return Judgement(Outcome.PERMANENT)
    if isinstance(error, socket.gaierror):
        return Judgement(Outcome.TRANSIENT if error.errno == socket.EAI_AGAIN else Outcome.PERMANENT)
    return Judgement(_of_system(error))


def _of_system(error: OSError) -> Outcome:
    if isinstance(error, TimeoutError | ssl.SSLError) or error.errno in BROKEN:
        return Outcome.AMBIGUOUS
    of_a_file = error.filename is not None
    if error.errno in SHORT or (error.errno in NOT_CONNECTED and not of_a_file):
        return Outcome.TRANSIENT
    return Outcome.PERMANENT  # ENOSPC, EACCES and their like: only a person can mend them
