"""The declaration of a ClickHouse table in a pipeline."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pyarrow as pa

from rowkeeper.destinations.declared import check_columns, check_fallback, check_writing, names_of
from rowkeeper.destinations.embedded.client import ENGINE
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.mergetree.engine import Engine
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.server.place import Quorum, Server, declared_server, settled_server
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import DeclarationError
from rowkeeper.protocols import DuplicatePolicy, Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.security.tls import TLS

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")
DATABASE = "default"


@dataclasses.dataclass(frozen=True)
class ClickHouseDestination:
    """A ClickHouse table, embedded or at a server. Guarantee: exactly once.

    Made by `clickhouse()`, which says what each attribute means.

    Attributes:
        server: where it is; None is where the settings say, and False the embedded engine whatever they say: so are
            the tables of runs that the ledger knows.
    """

    table: str
    database: str | None
    order_by: tuple[str, ...]
    partition_by: str | None
    write_mode: WriteMode
    key: tuple[str, ...]
    version: str | None
    duplicates: DuplicatePolicy | None
    codecs: Mapping[str, str]
    low_cardinality: tuple[str, ...]
    fallback: Fallback | None = None
    server: Server | Literal[False] | None = None
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def target(self) -> str:
        """Names the table over all pipelines."""
        placed = self.placed()
        return f"clickhouse:{placed.server.name if placed.server else 'embedded'}/{placed.database}.{placed.table}"

    def placed(self) -> Self:
        """The same, with the server and the database that it is in by the settings, where it names none itself."""
        server = settled_server() or False if self.server is None else self.server
        database = self.database or (server.database if server else DATABASE)
        return dataclasses.replace(self, server=server, database=database)

    def endpoints(self) -> Sequence[Endpoint]:
        """The replicas of the server, if it names one. That of the settings is declared there."""
        return self.server.endpoints() if self.server else ()

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive, which no run depends on."""
        placed = self.placed()
        names = [name for name in _described(type(self)) if name not in ("fallback", "server")]
        names += ["fallback"] if self.fallback is not None else []
        server = {"server": placed.server.describe()} if placed.server else {}
        return {"kind": "clickhouse", **{name: getattr(placed, name) for name in names}, **server}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {name: description[name] for name in _described(cls) if name in description}
        lists = {name: tuple(values[name]) for name in ("order_by", "key", "low_cardinality")}
        there = description.get("server")
        server = {"server": Server.from_description(there) if there else False}
        return cls(**{**values, **lists, **server})

    def connect(self, site: Site, schema: pa.Schema | None) -> TableSession:
        """Opens the table for one run, or for inspection where `schema` is None.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        if schema is not None:
            self._check_columns(schema.names)
        placed = self.placed()
        return TableSession(placed, schema, placed.engine(site), keeps_former=site.keeps_former)

    def engine(self, site: Site) -> Engine:
        """The ClickHouse that holds it, connected to. Raises as `connect`."""
        server = self.placed().server
        if not server:
            return EngineConnection(site, writes=True, policy=self.resilience or ENGINE)
        from rowkeeper.destinations.server.connection import SERVER, ServerConnection  # noqa: PLC0415 - few have one

        return ServerConnection(site, server, writes=True, policy=self.resilience or SERVER)

    def _check_columns(self, columns: Sequence[str]) -> None:
        named = {
            "order_by": [each for each in self.order_by if PLAIN_NAME.fullmatch(each)],  # others are expressions
            "key": self.key,
            "version": [self.version] if self.version else [],
            "codecs": list(self.codecs),
            "low_cardinality": self.low_cardinality,
        }
        # Rowkeeper's own columns are in the table, and in no contract.
        others = {what: [name for name in names if not name.startswith("_rk_")] for what, names in named.items()}
        check_columns(f"the table {self.table}", others, columns)


def _described(declared: type[ClickHouseDestination]) -> list[str]:
    return [field.name for field in dataclasses.fields(declared) if field.compare]


def clickhouse(
    table: str,
    *,
    database: str | None = None,
    order_by: Sequence[str],
    partition_by: str | None = None,
    write: WriteMode = "append",
    key: Sequence[str] = (),
    version: str | None = None,
    duplicates: DuplicatePolicy | None = None,
    codecs: Mapping[str, str] | None = None,
    low_cardinality: Sequence[str] = (),
    resilience: Resilience | None = None,
    fallback: Fallback | None = None,
    url: str | None = None,
    password: str | None = None,
    replicas: Sequence[str] = (),
    cluster: str | None = None,
    replicated: bool = False,
    quorum: Quorum | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
    via: str | None = None,
) -> ClickHouseDestination:
    """A table in ClickHouse, made from the contract if it is not there.

    It is in the server of `url`; without one in that of the settings (ROWKEEPER_CLICKHOUSE_URL); without that in the
    embedded engine. docs/clickhouse-server.md says what a server is asked to be.

    Args:
        table: its name: letters, digits and `_`.
        database: its database, made if it is not there. None is that of the server's URL, or `default`.
        order_by: the sorting key: columns or expressions.
        partition_by: an expression, such as `toYYYYMM(placed)`; None is one partition.
        write: `append` adds rows; `replace` makes the table exactly what the run reads; `merge` replaces rows of the
            same key.
        key: the columns that identify a row; they must not be optional.
        version: with `merge`, a column: a row replaces one of the same key only if its version is not lower.
        duplicates: what becomes of a row whose key was there before, in the run or in the table: `skip` drops it,
            `quarantine` sets it aside with its reason, `replace` lets it take the former one's place. None looks for
            no duplicates.
        codecs: column to compression codec, such as {"placed": "Delta, ZSTD"}.
        low_cardinality: text columns with few distinct values, to be stored as a dictionary.
        resilience: how statements survive an engine that goes away: `rk.Resilience(...)`. None tries three times within
            a second, opens the breaker for an engine that fails at every other of ten statements, and sets no time.
        fallback: what is done with a run when the table cannot be reached, or cannot take it for reasons of its own:
            None lets it fail; `spool` seals what it read into encrypted files under the state folder, and publishes it,
            in order and once, as soon as that is possible.
        url: a ClickHouse server: `https://USER@HOST:8443/DATABASE`, without a password.
        password: a reference to the user's password, such as `env:CLICKHOUSE_PASSWORD`. Without one a client
            certificate says who it is.
        replicas: URLs of more replicas of the same tables. A run stays with one that answers.
        cluster: the cluster on all of whose hosts tables are made and changed, where the database is not of the engine
            Replicated.
        replicated: tables are ReplicatedMergeTree.
        quorum: by how many replicas each insert is taken before it counts; `auto` is most of them.
        tls: whose certificates are trusted, and which one is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: the server may be reached on another machine without TLS.
        via: the interface by which alone it is reached, such as `wg0`.

    Raises:
        ConfigurationError: the arguments do not fit together.
    """
    beside: dict[str, Any] = {
        "password": password,
        "replicas": replicas,
        "cluster": cluster,
        "replicated": replicated,
        "quorum": quorum,
        "tls": tls,
        "plaintext": plaintext,
        "via": via,
    }
    if url is None and any(beside.values()):
        said = ", ".join(name for name, value in beside.items() if value)
        raise DeclarationError(f"{said} of a ClickHouse server without its url", hint="give url= as well, or leave out")
    made = ClickHouseDestination(
        table=table,
        database=database,
        order_by=names_of("order_by", order_by),
        partition_by=partition_by,
        write_mode=write,
        key=names_of("key", key),
        version=version,
        duplicates=duplicates,
        codecs=dict(codecs or {}),
        low_cardinality=names_of("low_cardinality", low_cardinality),
        resilience=resilience,
        fallback=fallback,
        server=None if url is None else declared_server(url, **beside),
    )
    _check(made)
    check_fallback(fallback)
    return made


def _check(made: ClickHouseDestination) -> None:
    check_resilience(made.resilience, hedges=False)
    for name in filter(None, (made.table, made.database)):
        if not NAME.fullmatch(name) or "__rk_" in name:
            raise DeclarationError(
                f"{name!r} cannot name a table or database here",
                hint="a letter, then letters, digits or '_'; names with __rk_ are Rowkeeper's own",
            )
    check_writing(made)
