"""A broker as it is declared: `kafka://b1:9092,b2:9092/orders`, `natss://nats.internal/ORDERS?subject=orders.eu`.

| scheme                | broker            | TLS | port |
|-----------------------|-------------------|-----|------|
| `kafka`, `kafkas`     | Kafka             | s   | 9092, 9093 |
| `nats`, `natss`       | NATS JetStream    | s   | 4222 |
| `valkey`, `valkeys`   | Valkey            | s   | 6379 |
| `redis`, `rediss`     | Redis             | s   | 6379 |
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from rowkeeper.brokers.credentials import Nkey, Sasl
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.security.httpauth import Basic, Bearer
from rowkeeper.security.tls import TLS

Auth = Basic | Bearer | Sasl | Nkey


class Kind(enum.StrEnum):
    """Which broker."""

    KAFKA = "kafka"
    NATS = "nats"
    VALKEY = "valkey"


SCHEMES = {
    "kafka": (Kind.KAFKA, False, 9092),
    "kafkas": (Kind.KAFKA, True, 9093),
    "nats": (Kind.NATS, False, 4222),
    "natss": (Kind.NATS, True, 4222),
    "valkey": (Kind.VALKEY, False, 6379),
    "valkeys": (Kind.VALKEY, True, 6379),
    "redis": (Kind.VALKEY, False, 6379),
    "rediss": (Kind.VALKEY, True, 6379),
}
TAKES: Mapping[Kind, tuple[type, ...]] = {
    Kind.KAFKA: (Sasl,),
    Kind.NATS: (Basic, Bearer, Nkey),
    Kind.VALKEY: (Basic,),
}
PARAMETERS = {Kind.KAFKA: frozenset[str](), Kind.NATS: frozenset({"subject"}), Kind.VALKEY: frozenset({"db"})}
NAMES = {
    Kind.KAFKA: re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}"),  # Topic.java of Kafka
    Kind.NATS: re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,255}"),  # the server's own rule for streams
    Kind.VALKEY: re.compile(r"[^\x00-\x1f\x7f]{1,1024}"),
}
SUBJECT = re.compile(r"(?!\.)(?!.*\.\.)[^\s\x00-\x1f\x7f]{1,255}(?<!\.)")
CALLED = {Kind.KAFKA: "topic", Kind.NATS: "stream", Kind.VALKEY: "stream"}


@dataclasses.dataclass(frozen=True)
class Broker:
    """Where a broker is, which of its streams is meant, and how it is reached. Made by `of`.

    Attributes:
        hosts: host and port of each server that is named; others that a Kafka cluster tells of must be declared too.
        stream: the topic (Kafka), the stream (NATS), the key (Valkey).
        secure: TLS is demanded.
        parameters: `subject` of NATS, `db` of Valkey.
        auth: who we are.
        tls: whose certificates are trusted; None is what the settings say.
        plaintext: a host off this machine may be reached without TLS.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    stream: str
    secure: bool
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    auth: Auth | None = None
    tls: TLS | None = None
    plaintext: bool = False
    resilience: Resilience | None = None

    @classmethod
    def of(
        cls,
        url: str,
        *,
        auth: Auth | None = None,
        tls: TLS | None = None,
        plaintext: bool = False,
        resilience: Resilience | None = None,
    ) -> Self:
        """The broker of a URL.

        Raises DeclarationError for a URL that is none, that holds a secret, or does not fit the rest.
        """
        if not isinstance(url, str) or "://" not in url:
            raise DeclarationError("the URL of a stream is a text", hint="such as kafka://b1:9092,b2:9092/orders")
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES:
            raise DeclarationError(f"{scheme[:20]!r} is no broker that is known", hint=f"one of {', '.join(SCHEMES)}")
        kind, secure, port = SCHEMES[scheme]
        where, _, query = rest.partition("?")
        places, _, path = where.partition("/")
        found = [place_of_url(f"{scheme}://{each}", port=port)[1:] for each in places.split(",")]
        if kind is Kind.VALKEY and len(found) > 1:
            raise DeclarationError("Valkey is reached at one host", hint="name the one that holds the stream")
        stream = unquote(path)
        if not NAMES[kind].fullmatch(stream):
            raise DeclarationError(
                f"the URL of {found[0][0]} names no {CALLED[kind]}",
                hint=f"such as {scheme}://{found[0][0]}:{found[0][1]}/orders",
            )
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        _check_parameters(kind, parameters)
        if auth is not None and not isinstance(auth, TAKES[kind]):
            raise DeclarationError(
                f"auth={type(auth).__name__} says nothing to {kind.value}",
                hint=f"one of {', '.join(f'rk.sources.{each.__name__}' for each in TAKES[kind])}",
            )
        check_resilience(resilience, hedges=False)
        return cls(kind, tuple(found), stream, secure, parameters, auth, tls, plaintext, resilience)

    @property
    def scheme(self) -> str:
        """`kafka`, `kafkas` and so on; Redis is `valkey` here."""
        return self.kind.value + ("s" if self.secure else "")

    @property
    def place(self) -> str:
        """What is meant, for people, and as the stream's name in the ledger: the first host stands for all."""
        host, port = self.hosts[0]
        subject = f"?subject={self.parameters['subject']}" if "subject" in self.parameters else ""
        db = f"?db={self.parameters['db']}" if self.parameters.get("db", "0") != "0" else ""
        return f"{self.kind.value}://{f'[{host}]' if ':' in host else host}:{port}/{self.stream}{subject}{db}"

    @property
    def called(self) -> str:
        """`topic` or `stream`."""
        return CALLED[self.kind]

    def endpoints(self) -> Sequence[Endpoint]:
        """The servers that are named."""
        return tuple(Endpoint(host, port, why=self.kind.value) for host, port in self.hosts)

    def describe(self) -> Mapping[str, Any]:
        """JSON values; secrets are references here, too."""
        return {
            "broker": self.kind.value,
            "hosts": [f"{host}:{port}" for host, port in self.hosts],
            "stream": self.stream,
            "secure": self.secure,
            "parameters": dict(self.parameters),
            "auth": None if self.auth is None else dict(self.auth.describe()),
        }


def _check_parameters(kind: Kind, parameters: Mapping[str, str]) -> None:
    unknown = sorted(set(parameters) - PARAMETERS[kind])
    if unknown:
        raise DeclarationError(
            f"the URL of a {kind.value} stream has {unknown[0][:40]!r} in its query",
            hint=f"it may have {', '.join(PARAMETERS[kind]) or 'nothing there'}",
        )
    if "subject" in parameters and not SUBJECT.fullmatch(parameters["subject"]):
        raise DeclarationError("subject= in the URL is no subject of NATS", hint="such as ?subject=orders.eu.*")
    if "db" in parameters and not re.fullmatch(r"[0-9]{1,4}", parameters["db"]):
        raise DeclarationError("db= in the URL is no number", hint="such as ?db=0")
