"""The same pipeline file at a server, by settings alone: loaded, rolled back, verified, asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rowkeeper.protocols import Change, Site
from tests.arena import Arena
from tests.destinations.server.serving import Front
from tests.destinations.server.tables import load, session

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel, Field

class Order(BaseModel):
    id: int = Field(gt=0)
    city: str
    fare: float | None = None

{name} = rk.Pipeline("{name}", source=rk.sources.files("{name}_*.csv"), contract=Order,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}))
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, front: Front) -> Iterator[Arena]:
    return Arena(tmp_path_factory.mktemp("arena"), front.env())


@pytest.fixture(autouse=True)
def calm(front: Front) -> None:
    front.disarm()


def declare(arena: Arena, name: str, options: str = "", rows: int = 100) -> str:
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options))
    give(arena, name, 1, range(1, rows + 1))
    return f"{name}.py"


def give(arena: Arena, name: str, number: int, ids: range, city: str = "Oslo") -> None:
    lines = "".join(f"{each},{city},{each / 4}\n" for each in ids)
    arena.write(f"{name}_{number}.csv", f"id,city,fare\n{lines}-1,nowhere,1\n")


def test_a_pipeline_that_names_no_server_goes_to_that_of_the_settings(arena: Arena, front: Front):
    """Loaded, verified, asked, rolled back, without a line of the pipeline file about a server, and no engine."""
    file = declare(arena, "first")
    run = arena.ok("run", file)
    assert run["target"] == f"clickhouse:127.0.0.1:{front.ports[0]}/shop.first"
    assert run["account"]["committed"] == 100
    assert run["account"]["quarantined"] == 1
    assert arena.ok("verify", file)["sound"]
    assert arena.ok("query", "SELECT count(), sum(fare) FROM shop.first")["rows"] == [[100, 1262.5]]
    give(arena, "first", 2, range(101, 151))
    second = arena.ok("run", file)
    arena.ok("rollback", str(second["run"]))
    assert arena.ok("query", "SELECT count() FROM shop.first")["rows"] == [[100]]
    assert arena.ok("verify", file)["sound"]
    assert arena.host_pid() is None


def test_a_distributed_table_over_a_loaded_one_stays_good(arena: Arena, site: Site, front: Front):
    """Somebody's Distributed table reads what was published last: the loaded table keeps its name at each publish."""
    file = declare(arena, "parts")
    arena.ok("run", file)
    with session(site, front.url(), "parts") as table:
        definition = "ENGINE = Distributed('main', 'shop', 'parts')"
        table.statements.do(f"CREATE TABLE shop.parts_all AS shop.parts {definition}")
        assert table.rows("shop.parts_all") == 100
        give(arena, "parts", 2, range(101, 121))
        arena.ok("run", file)
        assert table.rows("shop.parts_all") == 120


def test_typed_sql_only_reads_and_only_tables(arena: Arena, front: Front):
    """As at the embedded engine: what writes, and what reaches out of the tables, is refused; nothing is changed."""
    file = declare(arena, "typed")
    arena.ok("run", file)
    for sql in (
        "DROP TABLE shop.typed",
        "INSERT INTO shop.typed (id, city) VALUES (1, 'x')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')",
        "SELECT file('/etc/passwd')",
        "SYSTEM STOP MERGES",
        "SELECT 1; SELECT 2",
    ):
        outcome = arena.run("query", sql, "--json")
        assert outcome.status != 0, (sql, outcome)
        assert outcome.json["error"]["code"] == "RK-3003", (sql, outcome)
    assert arena.ok("query", "SELECT count() FROM typed")["rows"] == [[100]]
    assert not any("passwd" in each and "formatQuery" not in each and "EXPLAIN" not in each for each in front.said())


def test_a_reading_user_without_limits_is_refused(arena: Arena):
    """readonly = 1 lets nobody set how long a statement may take: told, with the mend."""
    env = {"ROWKEEPER_CLICKHOUSE_READ_USER": "strict", "ROWKEEPER_CLICKHOUSE_READ_PASSWORD": "env:CH_STRICT"}
    outcome = arena.run("query", "SELECT 1", "--json", env=env)
    assert outcome.status == 1
    assert outcome.json["error"]["code"] == "RK-3113"
    assert "readonly = 2" in outcome.json["error"]["hint"]


def test_doctor_looks_at_every_replica_and_at_the_tables(arena: Arena, front: Front):
    """A replica that is up, one that is not, and a table that was loaded."""
    arena.ok("run", declare(arena, "healthy"))
    env = {"ROWKEEPER_CLICKHOUSE_REPLICAS": "http://127.0.0.1:9"}
    found = {each["name"]: each for each in arena.run("doctor", "--json", env=env).json["checks"]}
    assert found[f"server 127.0.0.1:{front.ports[0]}"]["ok"]
    assert not found["server 127.0.0.1:9"]["ok"]
    assert "100 rows" in found["table shop.healthy"]["found"]


def test_a_run_goes_to_the_spool_while_the_server_is_away(arena: Arena, front: Front):
    """With fallback="spool" what was read is kept, and is published once, as soon as the server answers again."""
    file = declare(arena, "spooled", 'fallback="spool"')
    front.arm("^SELECT version", 10_000, status=503, text="no healthy upstream")
    away = arena.run("run", file, "--json")
    front.disarm()
    assert away.json["status"] == "spooled", away
    arena.ok("spool", "drain")
    assert arena.ok("query", "SELECT count() FROM shop.spooled")["rows"] == [[100]]
    assert arena.ok("verify", file)["sound"]


def test_somebody_who_writes_in_between_keeps_his_rows(site: Site, front: Front):
    """Rows that came into the table between clone and exchange are not lost: the clone is made anew."""
    with session(site, front.url(), "shared") as table:
        record = load(table, 2, 0, 10)
        do, written = table.statements.do, []

        def interfering(sql: str, *args: object, **kwargs: object) -> None:
            do(sql, *args, **kwargs)
            if " ATTACH PARTITION ALL FROM " in sql and "staging" in sql and not written:
                written.append(do(f"INSERT INTO {table.names.live} (id) VALUES (77)"))

        table.statements.do = interfering  # type: ignore[method-assign]
        table.publish(record, Change())
        assert written
        assert table.rows(table.names.live) == 11
