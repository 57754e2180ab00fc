"""Where a database is, by its URL: `postgresql://loader@db.example.com/sales`, `sqlite:///data/sales.db`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from rowkeeper.configuration.literal import refuse_url
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean

Backend = Literal["postgresql", "sqlite"]
PORT = 5432
SCHEMES: dict[str, Backend] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
    "sqlite": "sqlite",
}
OF_LIBPQ = ("host", "sslmode", "sslrootcert", "target_session_attrs")
EXAMPLES = "such as postgresql://loader@db.example.com/sales, or sqlite:///data/sales.db"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A database.

    Attributes:
        host: of PostgreSQL: a name, an address, or the folder of a Unix socket. Empty is libpq's own default.
        database: of PostgreSQL its name, of SQLite the absolute path of its file.
        options: further words for libpq.
    """

    backend: Backend
    host: str
    port: int
    user: str
    database: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """For people, and for the ledger: no user, no password."""
        if self.backend == "sqlite":
            return f"sqlite:{self.database}"
        host = self.host or "localhost"
        return f"postgresql:{f'[{host}]' if ':' in host else host}:{self.port}/{self.database}"

    @property
    def is_socket(self) -> bool:
        """Whether it is reached without the network."""
        return self.backend == "sqlite" or not self.host or self.host.startswith(("/", "@"))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is reached by the network. Whoever writes a database's host means it, in a private network as well."""
        return () if self.is_socket else (Endpoint(self.host, self.port, private=True, why="the database"),)


def place_of(url: str) -> Place:
    """A URL, taken apart.

    Raises:
        DeclarationError: it is none of a database that can be written to.
        SecretLiteral: there is a password in it.
    """
    if not isinstance(url, str) or "://" not in url:
        raise DeclarationError("the URL of a database is none", hint=EXAMPLES)
    refuse_url(url, "rk.destinations.database(url)", hint='give it beside the URL: password="env:PGPASSWORD"')
    backend = SCHEMES.get(url.partition("://")[0])
    if backend is None:
        raise DeclarationError(
            f"{url.partition('://')[0]} is no database that can be written to", hint="PostgreSQL and SQLite are"
        )
    return _sqlite(url) if backend == "sqlite" else _postgresql(url)


def _sqlite(url: str) -> Place:
    path = unquote(url.removeprefix("sqlite://").removeprefix("/").partition("?")[0])
    if not url.startswith("sqlite:///") or not path or path == ":memory:" or "?" in url:
        raise DeclarationError(
            "the URL of SQLite leads to no file",
            hint="sqlite:///data/sales.db in this folder, sqlite:////srv/sales.db anywhere",
        )
    return Place("sqlite", "", 0, "", str(Path(path).expanduser().absolute()))


def _postgresql(url: str) -> Place:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    for name in options:
        if name not in OF_LIBPQ:
            raise DeclarationError(
                f"the URL of PostgreSQL has a parameter {name}, which is not taken",
                hint=did_you_mean(name, OF_LIBPQ, "taken are " + ", ".join(OF_LIBPQ)),
            )
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise DeclarationError("the URL of PostgreSQL names no database", hint=EXAMPLES)
    host, port = options.pop("host", ""), parts.port or PORT
    if parts.hostname:
        if host:
            raise DeclarationError("the URL of PostgreSQL has two hosts", hint=EXAMPLES)
        _, host, port = place_of_url(f"postgresql://{parts.netloc.rpartition('@')[2]}", port=PORT)
    elif host and not host.startswith(("/", "@")):
        raise DeclarationError("host= in the URL is for Unix sockets", hint=EXAMPLES)
    return Place("postgresql", host, port, unquote(parts.username or ""), database, tuple(sorted(options.items())))
