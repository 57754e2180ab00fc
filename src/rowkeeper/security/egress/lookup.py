"""Names looked up within the deadline: the addresses of a host, as sockets take them."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from rowkeeper.endpoints import literal
from rowkeeper.resilience.deadline import carried, seconds_left

Place = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]
"""What a socket is made of, and what it is connected to."""

Lookup = Callable[[str, int, float | None], list[Place]]
"""Host, port, and how long it may take; raises OSError if the host has no address."""


def look_up(host: str, port: int, seconds_max: float | None = None) -> list[Place]:
    """The addresses of a host, by the system's resolver. An address is its own, and asks nobody.

    The system's resolver cannot be told how long it may take: where there is a limit it works in a thread, which is
    left behind when time is up.

    Raises:
        socket.gaierror: the host has none, or nobody said so in time.
        DeadlineExceeded: no time is left.
    """
    address = literal(host)
    if address is not None:
        return [(socket.AF_INET, (host, port)) if address.version == 4 else (socket.AF_INET6, (host, port, 0, 0))]
    limit = seconds_left(seconds_max)
    if limit is None:
        return _asked(host, port)
    answers: queue.SimpleQueue[list[Place] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_asked(host, port))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=carried(ask), name="rowkeeper-lookup", daemon=True).start()
    try:
        answer = answers.get(timeout=limit)
    except queue.Empty:
        seconds_left()
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _asked(host: str, port: int) -> list[Place]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [(family, place) for family, _, _, _, place in found]  # type: ignore[misc]  # IPv4 and IPv6 have no others
