"""`rk.sources.stream`: what a person writes, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from rowkeeper.brokers.declaring import Auth, Broker, Kind
from rowkeeper.errors import DeclarationError
from rowkeeper.resilience.policy import Resilience
from rowkeeper.security.tls import TLS
from rowkeeper.sources.stream.decoding import TOLD, Decoder, Json
from rowkeeper.sources.stream.source import StreamSource

GROUP = re.compile(r"[A-Za-z0-9_-]{1,200}")
TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def stream(
    url: str,
    *,
    decoder: Decoder | None = None,
    columns: Mapping[str, str] | None = None,
    field: str | None = "data",
    start: Literal["earliest", "latest"] = "earliest",
    lost: Literal["fail", "skip"] = "fail",
    max_rows: int = 100_000,
    max_wait: float | str | timedelta = 5.0,
    lag_max: int | None = None,
    group: str | None = None,
    auth: Auth | None = None,
    name: str | None = None,
    resilience: Resilience | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
) -> StreamSource:
    """Messages of a stream: Kafka, NATS JetStream, Valkey or Redis.

    Each run reads what is there and was not loaded before, `max_rows` at most, and adds it. `rowkeeper run --follow`
    makes one run after another.

    Args:
        url: `kafka://host:port,host:port/topic`, `nats://host/stream?subject=orders.>`, `valkey://host/key?db=0`,
            `redis://host/key`; with an `s` (`kafkas`, `natss`, `valkeys`, `rediss`) by TLS.
        decoder: what a message says; None: JSON.
        columns: what of a message is told beside what it says, and as which member: `{"offset": "at", "key": "k"}`, of
            key (of NATS the subject), timestamp, headers, offset, partition.
        field: of Valkey: which field of an entry is the message; None: all of them are, as an object of texts.
        start: where the first run begins: with all that there is, or with what comes from then on.
        lost: what it means that the broker removed messages before they were read: the run fails, or goes on without
            them and says so in the log.
        max_rows: how many messages a run takes.
        max_wait: how long `--follow` lets the first message wait for others, in seconds, or as `"5s"`, `"500ms"`.
        lag_max: so many messages of a partition may wait before `rowkeeper health` calls it late.
        group: a consumer group (of NATS a durable consumer) that is moved on after each run, for whoever looks at the
            broker. Nothing is read from it.
        auth: who we are: `Sasl` (Kafka), `Basic` (NATS, Valkey), `Bearer`, `Nkey` (NATS); secrets by reference.
        name: of the source in the ledger, for good; None is the URL with its first host.
        resilience: how calls survive: `rk.Resilience(...)`. None tries six times, within 5 minutes.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be reached without TLS.

    Raises:
        DeclarationError: an argument is not possible.
        SecretLiteral: a secret stands where a reference to one belongs.
    """
    broker = Broker.of(url, auth=auth, tls=tls, plaintext=plaintext, resilience=resilience)
    told = dict(columns or {})
    unknown = sorted(set(told) - set(TOLD))
    if unknown or not all(isinstance(each, str) and each for each in told.values()):
        raise DeclarationError(f"columns={told!r}", hint=f"of {', '.join(TOLD)}, each with the name of a member")
    if len(set(told.values())) < len(told):
        raise DeclarationError("columns: two of them have one name", hint="give each a name of its own")
    if decoder is not None and not isinstance(decoder, Decoder):
        raise DeclarationError("decoder is none", hint="an object with a name, and decode(message)")
    if field != "data" and broker.kind is not Kind.VALKEY:
        raise DeclarationError("field is of Valkey's entries", hint="leave it out")
    for word, given, known in (("start", start, ("earliest", "latest")), ("lost", lost, ("fail", "skip"))):
        if given not in known:
            raise DeclarationError(f"{word}={given!r}", hint=f"one of {', '.join(known)}")
    for word, number in (("max_rows", max_rows), ("lag_max", lag_max)):
        if number is not None and (type(number) is not int or number < 1):
            raise DeclarationError(f"{word}={number!r}", hint="a number from 1 on")
    if group is not None and not GROUP.fullmatch(group):
        raise DeclarationError(f"group={group!r}", hint="letters, digits, '-' and '_'")
    return StreamSource(
        name=name or broker.place,
        broker=broker,
        decoder=decoder or Json(),
        told=told,
        field=field,
        start=start,
        lost=lost,
        max_rows=max_rows,
        max_wait_seconds=_seconds(max_wait),
        lag_max=lag_max,
        group=group,
    )


def _seconds(given: Any) -> float:
    found = given
    if isinstance(given, timedelta):
        found = given.total_seconds()
    elif isinstance(given, str) and (match := TIME.fullmatch(given.strip())):
        found = float(match[1]) * UNITS[match[2]]
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < math.inf:
        raise DeclarationError(f"max_wait={given!r}", hint='seconds, or "5s", "500ms", timedelta(seconds=5)')
    return float(found)
