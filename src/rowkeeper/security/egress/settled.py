"""What the settings declare: their own servers, what `egress_allow` lists, and by which proxy others are reached."""

from __future__ import annotations

import dataclasses

from rowkeeper.endpoints import Endpoint, Proxy, Via, endpoint_from, place_of_url
from rowkeeper.settings import Settings

# Settings that hold the URL of a server, the one that says by which interface, and what the server is for.
SERVICES = {
    "vault_address": ("vault_via", "the vault"),
    "oidc_issuer": ("oidc_via", "the identity provider"),
}


def proxy_of(settings: Settings) -> Proxy | None:
    """The proxy of public hosts; None where there is none."""
    return None if settings.proxy is None else Proxy(settings.proxy, password=settings.proxy_password)


def allowed_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """What `egress_allow` lists: whoever wrote it there means it, private or not."""
    return tuple(endpoint_from(each, private=True, why="egress_allow") for each in settings.egress_allow)


def service_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """The servers that Rowkeeper itself asks, and the proxy."""
    found = []
    for name, (by, why) in SERVICES.items():
        url = getattr(settings, name, None)
        if url is not None:
            _, host, port = place_of_url(str(url))
            via = getattr(settings, by, None)
            found.append(Endpoint(host, port, private=True, why=why, via=None if via is None else Via.parse(via)))
    found += _clickhouse(settings)
    kept = [*filter(None, [settings.audit_url]), *(each.partition(" ")[0] for each in settings.audit_witnesses)]
    found += [Endpoint(*place_of_url(url)[1:], private=True, why="the audit trail's checkpoints") for url in kept]
    proxy = proxy_of(settings)
    return (*found, *([] if proxy is None else [Endpoint.of_proxy(proxy)]))


def _clickhouse(settings: Settings) -> list[Endpoint]:
    """The ClickHouse server and its replicas. The user before the host is none of anybody's business here."""
    urls = [*filter(None, [settings.clickhouse_url]), *settings.clickhouse_replicas]
    via = None if settings.clickhouse_via is None else Via.parse(settings.clickhouse_via)
    found = []
    for url in urls:
        scheme, _, rest = url.partition("://")
        usual = {"http": 8123, "https": 8443}.get(scheme)
        _, host, port = place_of_url(f"{scheme}://{rest.rpartition('@')[2]}", port=usual)
        found.append(Endpoint(host, port, private=True, why="ClickHouse", via=via))
    return found


def by_way_of(endpoint: Endpoint, proxy: Proxy | None) -> Endpoint:
    """The endpoint with the way it is reached written on it: the proxy of the settings is for public TCP hosts."""
    if proxy is None or endpoint.proxy is not None or endpoint.via is not None or endpoint.protocol != "tcp":
        return endpoint
    if endpoint.private or endpoint.is_loopback:
        return endpoint
    return dataclasses.replace(endpoint, proxy=proxy)
