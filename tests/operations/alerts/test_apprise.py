"""Apprise on the leash: each supported service against a real server, which checks what it is sent and where."""

from __future__ import annotations

import dataclasses
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from rowkeeper.errors import EgressRefused, FrameworkError, NoticeNotDelivered, PlaintextRefused, RedirectRefused
from rowkeeper.ledger.alerts import Kind, Notice
from rowkeeper.operations.alerts.looking import spoken
from rowkeeper.operations.alerts.receivers import Outlet
from rowkeeper.operations.alerts.receivers.apprise import Apprise
from rowkeeper.operations.alerts.receivers.posting import Answered
from rowkeeper.resilience.sockets import BoundedSocket
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.tls import TLS
from tests.authority import authority, ca
from tests.operations.alerts.receiving import Asked, Hook, Mailbox, hook, mailbox

__all__ = ["authority", "ca"]

AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
TOLD = "no success of flights within 1d2h"


def a_notice(kind: Kind = Kind.FIRING) -> Notice:
    alert = spoken("flights-late", TOLD, AT) | {"subject": "flights", "severity": "critical"}
    return Notice("ab" * 16, "ops", kind, {"rule": "flights-late"}, (alert,), AT)


@dataclasses.dataclass
class Detour:
    """A way out on which the world is one server of this machine; it notes which places were asked for."""

    port: int
    asked: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def connect(self, host: str, port: int, *, seconds_max: float | None = None) -> BoundedSocket:
        self.asked.append((host, port))
        line = BoundedSocket()
        line.settimeout(seconds_max)
        line.connect(("127.0.0.1", self.port))
        return line


def secured(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLACK_A": "T1JJ3T3L2",
        "SLACK_B": "A1BRTD4JD",
        "SLACK_C": "TIiajkdnlazkcOXrIdevi7FQ",
        "TOKEN": "AbCdEf123456789x",
        "PW": "p/w: s@cret",
    }.items():
        monkeypatch.setenv(name, value)


def body_of(asked: Asked) -> str:
    return json.dumps(asked.json)


def of_slack(asked: list[Asked]) -> None:
    (one,) = asked
    assert one.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "flights-late flights: firing" in body_of(one)


def of_discord(asked: list[Asked]) -> None:
    (one,) = asked
    assert urlsplit(one.path).path == "/api/webhooks/T1JJ3T3L2/AbCdEf123456789x"
    assert TOLD in body_of(one)


def of_teams(asked: list[Asked]) -> None:
    (one,) = asked
    found = urlsplit(one.path)
    assert found.path == "/workflows/T1JJ3T3L2/triggers/manual/paths/invoke"
    assert parse_qs(found.query)["sig"] == ["AbCdEf123456789x"]
    assert TOLD in body_of(one)


@pytest.mark.parametrize(
    ("url", "place", "check"),
    [
        ("slack://{env:SLACK_A}/{env:SLACK_B}/{env:SLACK_C}/#ops", ("hooks.slack.com", 443), of_slack),
        ("discord://{env:SLACK_A}/{env:TOKEN}", ("discord.com", 443), of_discord),
        ("workflows://x.logic.azure.com:443/{env:SLACK_A}/{env:TOKEN}", ("x.logic.azure.com", 443), of_teams),
    ],
)
def test_a_service_in_the_cloud_is_reached_by_its_own_name(url, place, check, authority: trustme.CA, ca: Path):
    """By TLS that is checked for that name, over the way out alone; the secrets stand where the service has them."""
    with hook(secured(authority, place[0])) as cloud:
        cloud.answers = lambda _: (200, {}, b"ok")
        way = Detour(cloud.port)
        address = Apprise(url)
        assert [(each.host, each.port) for each in address.endpoints] == [place]
        address.deliver(a_notice(), Outlet(way, TLS(ca=ca), "0" * 32, timedelta(hours=4)))
    assert set(way.asked) == {place}
    check(cloud.asked)


