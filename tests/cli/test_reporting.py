"""What is left of a run for whoever has to look after it: its lines in the log, a bundle, a page."""

from __future__ import annotations

import html
import json
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.arena import KILLED, Arena

PIPELINE = """
from typing import Annotated
from pydantic import BaseModel, Field
import rowkeeper as rk

class Order(BaseModel):
    id: int
    amount: Annotated[float, Field(gt=0)]

def nothing(rows):
    raise LookupError("no")

def declare(name, **more):
    return rk.Pipeline(name, source=rk.sources.files(f"{name}/*.csv"), contract=Order,
        destination=rk.destinations.clickhouse(name, order_by=["id"]), **more)

"""
ROWS = "id,amount\n" + "".join(f"{n},{n if n % 9 else -n}\n" for n in range(100))


@pytest.fixture(scope="module")
def shop(arena: Arena) -> Arena:
    """A run that was killed and taken up again, and one whose transform fails, twice."""
    arena.env["SHOP_TOKEN"] = "the-token-of-the-shop"
    arena.write("orders.py", PIPELINE + 'orders = declare("orders")')
    arena.write("broken.py", PIPELINE + 'broken = declare("broken", transform=nothing)')
    for name in ("a", "b"):
        arena.write(f"orders/{name}.csv", ROWS)
        arena.write(f"broken/{name}.csv", ROWS)
    assert arena.run("run", "orders.py", failpoints="run.after_partition=kill").status == KILLED
    assert arena.run("run", "orders.py").status == 0
    for _ in range(2):
        assert arena.run("run", "broken.py").status == 1
    return arena


def lines(arena: Arena, run: int) -> list[dict[str, Any]]:
    text = (arena.home / "logs" / "rowkeeper.log").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line.get("run") == run]


def test_the_life_of_a_run_is_logged(shop: Arena):
    """From its start over its death and recovery to its publish, each line with run and pipeline."""
    told = [(line["event"], line.get("step") or line.get("outcome")) for line in lines(shop, 1)]
    assert told == [
        ("run started", None),
        ("partition read", None),
        ("dead run settled", "kept"),
        ("run taken over", None),
        ("run goes on", None),
        ("partition read", None),
        *[("step begun", "gate"), ("gates asked", None)],
        *[("step begun", step) for step in ("seal", "publish", "record")],
        ("run published", None),
    ]
    assert {line["pipeline"] for line in lines(shop, 1)} == {"orders"}
    published = lines(shop, 1)[-1]
    assert (published["read"], published["committed"], published["quarantined"]) == (200, 176, 24)


def test_a_failure_is_logged_with_its_code_and_place(shop: Arena):
    """Code, category, class, partition and batch; the sentence."""
    failed = next(line for line in lines(shop, 2) if line["event"] == "run failed")
    told = {"code": "RK-2201", "category": "processing", "error": "TransformError", "batch": 0, "level": "error"}
    assert told.items() <= failed.items()
    assert failed["partition"] == "broken/a.csv"


def test_commands_say_no_more_than_before(shop: Arena):
    """The log goes to its file alone unless somebody asks for it."""
    quiet = shop.run("show", "1", "--json")
    assert quiet.stderr == ""
    loud = shop.run("show", "1", "--json", env={"ROWKEEPER_LOG_STDERR": "json", "ROWKEEPER_LOG_LEVEL": "debug"})
    assert loud.stdout == quiet.stdout
    assert "show" in [json.loads(line).get("command") for line in loud.stderr.splitlines()]


def test_the_log_can_be_off(own_arena: Arena):
    """No folder, no file."""
    assert own_arena.run("runs", env={"ROWKEEPER_LOG_BYTES_MAX": "0", "ROWKEEPER_LOG_LEVEL": "debug"}).status == 0
    assert not (own_arena.home / "logs").exists()


def test_a_bundle_is_private_and_says_what_it_holds(shop: Arena):
    """0600; every file that it promises, readable; what it leaves out is named; it is not written over."""
    document = shop.ok("bundle", "2")
    path = shop.folder / document["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        held = {Path(name).name: archive.read(name).decode() for name in archive.namelist()}
    assert held.keys() == {*document["contents"], "README.txt"}
    assert all(name in held["README.txt"] for name in document["contents"])
    assert all(each in held["README.txt"] for each in document["left_out"])
    run = json.loads(held["run.json"])
    assert (run["status"], run["error"]["code"], run["error_means"]["name"]) == ("failed", "RK-2201", "TransformError")
    assert json.loads(held["plan.json"])["source"]["patterns"] == ["broken/*.csv"]
    events = [json.loads(line)["event"] for line in held["log.jsonl"].splitlines()]
    assert {"run started", "run failed", "step begun"} <= set(events)
    assert json.loads(held["settings.json"])["home"] == str(shop.home)
    assert json.loads(held["environment.json"])["packages"]["pyarrow"]
    checks = [(each["name"], each["level"]) for each in json.loads(held["doctor.json"])]
    assert checks == [(each["name"], each["level"]) for each in shop.run("doctor", "--json").json["checks"]]
    assert {name for name, _ in checks} >= {"version", "user", "memory", "disk", "clock", "ledger", "engine", "key"}
    again = shop.run("bundle", "2")
    assert again.status == 2
    assert "--output" in again.stderr


def test_a_bundle_of_no_run(shop: Arena):
    """Wrong usage, and no file."""
    assert shop.run("bundle", "4711").status == 2
    assert not (shop.folder / "rowkeeper-run-4711.zip").exists()


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)))


def test_the_page_of_a_failed_run(shop: Arena):
    """What failed, where, how often, what was done, what to do now; it loads nothing from elsewhere."""
    shop.ok("show", "3", "--html", "3.html")
    page = (shop.folder / "3.html").read_text()
    told = text_of(page)
    assert "the transform nothing raised LookupError" in told
    assert "RK-2201, TransformError, processing" in told
    assert re.search(r"broken/a\.csv 0 .*it stopped here", told)
    assert re.search(r"broken/b\.csv 0 .*not reached", told)
    assert "before it: 1; with an error: 1; with this error: 1." in told
    assert "Nothing was published: readers see the table as it was before." in told
    assert "rowkeeper bundle 3" in told
    assert not re.search(r"<script|https?://|src=|@import|url\(", page)


def test_the_page_of_a_run_with_rejected_rows(shop: Arena):
    """Reasons with how often, in how many partitions, and places of some rows; no values."""
    shop.ok("show", "1", "--html", "1.html")
    told = text_of((shop.folder / "1.html").read_text())
    assert re.search(r"amount: greater_than 24 2 orders/a\.csv, row 1 ", told)
    assert "It was taken up again once" in told
    assert "The reconciler found it unfinished: run 1 died while staging." in told
    assert "rowkeeper quarantine replay 1" in told


def test_a_page_that_cannot_be_written(shop: Arena):
    """Wrong usage, told with the path."""
    outcome = shop.run("show", "1", "--html", "nowhere/1.html")
    assert outcome.status == 2
    assert "nowhere/1.html cannot be written" in outcome.stderr
