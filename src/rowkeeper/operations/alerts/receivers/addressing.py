"""Which receiver a route's `to` is, with what belongs to it."""

from __future__ import annotations

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import ConfigurationError
from rowkeeper.operations.alerts.receivers.alertmanager import Alertmanager
from rowkeeper.operations.alerts.receivers.apprise import Apprise
from rowkeeper.operations.alerts.receivers.receiver import Address
from rowkeeper.operations.alerts.receivers.services import SERVICES, check_parts, service_of
from rowkeeper.operations.alerts.receivers.templates import check, refuse_literal_parts
from rowkeeper.operations.alerts.receivers.webhook import Webhook
from rowkeeper.operations.alerts.tables import Table

ALERTMANAGER = "alertmanager+"
SECRET_HOSTS = {host: scheme for scheme, service in SERVICES.items() for host in service.hosts}
"""Hosts whose whole path is a secret, and how they are written."""


def address_of(name: str, table: Table) -> Address:
    """The receiver of a route. Raises AlertsUnusable, RouteUnsupported, or SecretLiteral."""
    url, plaintext = table.text("to"), table.flag("plaintext", False)
    where = f"{table.place('to')}: to of route {name}"
    if "://" not in url:
        raise table.wrong(f"to of route {name} is no URL", "such as https://ops.example.com/hook", "to")
    check(url, where)
    scheme = url.partition("://")[0].lower()
    try:
        made = _made(scheme, url, where, plaintext, table)
        assert made.endpoints
    except ConfigurationError as error:
        if type(error).code != "RK-1102":
            raise
        raise table.wrong(f"to of route {name}: {error.what}", error.hint, "to") from None
    return made


def _made(scheme: str, url: str, where: str, plaintext: bool, table: Table) -> Address:
    if scheme not in ("http", "https", f"{ALERTMANAGER}http", f"{ALERTMANAGER}https"):
        service = service_of(scheme, where)
        check_parts(service, url, where)
        return Apprise(url, plaintext)
    headers = table.texts_by_name("headers")
    for header, value in headers.items():
        check(value, f"{table.place('headers')}: {header}")
        if header.lower() in ("authorization", "proxy-authorization", "cookie", "x-api-key"):
            refuse_literal_parts([value.rpartition(" ")[2]], f"{table.place('headers')}: {header}")
    if scheme.startswith(ALERTMANAGER):
        return Alertmanager(url.removeprefix(ALERTMANAGER), headers, plaintext)
    host = url.partition("://")[2].partition("/")[0].lower()
    if host in SECRET_HOSTS:
        raise table.wrong(f"{host} takes no plain JSON", f"write it as {SECRET_HOSTS[host]}://...", "to")
    secret = table.text("secret", "") or None
    if secret is not None:
        parse(secret, f"{table.place('secret')}: secret")
    return Webhook(url, secret, headers, plaintext)