def homeserver(asked: Asked) -> tuple[int, dict[str, str], bytes]:
    """What a Matrix server says to a login, a join and a message."""
    said: dict[str, Any] = {"event_id": "$1"}
    if asked.path.endswith("/login"):
        said = {"access_token": "t", "home_server": "m", "user_id": "@u:m", "device_id": "d"}
    if "/join/" in asked.path or "/directory/" in asked.path:
        said = {"room_id": "!r:m"}
    if asked.path.endswith("/joined_rooms"):
        said = {"joined_rooms": []}
    if ".well-known" in asked.path or asked.path.endswith("/versions"):
        said = {"versions": ["v1.11"]}
    return 200, {"content-type": "application/json"}, json.dumps(said).encode()


def of_matrix(asked: list[Asked]) -> None:
    (login,) = [each for each in asked if each.path.endswith("/login")]
    assert login.json["password"] == "p/w: s@cret"
    (sent,) = [each for each in asked if "/send/m.room.message" in each.path]
    assert TOLD in body_of(sent)


def of_ntfy(asked: list[Asked]) -> None:
    (one,) = asked
    assert TOLD in one.json["message"]
    assert one.json["topic"] == "ops"


def of_mattermost(asked: list[Asked]) -> None:
    (one,) = asked
    assert one.path == "/hooks/AbCdEf123456789x"
    assert TOLD in one.json["text"]


def of_gotify(asked: list[Asked]) -> None:
    (one,) = asked
    assert one.path == "/message"
    assert one.headers["x-gotify-key"] == "AbCdEf123456789x"
    assert TOLD in one.json["message"]


def of_json(asked: list[Asked]) -> None:
    (one,) = asked
    assert one.json["title"] == "[critical] flights-late flights: firing"
    assert one.json["type"] == "failure"
    assert "notice " + "ab" * 16 in one.json["message"]


@pytest.mark.parametrize(
    ("url", "check"),
    [
        ("json://127.0.0.1:%d/hook", of_json),
        ("ntfy://127.0.0.1:%d/ops", of_ntfy),
        ("mmost://127.0.0.1:%d/{env:TOKEN}", of_mattermost),
        ("gotify://127.0.0.1:%d/{env:TOKEN}", of_gotify),
        ("matrix://u:{env:PW}@127.0.0.1:%d/%%23ops:m", of_matrix),
    ],
)
def test_a_service_of_ones_own_is_reached_where_the_url_says(url: str, check):
    """Through the gateway, which lets out to nothing but the route's host."""
    with hook() as server:
        server.answers = homeserver
        address = Apprise(url % server.port)
        address.deliver(a_notice(), outlet(address))
    check(server.asked)


def outlet(address: Apprise, tls: TLS | None = None) -> Outlet:
    return Outlet(Gateway(Egress(address.endpoints)), tls, "0" * 32, timedelta(hours=4))


@pytest.fixture
def elsewhere() -> Iterator[Hook]:
    with hook() as other:
        yield other


def test_a_redirect_to_elsewhere_is_not_followed(elsewhere: Hook):
    """Neither by Apprise nor by us: what would be sent there is nobody's there."""
    with hook() as server:
        server.answers = lambda _: (307, {"location": f"http://127.0.0.1:{elsewhere.port}/"}, b"")
        address = Apprise(f"json://127.0.0.1:{server.port}/hook")
        with pytest.raises(RedirectRefused):
            address.deliver(a_notice(), outlet(address))
    assert elsewhere.asked == []


def test_what_the_gateway_refuses_apprise_does_not_reach(elsewhere: Hook):
    """The leash is the gateway's: a host that is not declared is not connected to, and the error says so."""
    address = Apprise(f"json://127.0.0.1:{elsewhere.port}/hook")
    shut = Outlet(Gateway(Egress(())), None, "0" * 32, timedelta(hours=4))
    with pytest.raises(EgressRefused):
        address.deliver(a_notice(), shut)
    assert elsewhere.asked == []


