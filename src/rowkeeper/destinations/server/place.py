"""Server: a ClickHouse server, as it is declared in a pipeline or by settings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from rowkeeper.configuration.literal import refuse_url
from rowkeeper.configuration.reference import parse
from rowkeeper.endpoints import Endpoint, Via, place_of_url
from rowkeeper.errors import DeclarationError, SettingsError
from rowkeeper.nearest import one_of
from rowkeeper.security.tls import TLS
from rowkeeper.settings import Settings

PORTS = {"http": 8123, "https": 8443}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
DEFAULT_USER = "default"
Quorum = int | Literal["auto"]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where one replica answers. `secure` is by TLS."""

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A ClickHouse server, or several that hold the same tables.

    Attributes:
        places: where it answers; the first names its tables for good, in ledger and leases.
        user: who writes.
        password: a reference to the user's password; None where a client certificate says who it is, or nobody asks.
        database: of tables that name none.
        cluster: on all of whose hosts tables are made and changed (`ON CLUSTER`); None for one server, and for a
            database of the engine Replicated, which sees to that by itself.
        replicated: tables are `ReplicatedMergeTree`.
        quorum: by how many replicas each insert is taken before it counts.
        tls: None is what the settings say.
        plaintext: it may be reached without TLS on another machine.
        via: the interface by which alone it is reached.
    """

    places: tuple[Place, ...]
    user: str = DEFAULT_USER
    password: str | None = None
    database: str = "default"
    cluster: str | None = None
    replicated: bool = False
    quorum: Quorum | None = None
    tls: TLS | None = None
    plaintext: bool = False
    via: str | None = None

    @property
    def name(self) -> str:
        """What it is called in targets, breakers and messages."""
        return str(self.places[0])

    @property
    def is_replicated(self) -> bool:
        """Whether several replicas hold the same rows."""
        return self.replicated or len(self.places) > 1

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every replica: whoever declares a server means its address, private or not."""
        via = None if self.via is None else Via.parse(self.via)
        return tuple(Endpoint(each.host, each.port, private=True, why="ClickHouse", via=via) for each in self.places)

    def describe(self) -> Mapping[str, Any]:
        """As JSON values; secrets are references."""
        tls = (
            None
            if self.tls is None
            else {
                key: [*value] if isinstance(value, tuple) else str(value)
                for key, value in dataclasses.asdict(self.tls).items()
                if value
            }
        )
        return {
            "urls": [f"{'https' if each.secure else 'http'}://{each}" for each in self.places],
            **{name: getattr(self, name) for name in ("user", "password", "database", "cluster", "replicated")},
            **{name: getattr(self, name) for name in ("quorum", "plaintext", "via")},
            "tls": tls,
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {key: value for key, value in description.items() if key not in ("urls", "tls")}
        tls = description.get("tls")
        places = tuple(_place(url)[0] for url in description["urls"])
        return cls(places=places, tls=None if tls is None else TLS(**tls), **values)


def declared_server(
    url: str,
    *,
    password: str | None = None,
    replicas: Sequence[str] = (),
    cluster: str | None = None,
    replicated: bool = False,
    quorum: Quorum | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
    via: str | None = None,
) -> Server:
    """A server by what somebody writes of it. Raises DeclarationError, and SecretLiteral for a password in a URL."""
    if isinstance(replicas, str):
        raise DeclarationError("replicas is one string", hint=f'give a list: replicas=["{replicas}"]')
    for each in (url, *replicas):
        refuse_url(each, "the URL of a ClickHouse server", hint='password="env:NAME", beside the URL')
    if password is not None:
        parse(password, "the password of a ClickHouse server")
    place, user, database = _place(url)
    others = [_place(each) for each in replicas]
    if any(other_user or other_database for _, other_user, other_database in others):
        raise DeclarationError(
            "a replica's URL names a user or a database", hint="user and database stand in url=, for all of them"
        )
    made = Server(
        places=(place, *(each for each, _, _ in others)),
        user=user or DEFAULT_USER,
        password=password,
        database=database or "default",
        cluster=cluster,
        replicated=replicated,
        quorum=quorum,
        tls=tls,
        plaintext=plaintext,
        via=via,
    )
    _check(made)
    return made


def _check(made: Server) -> None:
    if len(set(made.places)) < len(made.places):
        raise DeclarationError("a replica of a ClickHouse server is named twice", hint="name each of them once")
    if made.cluster is not None and not CLUSTER.fullmatch(made.cluster):
        raise DeclarationError(f"{made.cluster!r} cannot name a cluster", hint="its name in system.clusters")
    if made.cluster is not None and not made.replicated:
        raise DeclarationError(
            "cluster= makes tables on all of its hosts, and rows would come to one of them only",
            hint="replicated=True, on a cluster of one shard; or leave out cluster=",
        )
    if made.quorum is not None and not made.replicated:
        raise DeclarationError("a quorum is of replicated tables", hint="replicated=True, or leave out quorum=")
    if isinstance(made.quorum, str) and made.quorum != "auto":
        raise DeclarationError(f"quorum={made.quorum!r} is none", hint=one_of(made.quorum, ("auto",)))
    if made.quorum is not None and made.quorum != "auto" and not (type(made.quorum) is int and made.quorum >= 2):
        raise DeclarationError(f"quorum={made.quorum!r} is none", hint='2 or more replicas, or "auto" for most of them')


def _place(url: str) -> tuple[Place, str, str]:
    """Where, who, and which database. The user stands before the host, as drivers have it."""
    scheme, mark, rest = url.partition("://")
    user, _, bare = rest.rpartition("@")
    if scheme not in PORTS or not mark:
        raise DeclarationError("the URL of a ClickHouse server is none", hint="such as https://loader@ch.internal:8443")
    if ":" in user:
        raise DeclarationError("the URL of a ClickHouse server holds a password", hint='password="env:NAME" beside it')
    _, host, port = place_of_url(f"{scheme}://{bare}", port=PORTS[scheme])
    parts = urlsplit(f"{scheme}://{bare}")
    database = parts.path.strip("/")
    if parts.query or parts.fragment or (database and not NAME.fullmatch(database)):
        raise DeclarationError(
            f"the URL of the ClickHouse server {host} has more in it than user, host, port and database",
            hint="https://USER@HOST:PORT/DATABASE; all else has an argument or a setting of its own",
        )
    return Place(host, port, scheme == "https"), unquote(user), database


# ------------------------------------------------------------------------------------------ by settings


def server_of(settings: Settings) -> Server | None:
    """The server that the settings name, in the place of the embedded engine. Raises SettingsError."""
    if settings.clickhouse_url is None:
        for name in ("password", "replicas", "cluster", "replicated", "quorum", "plaintext", "via", "read_user"):
            if getattr(settings, f"clickhouse_{name}"):
                raise SettingsError(
                    f"clickhouse_{name} is set, and no server", hint="set ROWKEEPER_CLICKHOUSE_URL as well"
                )
        return None
    try:
        return declared_server(
            settings.clickhouse_url,
            password=settings.clickhouse_password,
            replicas=settings.clickhouse_replicas,
            cluster=settings.clickhouse_cluster,
            replicated=settings.clickhouse_replicated,
            quorum=settings.clickhouse_quorum,
            plaintext=settings.clickhouse_plaintext,
            via=settings.clickhouse_via,
        )
    except DeclarationError as error:
        raise SettingsError(f"clickhouse_url and its like: {error.what}", hint=error.hint) from error


def reader_of(settings: Settings, server: Server | None) -> Server | None:
    """The same server, as whoever only reads."""
    if server is None or settings.clickhouse_read_user is None:
        return server
    return dataclasses.replace(server, user=settings.clickhouse_read_user, password=settings.clickhouse_read_password)


class _Settled:
    """What a table is in that names no server, in this process; None is the embedded engine."""

    server: Server | None = None


@contextmanager
def settled_on(server: Server | None) -> Iterator[None]:
    """In the block, tables that name no server are in this one."""
    before, _Settled.server = _Settled.server, server
    try:
        yield
    finally:
        _Settled.server = before


def settled_server() -> Server | None:
    """The server of tables that name none; None is the embedded engine."""
    return _Settled.server
