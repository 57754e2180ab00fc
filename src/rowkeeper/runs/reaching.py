"""What may be reached: the endpoints that settings and pipelines declare, each once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from rowkeeper.endpoints import Endpoint, Proxy
from rowkeeper.ledger import ledger_endpoints
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.guard import Guard, stand
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.egress.settled import allowed_endpoints, by_way_of, proxy_of, service_endpoints
from rowkeeper.security.references import resolve
from rowkeeper.settings import Settings

if TYPE_CHECKING:
    from rowkeeper.pipeline import Pipeline


def settled_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Those of the settings: the ledger, the vault, the proxy, the bucket of backups, and what `egress_allow` lists.

    Raises SettingsError or ConfigurationError for one that is none.
    """
    ledger = ledger_endpoints(settings.ledger_url, settings.ledger_via)
    return (*ledger, *service_endpoints(settings), *_of_backups(settings), *allowed_endpoints(settings))


def _of_backups(settings: Settings) -> tuple[Endpoint, ...]:
    """None for backups in a folder, for which nothing is imported."""
    if settings.backup_to is None or "://" not in settings.backup_to:
        return ()
    from rowkeeper.stores.opening import endpoints_of  # noqa: PLC0415 - few have one
    from rowkeeper.stores.settled import place_of_backups  # noqa: PLC0415

    found = [endpoints_of(*place_of_backups(settings, pruning=each)) for each in (False, True)]
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def declared_endpoints(settings: Settings, pipelines: Iterable[Pipeline]) -> tuple[Endpoint, ...]:
    """Those of the settings, then those of the pipelines with their proxies; of equal ones the first.

    With the endpoints of proxies: what is reached by a proxy (`Endpoint.proxy`) needs no way of its own.

    Raises SettingsError or ConfigurationError for one that is none.
    """
    proxy = proxy_of(settings)
    found = [by_way_of(each, proxy) for pipeline in pipelines for each in pipeline.reached]
    proxies = [Endpoint.of_proxy(each.proxy) for each in found if isinstance(each.proxy, Proxy)]
    return tuple(dict.fromkeys([*settled_endpoints(settings), *proxies, *found]))


def gateway_of(settings: Settings) -> Gateway:
    """The way to what the settings declare; a connector adds its own endpoints."""
    return Gateway(Egress(settled_endpoints(settings), settings.egress), proxy_of(settings), resolve)


def guard_process(settings: Settings) -> None:
    """From now on this process connects to what the settings declare, and the pipelines that are chosen, alone."""
    if settings.egress != "off":
        stand(Guard(Egress(settled_endpoints(settings), settings.egress), proxy_of(settings)))
