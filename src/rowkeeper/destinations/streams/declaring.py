"""`rk.destinations.stream`: what a person writes, checked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from rowkeeper.brokers import Broker, Kind, Nkey, Sasl
from rowkeeper.destinations.declared import check_columns, check_fallback
from rowkeeper.destinations.streams.messages import OWN_BYTES, Encoder, Making
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import DeclarationError
from rowkeeper.protocols import Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience
from rowkeeper.security.httpauth import Basic, Bearer
from rowkeeper.security.tls import TLS

if TYPE_CHECKING:
    from rowkeeper.destinations.streams.session import StreamSession

Auth = Basic | Bearer | Sasl | Nkey
AUTHS: Mapping[str, type[Any]] = {each.__name__: each for each in (Basic, Bearer, Sasl, Nkey)}
MESSAGE_BYTES_MAX = 1_000_000
MESSAGE_BYTES_LEAST = 1_000
HEADER = re.compile(r"(?!rk-|nats-)[a-z0-9!#$&'*+.^_`|~-]{1,100}", re.IGNORECASE)
HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")


@dataclasses.dataclass(frozen=True)
class StreamDestination:
    """A topic of Kafka, or a stream of NATS JetStream or Valkey. Guarantee: exactly once.

    Made by `stream()`, which says what each attribute means.
    """

    broker: Broker
    making: Making
    fallback: Fallback | None = None
    missing_encoder: str | None = None
    guarantee = Guarantee.EXACTLY_ONCE
    write_mode: WriteMode = "append"

    @property
    def target(self) -> str:
        """Names the stream over all pipelines."""
        return f"stream:{self.broker.place}"

    def endpoints(self) -> Sequence[Endpoint]:
        """The servers that are named."""
        return self.broker.endpoints()

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive, and for an encoder, which is code."""
        making = dataclasses.asdict(self.making)
        encoder = making.pop("encoder")
        tls = self.broker.tls
        return {
            "kind": "stream",
            **self.broker.describe(),
            "plaintext": self.broker.plaintext,
            "tls": None if tls is None else _tls_document(tls),
            **making,
            **({} if encoder is None else {"encoder": f"{encoder.__module__}.{encoder.__qualname__}"}),
            **({} if self.fallback is None else {"fallback": self.fallback}),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`; one with an encoder can say what became of a run, and send nothing."""
        auth, tls = description["auth"], description["tls"]
        broker = Broker(
            Kind(description["broker"]),
            tuple(
                (host.strip("[]"), int(port)) for host, _, port in (at.rpartition(":") for at in description["hosts"])
            ),
            description["stream"],
            description["secure"],
            dict(description["parameters"]),
            None if auth is None else AUTHS[auth["kind"]](**{name: auth[name] for name in auth if name != "kind"}),
            None if tls is None else TLS(**tls),
            description["plaintext"],
        )
        making = Making(
            tuple(description["key"]),
            tuple((name, value) for name, value in description["headers"]),
            tuple((name, column) for name, column in description["header_columns"]),
            description["timestamp"],
            None,
            description["size_max"],
        )
        return cls(broker, making, description.get("fallback"), description.get("encoder"))

    def located(self, folder: Path) -> Self:
        """The same; nothing in it is a place on this machine that a pipeline file would be relative to."""
        del folder
        return self

    def connect(self, site: Site, schema: pa.Schema | None) -> StreamSession:
        """Opens the stream for one run, or for inspection where `schema` is None.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        from rowkeeper.destinations.streams.session import StreamSession  # noqa: PLC0415 - what it loads is not small

        if schema is not None:
            self._check_columns(schema)
        return StreamSession(self, site, schema)

    def _check_columns(self, schema: pa.Schema) -> None:
        named = {
            "key": self.making.key,
            "header_columns": tuple(column for _, column in self.making.header_columns),
            "timestamp": (self.making.timestamp,) if self.making.timestamp else (),
        }
        check_columns(self.broker.place, named, schema.names)
        stamp = self.making.timestamp
        if stamp is not None and not pa.types.is_timestamp(schema.field(stamp).type):
            raise DeclarationError(
                f"timestamp={stamp!r} of {self.broker.place} is no column of times",
                hint="a field of the type datetime.datetime",
            )


def stream(
    url: str,
    *,
    key: Sequence[str] | str = (),
    headers: Mapping[str, str] | None = None,
    header_columns: Mapping[str, str] | None = None,
    timestamp: str | None = None,
    encoder: Encoder | None = None,
    message_bytes_max: int = MESSAGE_BYTES_MAX,
    auth: Auth | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
    resilience: Resilience | None = None,
    fallback: Fallback | None = None,
) -> StreamDestination:
    """A stream of messages, to which each accepted row goes once, as a JSON object.

    Messages of the same key stay in the order of their rows. Each has the headers `rk-run` and `rk-row`, which say from
    where it came; it is exactly once for readers of committed messages (Kafka), for all others (NATS, Valkey).

    Args:
        url: `kafka://b1:9092,b2:9092/TOPIC`, `nats://host/STREAM?subject=orders.new`, `valkey://host/KEY`; with an `s`
            after the scheme (`kafkas`, `natss`, `valkeys`) by TLS. A `*` in a subject of NATS stands for the key.
        key: columns whose values are the message's key. One: its value as text. Several: a JSON array of texts.
        headers: the same for each message; no secrets.
        header_columns: header to column: its value as text; a null gives no header.
        timestamp: a column of times: the timestamp of Kafka, the header `rk-time` (milliseconds) of others.
        encoder: makes messages of rows, in the place of JSON: a function of an Arrow table that returns a list of
            bytes, one for each row. What it made cannot be verified.
        message_bytes_max: a row whose message is larger fails the run before anything is sent.
        auth: who we are: `rk.sources.Sasl` (Kafka), `rk.sources.Basic` (NATS, Valkey), `rk.sources.Bearer`,
            `rk.sources.Nkey` (NATS); secrets by reference.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be reached without TLS.
        resilience: how calls survive: `rk.Resilience(...)`.
        fallback: None: a run fails where the broker cannot be reached; `spool`: it is sealed away, and sent later.

    Raises:
        DeclarationError: an argument is not possible.
        SecretLiteral: a secret stands where a reference to one belongs.
    """
    broker = Broker.of(url, auth=auth, tls=tls, plaintext=plaintext, resilience=resilience)
    _check_subject(broker, key)
    if not isinstance(message_bytes_max, int) or message_bytes_max < MESSAGE_BYTES_LEAST:
        raise DeclarationError(
            f"message_bytes_max={message_bytes_max!r}", hint=f"a number of bytes from {MESSAGE_BYTES_LEAST:,} on"
        )
    check_fallback(fallback)
    if encoder is not None and not callable(encoder):
        raise DeclarationError("encoder= is no function", hint="one that makes a list of bytes of an Arrow table")
    for name, value in (headers or {}).items():
        if not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
            raise DeclarationError(f"the header {name!r} has no text for a value", hint='such as {"tenant": "acme"}')
    for name in (*(headers or {}), *(header_columns or {})):
        if not HEADER.fullmatch(name):
            raise DeclarationError(
                f"{name!r} cannot name a header", hint="letters, digits and -_.; names with rk- and nats- are taken"
            )
    making = Making(
        (key,) if isinstance(key, str) else tuple(key),
        tuple((headers or {}).items()),
        tuple((header_columns or {}).items()),
        timestamp,
        encoder,
        message_bytes_max,
    )
    return StreamDestination(broker, making, fallback)


def _check_subject(broker: Broker, key: Sequence[str] | str) -> None:
    subject = broker.parameters.get("subject", "")
    if ">" in subject or subject.count("*") > 1:
        raise DeclarationError(
            "subject= in the URL is none that can be published to", hint="a subject with one * at most, for the key"
        )
    if "*" in subject and not key:
        raise DeclarationError("a * in a subject stands for the key", hint='say of which columns: key=["customer"]')


def _tls_document(tls: TLS) -> Mapping[str, Any]:
    files = {name: getattr(tls, name) for name in ("ca", "cert", "key", "crl")}
    return {
        **{name: None if path is None else str(path) for name, path in files.items()},
        "passphrase": tls.passphrase,
        "pins": list(tls.pins),
    }


def broker_bytes(making: Making) -> int:
    """How large a message with all that is around it may become."""
    return making.size_max + OWN_BYTES
