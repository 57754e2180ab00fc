"""How a database is reached, as it is declared."""

from __future__ import annotations

import dataclasses

from rowkeeper.databases import Place
from rowkeeper.resilience.policy import Resilience
from rowkeeper.security.tls import TLS


@dataclasses.dataclass(frozen=True)
class Access:
    """How a database is reached.

    Attributes:
        password: a reference.
        parallel: how many connections read at a time.
    """

    place: Place
    password: str | None = None
    parallel: int = 4
    resilience: Resilience | None = None
    tls: TLS | None = None
    plaintext: bool = False
