"""The services of Apprise that are supported: which host each connects to, and where its secrets stand in the URL.

Others are refused: nobody here has looked where they connect to, and whether it is by `requests` or `smtplib` alone,
which is what Rowkeeper keeps on the leash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import RouteUnsupported
from rowkeeper.nearest import did_you_mean
from rowkeeper.operations.alerts.receivers.templates import plain, refuse_literal_parts
from rowkeeper.operations.alerts.receivers.webhook import WHY

TARGETS = ("#", "+", "@", "%23", "%40")
REFUSED = ("verify", "template", "pgp", "retry", "wait")
"""Parameters: to check no certificates; to read files; to do again what the outbox does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One of them.

    Attributes:
        told: its name, for people.
        hosts: that it connects to, by HTTPS; none: the one in the URL.
        port: without one in the URL.
        secure: it speaks TLS.
        secrets: where its secrets stand: in the `host`, in the `path`, as the last part of the path (`end`), or as the
            user (`user`).
    """

    told: str
    hosts: tuple[str, ...] = ()
    port: int = 443
    secure: bool = True
    secrets: tuple[str, ...] = ()


SERVICES: Mapping[str, Service] = {
    "mailto": Service("mail, by SMTP without TLS", port=25, secure=False),
    "mailtos": Service("mail, by SMTP with STARTTLS, or TLS with ?mode=ssl", port=587),
    "json": Service("Apprise's own JSON, by HTTP", port=80, secure=False),
    "jsons": Service("Apprise's own JSON, by HTTPS"),
    "slack": Service("Slack, an incoming webhook", ("hooks.slack.com",), secrets=("host", "path")),
    "discord": Service("Discord, a webhook", ("discord.com",), secrets=("path",)),
    "workflows": Service("Microsoft Teams, a workflow", secrets=("end",)),
    "ntfy": Service("ntfy, by HTTP", port=80, secure=False),
    "ntfys": Service("ntfy, by HTTPS"),
    "matrix": Service("Matrix, by HTTP", port=80, secure=False, secrets=("user",)),
    "matrixs": Service("Matrix, by HTTPS", secrets=("user",)),
    "mmost": Service("Mattermost, by HTTP", port=80, secure=False, secrets=("end",)),
    "mmosts": Service("Mattermost, by HTTPS", secrets=("end",)),
    "gotify": Service("Gotify, by HTTP", port=80, secure=False, secrets=("end",)),
    "gotifys": Service("Gotify, by HTTPS", secrets=("end",)),
}


def service_of(scheme: str, where: str) -> Service:
    """Raises RouteUnsupported for one that is not supported."""
    if scheme not in SERVICES:
        kinds = ", ".join(("https", "alertmanager+https", *SERVICES))
        near = did_you_mean(scheme, ("http", "https", "alertmanager+http", "alertmanager+https", *SERVICES))
        raise RouteUnsupported(
            f"{where}: {scheme}:// is no kind of route that is supported",
            hint=f"{near} {near and 'It is'} one of {kinds}".strip(),
        )
    return SERVICES[scheme]


def check_parts(service: Service, url: str, where: str) -> None:
    """Raises SecretLiteral for a secret that is written out, RouteUnsupported for a parameter that is not taken."""
    user, host, path = _parts(url)
    if "host" in service.secrets:
        refuse_literal_parts([host], where)
    if "path" in service.secrets:
        refuse_literal_parts([part for part in path if not part.startswith(TARGETS)], where)
    if "end" in service.secrets:
        refuse_literal_parts(path[-1:], where)
    if "user" in service.secrets and ":" not in user:
        refuse_literal_parts([user], where)
    for name in parse_qs(urlsplit(plain(url)).query, keep_blank_values=True):
        if name.lower() in REFUSED:
            raise RouteUnsupported(f"{where}: {name}= is not taken in the URL of a route", hint="leave it out")
    if not service.hosts and service.told.startswith("ntfy") and not path:
        raise RouteUnsupported(f"{where}: the URL names no server", hint="such as ntfys://ntfy.sh/TOPIC")


def endpoints_of(service: Service, url: str) -> tuple[Endpoint, ...]:
    """The hosts that it connects to. Raises DeclarationError for a URL without one."""
    if service.hosts:
        return tuple(Endpoint(host, 443, why=WHY) for host in service.hosts)
    parts = urlsplit(plain(url))
    query = parse_qs(parts.query)
    name = (query.get("smtp") or [parts.netloc.rpartition("@")[2]])[0]
    mode = (query.get("mode") or [""])[0].lower()
    port = 465 if mode == "ssl" else 587 if mode == "starttls" else service.port
    own = parts.netloc.rpartition("@")[2].rpartition(":")[2]
    if "smtp" in query and own.isdecimal() and ":" not in name:
        port = int(own)
    _, host, found = place_of_url(f"tcp://{name}", port=port)
    return (Endpoint(host, found, private=True, why=WHY),)


def is_secure(service: Service, url: str) -> bool:
    """Whether what is sent is sent by TLS."""
    mode = (parse_qs(urlsplit(plain(url)).query).get("mode") or [""])[0].lower()
    return {"ssl": True, "starttls": True, "insecure": False}.get(mode, service.secure)


def _parts(url: str) -> tuple[str, str, list[str]]:
    """User, host and the parts of the path, with references in braces: which urlsplit would cut at their own signs."""
    rest = url.partition("://")[2]
    kept: list[str] = []
    while (at := rest.find("{")) >= 0 and (end := rest.find("}", at)) >= 0:
        kept.append(rest[at : end + 1])
        rest = f"{rest[:at]}\0{len(kept) - 1}\1{rest[end + 1 :]}"
    rest = rest.partition("?")[0]
    front, _, path = rest.partition("/")
    user, _, host = front.rpartition("@")
    parts = [user, host, *path.split("/")]
    for number, each in enumerate(kept):
        parts = [part.replace(f"\0{number}\1", each) for part in parts]
    return parts[0], parts[1], [part for part in parts[2:] if part]
