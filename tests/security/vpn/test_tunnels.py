"""A place that demands an interface is reached by it or not at all, with a real WireGuard between two machines."""

from __future__ import annotations

import ctypes
import dataclasses
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rowkeeper.endpoints import Endpoint, Via
from rowkeeper.errors import VpnBypassed, VpnDown, VpnRefused, VpnStale, VpnUnseen
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.vpn import Demand, Tunnels, Watch, explaining, look
from tests.security.netns import NOBODY
from tests.security.vpn.lab import Lab, tunnelled

pytestmark = pytest.mark.root
SETRESUID = 117  # of x86-64; of the thread alone, where the C library's would be of all threads


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A tunnel that tests leave as they found it."""
    with tunnelled() as made:
        yield made


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A tunnel to break."""
    with tunnelled() as made:
        yield made


def gateway(via: Via | None, tunnels: Tunnels | None = None, host: str = Lab.inside) -> Gateway:
    endpoint = Endpoint(host, 5432, private=True, via=via)
    return Gateway(Egress((endpoint,)), tunnels=tunnels or Tunnels(knock_seconds_max=3))


def talked(line: socket.socket) -> str:
    with line:
        line.sendall(b"ping\n")
        return line.recv(100).decode()


def connected(lab: Lab, via: Via | None, host: str = Lab.inside, tunnels: Tunnels | None = None) -> str:
    return lab.client.within(lambda: talked(gateway(via, tunnels, host).connect(host, 5432, seconds_max=5)))


def detoured(lab: Lab) -> Callable[[], object]:
    """From now on the way to the server leads by the second cable. Returns what undoes it."""
    way = (f"{Lab.inside}/32", "via", "10.84.0.2", "dev", "eth2")
    lab.client.ip("route", "add", *way)
    return lambda: lab.client.ip("route", "del", *way)


def test_the_demanded_interface_connects(own_lab: Lab):
    """A tunnel that nobody has used yet is woken by a knock, and the connection goes through it."""
    before = own_lab.client.sent("eth2")
    assert own_lab.client.run("wg", "show", own_lab.interface, "latest-handshakes").strip().endswith("\t0")
    assert connected(own_lab, Via(own_lab.interface)).startswith("pong")
    assert own_lab.client.sent("eth2") == before


def test_a_route_by_another_interface_is_refused_before_any_packet_leaves(lab: Lab):
    """The other cable's counter stands still; without the demand the same connection would have gone by it."""
    undo = detoured(lab)
    try:
        before = lab.client.sent("eth2")
        with pytest.raises(VpnBypassed, match="leaves by eth2"):
            connected(lab, Via(lab.interface))
        assert lab.client.sent("eth2") == before
        assert connected(lab, None).startswith("pong")
        assert lab.client.sent("eth2") > before
    finally:
        undo()


def test_a_route_that_changes_later_leads_nothing_astray(lab: Lab):
    """A connection that is made stays bound to its interface: no packet of it leaves by the other cable."""

    def work() -> str:
        line = gateway(Via(lab.interface)).connect(Lab.inside, 5432, seconds_max=5)
        undo = detoured(lab)
        try:
            before = lab.client.sent("eth2")
            answer = talked(line)
            assert lab.client.sent("eth2") == before
            return answer
        finally:
            undo()

    assert lab.client.within(work).startswith("pong")


def test_an_interface_that_is_not_there_is_refused(lab: Lab):
    """By name, with the mend."""
    with pytest.raises(VpnDown, match="wg77 is not there") as caught:
        connected(lab, Via("wg77"))
    assert "wg-quick up wg77" in caught.value.hint
    assert caught.value.retryable


def test_an_interface_that_is_down_is_refused(own_lab: Lab):
    """Also where another route would lead to the server."""
    detoured(own_lab)
    own_lab.client.ip("link", "set", own_lab.interface, "down")
    before = own_lab.client.sent("eth2")
    with pytest.raises(VpnDown, match="is down"):
        connected(own_lab, Via(own_lab.interface))
    assert own_lab.client.sent("eth2") == before


def test_a_peer_that_is_gone_is_refused(own_lab: Lab):
    """Its last handshake is too old, and nobody answers the knock."""
    assert connected(own_lab, Via(own_lab.interface)).startswith("pong")
    own_lab.peer.stop()
    tunnels = Tunnels(clock=lambda: time.time() + 181, knock_seconds_max=1)
    with pytest.raises(VpnStale, match=r"last handshake 18\d s ago"):
        connected(own_lab, Via(own_lab.interface), tunnels=tunnels)


