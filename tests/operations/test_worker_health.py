"""`rowkeeper worker` looks at health, so that it is known since when something is as it is."""

from __future__ import annotations

from tests.arena import Arena
from tests.operations.test_worker import working

PIPELINE = """
from datetime import datetime
import rowkeeper as rk
from pydantic import BaseModel

class Trip(BaseModel):
    id: int
    at: datetime
    key: str

trips = rk.Pipeline(
    "trips",
    source=rk.sources.files("trips/*.csv"),
    contract=Trip,
    destination=rk.destinations.clickhouse("trips", order_by=["id"]),
    freshness=[rk.fresh("at", within="1h", by="key")],
    schedule="every 24h",
)
"""


def test_the_worker_finds_a_silent_key_and_keeps_since_when(own_arena: Arena):
    """Nobody asks: it is told by the worker, and a later look knows since when it is so."""
    own_arena.write("trips.py", PIPELINE)
    own_arena.write("trips/a.csv", "id,at,key\n1,2026-01-01T00:00:00,north\n")
    own_arena.ok("run", "trips.py")
    with working(own_arena, "trips.py", env={"ROWKEEPER_HEALTH_SECONDS": "1"}) as worker:
        told = worker.wait_for("unhealthy", lambda each: each["check"] == "freshness")
    assert told["subject"] == "trips/fresh(at by key)/north"
    assert "retire trips 'north'" in told["hint"]
    found = own_arena.run("health", "trips.py", "--json").json["checks"]
    assert found[0]["since"] == "2026-01-01T01:00:00+00:00"
