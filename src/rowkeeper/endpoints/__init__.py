"""Endpoints: the places on the network that pipelines and settings declare; nothing else is reached."""

from rowkeeper.endpoints.endpoint import DIRECT, PROTOCOLS, Endpoint, Network
from rowkeeper.endpoints.host import canonical_host, is_loopback_name, literal
from rowkeeper.endpoints.proxy import Proxy
from rowkeeper.endpoints.text import endpoint_from
from rowkeeper.endpoints.url import place_of_url
from rowkeeper.endpoints.via import Via

__all__ = [
    "DIRECT",
    "PROTOCOLS",
    "Endpoint",
    "Network",
    "Proxy",
    "Via",
    "canonical_host",
    "endpoint_from",
    "is_loopback_name",
    "literal",
    "place_of_url",
]
