"""`rowkeeper init URL` writes a file that runs: a pipeline for each table, its contract from what the database says."""

from __future__ import annotations

import pytest

from tests.arena import Arena
from tests.sources.database.servers import PASSWORD, Postgres

KINDS = (
    "id bigint PRIMARY KEY, name text NOT NULL, note varchar(10), price numeric(12, 2) NOT NULL, ratio numeric, "
    "ok boolean, at timestamptz NOT NULL, day date, clock time, took interval, code uuid NOT NULL, doc jsonb, "
    "raw bytea, tags text[] NOT NULL, class int"
)
ROW = (
    "(1, 'a', NULL, 1.50, 1.25, true, '2026-01-01Z', '2026-01-01', '12:00', '1 hour', "
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1]}', '\\x00', '{x,y}', 7)"
)


@pytest.fixture
def shop(postgres: Postgres) -> Postgres:
    do = postgres.owner.execute
    do("DROP SCHEMA IF EXISTS shop CASCADE")
    do("CREATE SCHEMA shop")
    do("GRANT USAGE ON SCHEMA shop TO reader")
    do(f"CREATE TABLE shop.orders ({KINDS})")
    do(f"INSERT INTO shop.orders VALUES {ROW}")
    do("CREATE VIEW shop.names AS SELECT id, name FROM shop.orders")
    do("GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader")
    return postgres


def test_what_it_writes_loads_the_tables(shop: Postgres, own_arena: Arena):
    """Each type of a column finds its annotation, and each value its column."""
    own_arena.env["DB_PASSWORD"] = PASSWORD
    url = f"postgresql+psycopg://reader@/postgres?host={shop.front.sockets}"
    words = ("--tables", "shop.*", "--password", "env:DB_PASSWORD", "--output", "shop.py")
    assert own_arena.ok("init", url, *words, "--json")["pipelines"] == {"names": 2, "orders": 15}
    text = (own_arena.folder / "shop.py").read_text()
    for line in (
        "    note: str | None",
        "    price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]",
        "    ratio: Decimal | None",
        "    at: datetime",
        "    took: timedelta | None",
        "    code: UUID",
        "    doc: Json[Any] | None",
        "    tags: list[str]",
        """destinations.clickhouse("orders", order_by=['id'])""",
    ):
        assert line in text, line
    assert PASSWORD not in text
    for name in ("orders", "names"):
        account = own_arena.ok("run", f"shop.py:{name}", "--json")["account"]
        assert (account["read"], account["committed"]) == (1, 1), own_arena.ok("quarantine", "list", "--json")
    (row,) = own_arena.ok("query", "SELECT price, code, doc, tags, took FROM orders", "--json")["rows"]
    assert [str(each) for each in row[:2]] == ["1.50", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("init", "postgresql://reader:sesame@h/db"), "RK-6010"),
        (("init", "postgresql://reader@h/db", "--password", "sesame"), "RK-6010"),
        (("init", "ftp://h/db"), "RK-1102"),
    ],
)
def test_what_is_no_database_is_refused(arena: Arena, words: tuple[str, ...], code: str):
    """Literal secrets too, without telling them."""
    outcome = arena.run(*words)
    assert outcome.status == 2 or outcome.status == 1
    assert code in outcome.stderr
    assert "sesame" not in outcome.stderr + outcome.stdout


def test_options_of_a_database_are_none_of_a_file(arena: Arena):
    """Wrong usage."""
    assert arena.run("init", "x.csv", "--tables", "a.*").status == 2
