"""Where a database is, by SQLAlchemy's names: `postgresql+psycopg://reader@db.example.com/shop`, `sqlite:///shop.db`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rowkeeper.configuration.literal import refuse_url
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean

Backend = Literal["postgresql", "mysql", "sqlite"]
BACKENDS: tuple[Backend, ...] = ("postgresql", "mysql", "sqlite")
SCHEMES: dict[str, Backend] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
    "mysql": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
PORTS: dict[Backend, int] = {"postgresql": 5432, "mysql": 3306}
TAKEN: dict[Backend, tuple[str, ...]] = {
    "postgresql": ("host", "sslmode", "sslrootcert", "target_session_attrs"),
    "mysql": ("unix_socket",),
}
HOW_TO = 'give it beside the URL: password="env:DB_PASSWORD"'
EXAMPLES = "such as postgresql+psycopg://reader@db.example.com/shop, mysql+pymysql://..., sqlite:///shop.db"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A database.

    Attributes:
        host: a name, an address, or the folder (PostgreSQL) or file (MySQL) of a Unix socket.
        database: its name; of SQLite the absolute path of its file.
        options: further words for the driver.
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
        return f"{self.backend}:{f'[{host}]' if ':' in host else host}:{self.port}/{self.database}"

    @property
    def is_local(self) -> bool:
        """Whether it is reached without the network."""
        return self.backend == "sqlite" or not self.host or self.host.startswith(("/", "@"))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is reached by the network. Whoever writes a database's host means it, in a private network as well."""
        return () if self.is_local else (Endpoint(self.host, self.port, private=True, why="the database"),)


def is_database(text: str) -> bool:
    """Whether a text is the URL of a database that can be read."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def place_of(url: str, what: str, backends: Sequence[Backend] = BACKENDS) -> Place:
    """A URL, taken apart.

    Args:
        what: where it stands, for messages: `rk.sources.database(url)`.
        backends: which databases can be used there.

    Raises:
        DeclarationError: it is none of such a database.
        SecretLiteral: there is a password in it.
    """
    if not isinstance(url, str) or "://" not in url:
        raise DeclarationError(f"{what}: the URL of a database is none", hint=EXAMPLES)
    refuse_url(url, what, hint=HOW_TO)
    scheme = url.partition("://")[0]
    backend = SCHEMES.get(scheme)
    if backend is None or backend not in backends:
        known = [name for name, each in SCHEMES.items() if each in backends]
        raise DeclarationError(
            f"{what}: {scheme} is no database, or no driver, that can be used",
            hint=did_you_mean(scheme, known, f"it can be {', '.join(backends)}"),
        )
    if backend == "sqlite":
        return _sqlite(url, what)
    return _served(url, backend, what)


def _sqlite(url: str, what: str) -> Place:
    path = unquote(url.partition("://")[2].removeprefix("/"))
    if url.partition("://")[2][:1] != "/" or not path or path == ":memory:" or "?" in url:
        raise DeclarationError(
            f"{what}: the URL of SQLite leads to no file",
            hint="sqlite:///shop.db beside the pipeline file, sqlite:////srv/shop.db anywhere",
        )
    return Place("sqlite", "", 0, "", str(Path(path).expanduser().absolute()))


def _served(url: str, backend: Backend, what: str) -> Place:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    for name in options:
        if name not in TAKEN[backend]:
            raise DeclarationError(
                f"{what}: the parameter {name} of the URL is not taken",
                hint=did_you_mean(name, TAKEN[backend], "taken are " + ", ".join(TAKEN[backend])),
            )
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise DeclarationError(f"{what}: the URL names no database", hint=EXAMPLES)
    host, port = _host(parts, backend, options, what)
    return Place(backend, host, port, unquote(parts.username or ""), database, tuple(sorted(options.items())))


def _host(parts: SplitResult, backend: Backend, options: dict[str, str], what: str) -> tuple[str, int]:
    """The socket that a parameter names, or the host of the URL; what was used of the parameters is taken out."""
    socket = options.pop("host" if backend == "postgresql" else "unix_socket", "")
    if parts.hostname:
        if socket:
            raise DeclarationError(f"{what}: the URL has two hosts", hint=EXAMPLES)
        _, host, port = place_of_url(f"{backend}://{parts.netloc.rpartition('@')[2]}", port=PORTS[backend])
        return host, port
    if socket and not socket.startswith(("/", "@")):
        raise DeclarationError(f"{what}: the socket in the URL is no absolute path", hint=EXAMPLES)
    return socket, PORTS[backend]