def test_neither_proxy_nor_password_of_the_environment_is_used(
    elsewhere: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """`requests` would take both: HTTP_PROXY, and what stands in ~/.netrc for that host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{elsewhere.port}")
    with hook() as server:
        address = Apprise(f"json://127.0.0.1:{server.port}/hook")
        address.deliver(a_notice(), outlet(address))
    (asked,) = server.asked
    assert "authorization" not in asked.headers
    assert elsewhere.asked == []


def test_what_is_refused_is_told_by_its_status(elsewhere: Hook):
    """Apprise itself says yes or no."""
    elsewhere.answers = lambda _: (404, {}, b"no such hook: token 123")
    address = Apprise(f"json://127.0.0.1:{elsewhere.port}/hook")
    with pytest.raises(Answered) as caught:
        address.deliver(a_notice(), outlet(address))
    assert caught.value.told.what == "127.0.0.1 answered 404"


def test_a_plugin_that_stumbles_over_an_answer_holds_nothing_up(elsewhere: Hook, monkeypatch: pytest.MonkeyPatch):
    """Whatever it raises is a notice that was not delivered, without its words."""
    from apprise.plugins.custom_json import NotifyJSON

    def stumble(*_: object, **__: object) -> bool:
        raise KeyError("hunter2secret")

    monkeypatch.setattr(NotifyJSON, "send", stumble)
    address = Apprise(f"json://127.0.0.1:{elsewhere.port}/hook")
    with pytest.raises(NoticeNotDelivered) as caught:
        address.deliver(a_notice(), outlet(address))
    assert caught.value.what == "Apprise's plugin for json:// raised KeyError"


def test_requests_is_itself_again_afterwards(elsewhere: Hook):
    """The leash is held while a notice is sent, and not after."""
    import requests.sessions

    before = requests.sessions.HTTPAdapter
    address = Apprise(f"json://127.0.0.1:{elsewhere.port}/hook")
    address.deliver(a_notice(), outlet(address))
    assert requests.sessions.HTTPAdapter is before


def test_another_machine_is_not_reached_without_tls():
    """Unless the route says so of itself."""
    address = Apprise("json://receiver.example.com/hook")
    with pytest.raises(PlaintextRefused):
        address.deliver(a_notice(), outlet(address))


@pytest.fixture
def post_office(authority: trustme.CA) -> Iterator[Mailbox]:
    with mailbox(secured(authority, "127.0.0.1")) as box:
        yield box


def test_mail_goes_out_by_starttls_with_a_login(post_office: Mailbox, ca: Path):
    """The certificate is checked, the password comes from its reference, and the text is plain."""
    host = f"127.0.0.1:{post_office.port}"
    address = Apprise(f"mailtos://alerts:{{env:PW}}@{host}?to=ops@example.com&from=rk@example.com")
    assert [str(each.port) for each in address.endpoints] == [str(post_office.port)]
    address.deliver(a_notice(Kind.RESOLVED), outlet(address, TLS(ca=ca)))
    (message,) = post_office.messages
    assert (post_office.secured, len(post_office.logins)) == (1, 1)
    assert message["subject"] == "[critical] flights-late flights: resolved"
    assert message["to"] == "ops@example.com"
    assert message.get_content_type() == "text/plain"
    assert TOLD in message.get_content()


def test_mail_is_not_handed_to_a_server_that_nobody_vouches_for(post_office: Mailbox):
    """Its certificate is of no authority that this machine knows: neither login nor message is sent."""
    address = Apprise(f"mailtos://alerts:{{env:PW}}@127.0.0.1:{post_office.port}?to=o@e.example&from=rk@e.example")
    with pytest.raises((FrameworkError, ssl.SSLError)):
        address.deliver(a_notice(), outlet(address))
    assert (post_office.logins, post_office.messages) == ([], [])
