"""The same pipeline file at a server, by settings alone: loaded, rolled back, verified, asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.arena import Arena
from tests.destinations.server.serving import Front, serving

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
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with serving(tmp_path_factory.mktemp("front")) as made:
        yield made


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, front: Front) -> Iterator[Arena]:
    yield Arena(tmp_path_factory.mktemp("arena"), front.env())


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
    """Loaded, verified, asked, rolled back, without a line of the pipeline file about a server, and no engine started."""
    file = declare(arena, "first")
    run = arena.ok("run", file)
    assert run["target"] == f"clickhouse:127.0.0.1:{front.ports[0]}/shop.first"
    assert run["account"]["committed"] == 100 and run["account"]["quarantined"] == 1
    assert arena.ok("verify", file)["sound"]
    assert arena.ok("query", "SELECT count(), sum(fare) FROM shop.first")["rows"] == [[100, 1262.5]]
    give(arena, "first", 2, range(101, 151))
    second = arena.ok("run", file)
    arena.ok("rollback", str(second["run"]))
    assert arena.ok("query", "SELECT count() FROM shop.first")["rows"] == [[100]]
    assert arena.ok("verify", file)["sound"]
    assert arena.host_pid() is None
