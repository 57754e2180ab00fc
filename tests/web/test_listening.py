"""Where the server listens, what it shows there, and how much it takes from one caller."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from rowkeeper.security.tls.authority import Authority
from rowkeeper.web.certificate import LEAF
from tests.arena import Arena
from tests.web.site import Site


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Site]:
    """A server that takes few requests from a caller, each a second."""
    made = Site(Arena(tmp_path_factory.mktemp("small")))
    made.env = {"ROWKEEPER_SERVER_CALLER_RATE": "2"}
    made.arena.write("pipes.py", "")
    made.admit(("viewer", "operator"))
    made.start()
    yield made
    made.stop()


def test_a_caller_who_asks_too_often_is_told_when_to_come_again(small: Site):
    """429 with Retry-After, as a problem document; another caller is not kept waiting by it."""
    with small.client("viewer") as hasty, small.client("operator") as other:
        answers = [hasty.get("/api/v1/whoami") for _ in range(40)]
        refused = [each for each in answers if each.status_code == 429]
        assert refused
        assert float(refused[-1].headers["retry-after"]) > 0
        assert refused[-1].headers["content-type"] == "application/problem+json"
        assert other.get("/api/v1/whoami").status_code == 200


def test_a_renewed_certificate_is_shown_without_a_restart(small: Site):
    """The next client sees the new one, while the server goes on."""
    before = _certificate(small)
    with small.opened() as space:
        Authority.of(space.folder).renew([LEAF])
    assert _certificate(small) != before
    assert small.running is not None
    assert small.running.process.exitcode is None


def test_without_tls_it_listens_on_this_machine_alone(own_site: Site):
    """Elsewhere it is refused, before anything listens, with the next step."""
    env = {"ROWKEEPER_SERVER_PLAINTEXT": "true", "ROWKEEPER_SERVER_ADDRESS": "0.0.0.0:0"}
    done = own_site.arena.run("serve", env=env)
    assert done.status != 0
    assert "the server would listen at 0.0.0.0 without TLS" in done.stderr
    assert "next:" in done.stderr


def test_a_server_without_tls_is_on_the_record(own_site: Site):
    """Its start says so."""
    own_site.env = {"ROWKEEPER_SERVER_PLAINTEXT": "true"}
    own_site.arena.write("pipes.py", "")
    own_site.start()
    assert own_site.url.startswith("http://127.0.0.1:")
    own_site.stop()
    with own_site.opened() as space:
        assert [each.event.detail["tls"] for each in space.ledger.audit.newest(10, "server.start")] == [False]


def _certificate(site: Site) -> bytes:
    """What a new connection is shown."""
    with (
        socket.create_connection(("127.0.0.1", site.port), timeout=10) as plain,
        site.context().wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert isinstance(secure, ssl.SSLSocket)
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return shown
