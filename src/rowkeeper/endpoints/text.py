"""Endpoints as people type them: `db.internal:5432`, `10.1.2.0/24`, `https://api.example.com/v1`."""

from __future__ import annotations

import re

from rowkeeper.endpoints.endpoint import Endpoint
from rowkeeper.endpoints.url import place_of_url

HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")


def endpoint_from(text: str, *, private: bool = False, why: str = "") -> Endpoint:
    """The endpoint that is meant by a host, an address or a network, with or without a port, or by a URL.

    Raises DeclarationError if it is none of them.
    """
    if "://" in text:
        _, host, port = place_of_url(text)
        return Endpoint(host, port, private=private, why=why)
    match = HOST_AND_PORT.fullmatch(text)
    if match is None:
        return Endpoint(text, None, private=private, why=why)
    return Endpoint(match["host"], int(match["port"]), private=private, why=why)
