"""What is said to a proxy before it passes everything on: SOCKS5 (RFC 1928, 1929) and CONNECT (RFC 9110, 9.3.6).

Own code, as what there is does not pin: httpcore's proxies look hosts up themselves, or leave it to the proxy. Of
python-socks (3.2 was looked at) a user whose password is not ASCII gets an exception that quotes it, and an answer to
CONNECT that comes in two pieces is taken for two answers.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import socket

from rowkeeper.endpoints import literal
from rowkeeper.errors import ProxyRefused
from rowkeeper.security.secret import Secret

VERSION, CONNECT, RESERVED = 5, 1, 0
NO_ONE, USER_AND_PASSWORD = 0, 2
V4, NAME, V6 = 1, 3, 4
SUBNEGOTIATION = 1
SOCKS_FAULTS = {  # RFC 1928, 6: what may be otherwise the next time
    1: errno.EHOSTUNREACH,  # "general failure": most servers say it of a host that they cannot look up or reach
    3: errno.ENETUNREACH,
    4: errno.EHOSTUNREACH,
    5: errno.ECONNREFUSED,
    6: errno.EHOSTUNREACH,
}
FIELD_BYTES_MAX = 255
ANSWER_BYTES_MAX = 65_536
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
ANSWER_END = re.compile(rb"\r?\n\r?\n\Z")


def socks5(line: socket.socket, host: str, port: int, user: str | None, password: Secret | None) -> None:
    """Asks a SOCKS5 proxy for a connection to a host: to an address if it is one, otherwise by its name.

    Raises:
        ProxyRefused: it does not let us, or not there.
        OSError: it cannot be reached, or the host cannot from there.
    """
    method = NO_ONE if user is None else USER_AND_PASSWORD
    line.sendall(bytes([VERSION, 1, method]))
    version, chosen = _exactly(line, 2)
    if version != VERSION:
        raise _refused("it is no SOCKS5 proxy", "see to its kind and port: http:// is for CONNECT")
    if chosen != method:
        what = "wants a user and a password" if user is None else "does not take a user and a password"
        raise _refused(f"it {what}", "socks5h://USER@HOST:PORT, and ROWKEEPER_PROXY_PASSWORD")
    if user is not None:
        secret = password.reveal() if password is not None else ""
        line.sendall(bytes([SUBNEGOTIATION]) + _field(user) + _field(secret))
        if _exactly(line, 2)[1] != 0:
            raise _refused("it does not know this user with this password", "see to user and ROWKEEPER_PROXY_PASSWORD")
    line.sendall(bytes([VERSION, CONNECT, RESERVED]) + _target(host) + port.to_bytes(2))
    _, answer, _, kind = _exactly(line, 4)
    if answer in SOCKS_FAULTS:
        raise OSError(SOCKS_FAULTS[answer], f"by way of the proxy: {os.strerror(SOCKS_FAULTS[answer])}")
    if answer != 0:
        raise _refused(f"it does not connect to {host}:{port} (answer {answer})", "see to what it lets through")
    _exactly(line, {V4: 4, V6: 16}.get(kind) or _exactly(line, 1)[0])
    _exactly(line, 2)


def connect(line: socket.socket, host: str, port: int, user: str | None, password: Secret | None) -> None:
    """Asks an HTTP proxy for a tunnel to a host.

    Raises as `socks5`.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
    if user is not None:
        pair = f"{user}:{password.reveal() if password is not None else ''}".encode()
        request += f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
    line.sendall(request.encode() + b"\r\n")
    answer = b""
    while not ANSWER_END.search(answer):  # not a byte more: what follows is the host's
        if len(answer) > ANSWER_BYTES_MAX:
            raise _refused("its answer has no end", "see to its kind and port")
        answer += _exactly(line, 1)
    match = STATUS_LINE.match(answer)
    if match is None:
        raise _refused("it is no HTTP proxy", "see to its kind and port: socks5h:// is for SOCKS5")
    status = int(match[1])
    if status == 407:
        raise _refused("it does not know this user with this password", "see to user and ROWKEEPER_PROXY_PASSWORD")
    if status >= 500:
        raise OSError(errno.EHOSTUNREACH, f"by way of the proxy: status {status}")
    if not 200 <= status < 300:
        raise _refused(f"it does not connect to {place} (status {status})", "see to what it lets through")


def _field(text: str) -> bytes:
    encoded = text.encode()
    if not 0 < len(encoded) <= FIELD_BYTES_MAX:
        raise _refused(
            "user and password must have from 1 to 255 bytes for it", "see to user and ROWKEEPER_PROXY_PASSWORD"
        )
    return bytes([len(encoded)]) + encoded


def _target(host: str) -> bytes:
    address = literal(host)
    if address is None:
        return bytes([NAME, len(host)]) + host.encode()
    return bytes([V4 if address.version == 4 else V6]) + address.packed


def _exactly(line: socket.socket, size_bytes: int) -> bytes:
    found = b""
    while len(found) < size_bytes:
        piece = line.recv(size_bytes - len(found))
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the connection")
        found += piece
    return found


def _refused(what: str, hint: str) -> ProxyRefused:
    return ProxyRefused(f"the proxy refused: {what}", hint=hint)
