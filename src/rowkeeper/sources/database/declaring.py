"""`rk.sources.database`: what a person writes, checked."""

from __future__ import annotations

from collections.abc import Sequence

from rowkeeper.configuration.reference import parse
from rowkeeper.databases import place_of
from rowkeeper.errors import DeclarationError
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.security.tls import TLS
from rowkeeper.sources.database.access import Access
from rowkeeper.sources.database.described import Asked
from rowkeeper.sources.database.increments import Increment
from rowkeeper.sources.database.source import DatabaseSource

PARALLEL, PARALLEL_MAX = 4, 32
WHAT = "rk.sources.database(url)"


def database(
    url: str,
    *,
    table: str | None = None,
    tables: str | None = None,
    query: str | None = None,
    columns: Sequence[str] | None = None,
    key: Sequence[str] | str | None = None,
    incremental: Increment | None = None,
    password: str | None = None,
    parallel: int = PARALLEL,
    name: str | None = None,
    resilience: Resilience | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
) -> DatabaseSource:
    """Rows of PostgreSQL, MySQL, MariaDB or SQLite.

    Without `incremental` each run reads everything, and its rows take the place of those of the run before, so that
    rows that were deleted are gone. With it each run reads what is new, and adds it.

    Args:
        url: such as `postgresql+psycopg://reader@db.example.com/shop`, `mysql+pymysql://reader@db.example.com/shop`,
            `sqlite:///shop.db`. Without a password.
        table: a table or a view: `orders`, or `sales.orders` with its schema.
        tables: those that fit a pattern, `sales.orders_*`: all have the contract's columns. Each is a partition.
        query: a SELECT; what `table` cannot say.
        columns: those that are read; None reads all.
        key: what tells the rows of a view or a query apart. Of a table the database knows it.
        incremental: by which column what is new is known: `rk.sources.Increment("updated_at")`.
        password: a reference: `env:DB_PASSWORD`, `file:...`, `vault:...`. None is for those that need none (`.pgpass`).
        parallel: how many connections read at a time; of PostgreSQL only, where a table's key is an integer.
        name: of the source in the ledger, for good; None is its table, pattern or query with its database.
        resilience: how calls survive: `rk.Resilience(...)`.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be reached without TLS.

    Raises:
        DeclarationError: an argument is not possible.
        SecretLiteral: a secret stands where a reference to one belongs.
    """
    place = place_of(url, WHAT)
    if password is not None:
        parse(password, "rk.sources.database(password=)")
    asked = _asked(table, tables, query, columns, key)
    if incremental is not None and not isinstance(incremental, Increment):
        raise DeclarationError(
            "incremental is no rk.sources.Increment",
            hint='incremental=rk.sources.Increment("updated_at", lookback=timedelta(minutes=10))',
        )
    if type(parallel) is not int or not 1 <= parallel <= PARALLEL_MAX:
        raise DeclarationError(f"parallel={parallel!r}", hint=f"a number of connections from 1 to {PARALLEL_MAX}")
    if tls is not None and not isinstance(tls, TLS):
        raise DeclarationError("tls is no rk.TLS", hint='tls=rk.TLS(ca="ca.pem")')
    check_resilience(resilience, hedges=False)
    return DatabaseSource(
        name=name or f"{place.name} {tables or asked.name if not query else ' '.join(query.split())}",
        access=Access(place, password, parallel, resilience, tls, plaintext),
        asked=asked,
        pattern=tables or "",
        increment=incremental,
    )


def _asked(
    table: str | None,
    tables: str | None,
    query: str | None,
    columns: Sequence[str] | None,
    key: Sequence[str] | str | None,
) -> Asked:
    given = [each for each in (table, tables, query) if each is not None]
    if len(given) != 1 or not isinstance(given[0], str) or not given[0].strip():
        raise DeclarationError(
            "rk.sources.database needs one of table=, tables= and query=", hint='table="public.orders"'
        )
    if isinstance(columns, str):
        raise DeclarationError("columns is one text", hint=f"columns are a list: columns=[{columns!r}]")
    if tables is not None and "*" not in tables and "?" not in tables:
        raise DeclarationError(f"tables={tables!r} is no pattern", hint=f"one table is table={tables!r}")
    names = (key,) if isinstance(key, str) else tuple(key or ())
    schema, _, bare = (table or "").rpartition(".")
    return Asked(schema, bare, query or "", tuple(columns or ()), names)