def test_a_peer_that_was_never_heard_of_is_refused(own_lab: Lab):
    """There is no handshake at all."""
    own_lab.peer.stop()
    with pytest.raises(VpnStale, match="never had a handshake"):
        connected(own_lab, Via(own_lab.interface), tunnels=Tunnels(knock_seconds_max=0.5))


def test_an_address_that_is_no_peers_is_refused(lab: Lab):
    """The route leads into the tunnel, but WireGuard has nobody to encrypt for."""
    with pytest.raises(VpnBypassed, match="no peer of"):
        connected(lab, Via(lab.interface), host="10.83.0.9")


def test_handshakes_that_cannot_be_seen_are_refused(lab: Lab):
    """A user without privilege learns how; a demand without handshakes looks at what everybody may see."""

    def unprivileged(via: Via) -> str:
        assert ctypes.CDLL(None).syscall(SETRESUID, NOBODY, NOBODY, NOBODY) == 0
        return talked(gateway(via).connect(Lab.inside, 5432, seconds_max=5))

    with pytest.raises(VpnUnseen, match=r"Operation not permitted|Permission denied") as caught:
        lab.client.within(lambda: unprivileged(Via(lab.interface)))
    assert "CAP_NET_ADMIN" in caught.value.hint
    assert not caught.value.retryable
    assert lab.client.within(lambda: unprivileged(Via(lab.interface, None))).startswith("pong")


def watched(lab: Lab, break_it: Callable[[], object], tunnels: Tunnels | None = None) -> tuple[BaseException, float]:
    """What becomes of somebody who waits for an answer in a tunnel that breaks, and after how many seconds."""
    via = Via(lab.interface)
    tunnels = tunnels or Tunnels(knock_seconds_max=1)

    def work() -> tuple[BaseException, float]:
        line = gateway(via, tunnels).connect(Lab.inside, 5432, seconds_max=30)
        demand = Demand(via, ipaddress.ip_address(Lab.inside))
        with Watch(tunnels, [demand], every_seconds=0.2).standing(), line:
            look()
            started = time.monotonic()
            threading.Thread(target=break_it).start()
            try:
                with explaining():
                    line.recv(1)
                    look()
            except VpnRefused as error:
                return error, time.monotonic() - started
            raise AssertionError("it went on")

    return lab.client.within(work)


def test_an_interface_that_goes_down_ends_what_waits_for_it(own_lab: Lab):
    """The one who waits is woken at once, by the one error, and not by a timeout."""
    error, seconds = watched(own_lab, lambda: own_lab.client.ip("link", "set", own_lab.interface, "down"))
    assert isinstance(error, VpnDown)
    assert seconds < 10


def test_an_interface_that_is_taken_away_ends_what_waits_for_it(own_lab: Lab):
    """The same where the interface itself goes."""
    error, _ = watched(own_lab, lambda: own_lab.client.ip("link", "del", own_lab.interface))
    assert isinstance(error, VpnDown)


def test_a_route_that_is_changed_ends_what_waits_for_it(own_lab: Lab):
    """The kernel tells of the route, and nobody waits for packets that go nowhere."""
    error, _ = watched(own_lab, lambda: detoured(own_lab))
    assert isinstance(error, VpnBypassed)


def test_a_peer_that_falls_silent_ends_what_waits_for_it(own_lab: Lab):
    """Nobody tells of handshakes that do not come: they are looked at every few seconds."""

    @dataclasses.dataclass
    class Clock:
        ahead: float = 0.0

        def __call__(self) -> float:
            return time.time() + self.ahead

    clock = Clock()

    def fall_silent() -> None:
        own_lab.peer.stop()
        clock.ahead = 200.0

    error, _ = watched(own_lab, fall_silent, Tunnels(clock=clock, knock_seconds_max=0.5))
    assert isinstance(error, VpnStale)


def test_a_sound_tunnel_is_left_alone(lab: Lab):
    """The watch can pass: what it looks at several times is found as it must be."""
    via = Via(lab.interface)
    tunnels = Tunnels()

    def work() -> str:
        line = gateway(via, tunnels).connect(Lab.inside, 5432, seconds_max=5)
        with Watch(tunnels, [Demand(via, ipaddress.ip_address(Lab.inside))], every_seconds=0.01).standing():
            for _ in range(3):
                lab.client.ip("route", "add", "10.99.0.0/24", "dev", "eth2")
                lab.client.ip("route", "del", "10.99.0.0/24", "dev", "eth2")
                look()
            return talked(line)

    assert lab.client.within(work).startswith("pong")
