"""Watch: the interfaces that a run demands, looked at as long as it lasts.

The kernel tells of every change of a link, an address or a route, and then everything is looked at anew; handshakes, of
which nobody tells, are looked at every few seconds. When one is not as it must be, its connections are ended, so that
nobody waits for answers that cannot come, and whoever looks next gets the one error.
"""

from __future__ import annotations

import contextvars
import dataclasses
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rowkeeper.endpoints import Via
from rowkeeper.endpoints.host import Address
from rowkeeper.errors import FrameworkError, VpnRefused
from rowkeeper.logs import failure, logger
from rowkeeper.security.vpn.kernel import rtnetlink
from rowkeeper.security.vpn.tunnels import Tunnels

# rtnetlink(7): RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE
CHANGES = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
HANDSHAKES_EVERY_SECONDS = 10.0
NEWS_BYTES_MAX = 65_536
log = logger("vpn")


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """An address, and the interface by which alone it is reached."""

    via: Via
    address: Address


class Watch:
    """Looks at what is demanded, in a thread of its own.

    Args:
        tunnels: which hold the connections.
        every_seconds: how often handshakes are looked at.
    """

    def __init__(
        self, tunnels: Tunnels, demands: Sequence[Demand], every_seconds: float = HANDSHAKES_EVERY_SECONDS
    ) -> None:
        self._tunnels = tunnels
        self._demands = demands
        self._every_seconds = every_seconds
        self.found: VpnRefused | None = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Watches as long as the body lasts; `look` in it raises what was found. Without demands it costs nothing."""
        if not self._demands:
            yield
            return
        with rtnetlink():  # whoever cannot ask learns it here, and not in a thread
            pass
        token = _watches.set((*_watches.get(), self))
        leaving, leave = os.pipe()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as news:
            news.bind((0, CHANGES))
            thread = threading.Thread(target=self._watch, args=(news, leaving), name="rowkeeper-vpn", daemon=True)
            thread.start()
            try:
                yield
            finally:
                _watches.reset(token)
                os.close(leave)
                thread.join()
                os.close(leaving)

    def _watch(self, news: socket.socket, leaving: int) -> None:
        """Until the body is left, or something is wrong: then there is nothing more to find out."""
        poll = select.poll()
        poll.register(leaving)
        poll.register(news, select.POLLIN)
        while self._is_sound():
            ready = dict(poll.poll(self._every_seconds * 1000))
            if leaving in ready:
                return
            if ready:
                _drop(news)

    def _is_sound(self) -> bool:
        for demand in self._demands:
            try:
                self._tunnels.check(demand.via, demand.address)
            except VpnRefused as error:
                self.found = error
                ended = self._tunnels.sever(demand.via.interface)
                log.error("the way is gone", connections=ended, **failure(error))
                return False
        return True


_watches: contextvars.ContextVar[tuple[Watch, ...]] = contextvars.ContextVar("rowkeeper_vpn_watches", default=())


def look() -> None:
    """Raises VpnRefused if an interface that is demanded here is not as it must be any more."""
    for watch in _watches.get():
        if watch.found is not None:
            raise watch.found


@contextmanager
def explaining() -> Iterator[None]:
    """What goes wrong in the body because an interface is gone is told as that, by one VpnRefused."""
    try:
        yield
    except (FrameworkError, OSError) as error:
        found = next((each.found for each in _watches.get() if each.found is not None), None)
        if found is None or found is error:
            raise
        raise found from error


def _drop(news: socket.socket) -> None:
    """That something changed is known; what it was is asked anew. News that were too many to hold are news as well."""
    try:
        while news.recv(NEWS_BYTES_MAX):
            pass
    except OSError:
        return
