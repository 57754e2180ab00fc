"""`rk.destinations.database`: what a person writes, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from rowkeeper.configuration.reference import parse
from rowkeeper.databases import Place, place_of
from rowkeeper.databases.postgresql import transport_of
from rowkeeper.destinations.declared import check_columns, check_fallback, check_writing, names_of
from rowkeeper.destinations.relational.session import DatabaseSession
from rowkeeper.destinations.relational.statements import Statements
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import DeclarationError
from rowkeeper.protocols import DuplicatePolicy, Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.security.tls import TLS

NAME_BYTES_MAX = 63
OWN = ("_rk_", "_rowkeeper_")


@dataclasses.dataclass(frozen=True)
class DatabaseDestination:
    """A table of PostgreSQL or SQLite. Guarantee: exactly once.

    Made by `database()`, which says what each attribute means. A run is published in one transaction, in which the
    table of commits says by which run.
    """

    url: str
    table: str
    schema: str | None
    write_mode: WriteMode
    key: tuple[str, ...]
    version: str | None
    duplicates: DuplicatePolicy | None
    password: str | None = None
    tls: TLS | None = None
    plaintext: bool = False
    fallback: Fallback | None = None
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def place(self) -> Place:
        """The database."""
        return place_of(self.url, "rk.destinations.database(url)", ("postgresql", "sqlite"))

    @property
    def target(self) -> str:
        """Names the table over all pipelines."""
        schema = f"{self.schema or 'public'}." if self.place.backend == "postgresql" else ""
        return f"{self.place.name}/{schema}{self.table}"

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive, which no run depends on."""
        plain = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("tls", "resilience")
        }
        plain["key"] = list(self.key)
        # SQLite's path is of this folder; whoever goes on with the run may be in another one.
        plain["url"] = f"sqlite:///{self.place.database}" if self.place.backend == "sqlite" else self.url
        return {"kind": "database", **plain, "tls": None if self.tls is None else self.tls.document()}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {name: value for name, value in description.items() if name != "kind"}
        tls = values.pop("tls", None)
        return cls(**{**values, "key": tuple(values["key"]), "tls": None if tls is None else TLS(**tls)})

    def endpoints(self) -> Sequence[Endpoint]:
        """The database's host."""
        return self.place.endpoints()

    def unfit(self, rows: pa.Table) -> Mapping[str, tuple[Sequence[int], str]]:
        """By column, the positions of rows whose value the table cannot hold, and why: they go to quarantine."""
        dialect = _dialect_of(self, None)
        found = {field.name: dialect.unfit(field, rows.column(field.name)) for field in rows.schema}
        return {name: (places, why) for name, (places, why) in found.items() if places}

    def connect(self, site: Site, schema: pa.Schema | None) -> DatabaseSession:
        """A session for one run, or for inspection where `schema` is None; the database is reached when first needed.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        if schema is not None:
            self._check_columns(schema.names)
        dialect = _dialect_of(self, site)
        statements = Statements(dialect, self.place.name, site.calls, self.resilience)
        return DatabaseSession(self, site.ledger_id, schema, dialect, statements)

    def _check_columns(self, columns: Sequence[str]) -> None:
        named = {"key": self.key, "version": [self.version] if self.version else []}
        check_columns(f"the table {self.table}", named, columns)


def _dialect_of(made: DatabaseDestination, site: Site | None) -> Any:
    """The dialect, with the way to the database if it is to be reached."""
    if made.place.backend == "sqlite":
        from rowkeeper.destinations.relational.sqlite import SQLite  # noqa: PLC0415 - one of the two is needed

        return SQLite(made.place.database)
    from rowkeeper.destinations.relational.postgresql import PostgreSQL  # noqa: PLC0415 - of an extra, and slow to import

    way_out = None if site is None or site.way_out is None else site.way_out.declaring(made.endpoints())
    default = None if site is None else site.default_tls
    return PostgreSQL(made.place, made.password, transport_of(made.tls or default, made.plaintext), way_out)


def database(
    url: str,
    table: str,
    *,
    schema: str | None = None,
    write: WriteMode = "append",
    key: Sequence[str] = (),
    version: str | None = None,
    duplicates: DuplicatePolicy | None = None,
    password: str | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
    resilience: Resilience | None = None,
    fallback: Fallback | None = None,
) -> DatabaseDestination:
    """A table of PostgreSQL or SQLite, made from the contract if it is not there. Guarantee: exactly once.

    Args:
        url: `postgresql://USER@HOST:PORT/DATABASE`, or `sqlite:///PATH`. No password is in it.
        table: its name.
        schema: of PostgreSQL, where the table lies; it has to be there. None is `public`.
        write: `append` adds rows; `replace` makes the table exactly what the run reads; `merge` replaces rows of the
            same key.
        key: the columns that identify a row; they must not be optional.
        version: with `merge`, a column: a row replaces one of the same key only if its version is not lower.
        duplicates: what becomes of a row whose key was there before, in the run or in the table: `skip` drops it,
            `quarantine` sets it aside with its reason, `replace` lets it take the former one's place. None looks for
            no duplicates.
        password: a reference, such as `env:PGPASSWORD` or `vault:databases/sales#password`, read at each connect.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be reached without TLS, or without checking who answers.
        resilience: how transactions survive: `rk.Resilience(...)`. None tries five times within some seconds.
        fallback: what is done with a run when the database cannot be reached: None lets it fail; `spool` seals what it
            read into encrypted files under the state folder, and publishes it, in order and once, as soon as that is
            possible.

    Raises:
        DeclarationError: the arguments do not fit together.
        SecretLiteral: a password stands where a reference belongs.
    """
    made = DatabaseDestination(
        url=url,
        table=table,
        schema=schema,
        write_mode=write,
        key=names_of("key", key),
        version=version,
        duplicates=duplicates,
        password=password,
        tls=tls,
        plaintext=plaintext,
        fallback=fallback,
        resilience=resilience,
    )
    _check(made)
    return made


def _check(made: DatabaseDestination) -> None:
    place = made.place
    check_resilience(made.resilience, hedges=False)
    for name in (made.table, *([made.schema] if made.schema is not None else [])):
        is_text = isinstance(name, str) and "\0" not in name and 0 < len(name.encode()) <= NAME_BYTES_MAX
        if not is_text or name.startswith(OWN):
            raise DeclarationError(
                f"{name!r} cannot name a table or schema here",
                hint=f"1 to {NAME_BYTES_MAX} bytes; names that begin with _rk_ or _rowkeeper_ are Rowkeeper's own",
            )
    if place.backend == "sqlite" and any((made.schema, made.password, made.tls, made.plaintext)):
        raise DeclarationError(
            "schema, password, tls and plaintext are of a server", hint="SQLite is a file: leave them out"
        )
    if made.password is not None:
        parse(made.password, "rk.destinations.database(password=)")
    if made.tls is not None and not isinstance(made.tls, TLS):
        raise DeclarationError(f"tls={type(made.tls).__name__} is none", hint="tls=rk.TLS(ca=...)")
    check_fallback(made.fallback)
    check_writing(made)
