"""Every type of the contract goes through stage, seal and publish, and comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path

from tests.arena import Arena

PIPELINE = """
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal

import rowkeeper as rk
from pydantic import AwareDatetime, BaseModel, EmailStr, Field, IPvAnyAddress, NaiveDatetime


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "it's `green`"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Place(BaseModel):
    lat: float
    name: str | None


class Everything(BaseModel):
    id: int
    flag: bool
    ratio: float
    text: str
    raw: bytes
    price: Annotated[decimal.Decimal, Field(max_digits=10, decimal_places=2)]
    wide: Annotated[decimal.Decimal, Field(max_digits=60, decimal_places=10)]
    day: dt.date
    moment: dt.datetime
    aware: AwareDatetime
    naive: NaiveDatetime
    clock: dt.time
    lasting: dt.timedelta
    key: uuid.UUID
    colour: Colour
    level: Level
    choice: Literal["a", "b"] | None
    mail: EmailStr
    address: IPvAnyAddress
    maybe: int | None
    maybe_day: dt.date | None
    maybe_key: uuid.UUID | None
    place: Place
    tags: list[str]
    keys: list[uuid.UUID]
    pauses: list[dt.timedelta]
    places: list[Place]
    numbers: dict[str, int]
    pair: tuple[int, str]
    union: int | str | list[int]
    anything: Any
    maybe_list: list[int] | None


everything = rk.Pipeline(
    "everything",
    source=rk.sources.files("everything.ndjson"),
    contract=Everything,
    destination=rk.destinations.clickhouse("everything", order_by=["id"]),
)
"""

ROW = {
    "id": 1,
    "flag": True,
    "ratio": 0.1,
    "text": "größer ✓ 'quoted' \\ `x`",
    "raw": "bytes",
    "price": "12345678.90",
    "wide": "12345678901234567890123456789012345678901234567890.0123456789",
    "day": "1900-01-01",
    "moment": "2299-12-31T23:59:59.999999Z",
    "aware": "2026-03-29T02:30:00.000001+02:00",
    "naive": "1999-12-31T23:59:59",
    "clock": "23:59:59.999999",
    "lasting": "P1DT0.000001S",
    "key": "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
    "colour": "it's `green`",
    "level": 2,
    "choice": None,
    "mail": "ada@example.com",
    "address": "::1",
    "maybe": None,
    "maybe_day": None,
    "maybe_key": None,
    "place": {"lat": -1.5, "name": None},
    "tags": ["a", ""],
    "keys": ["61f0c404-5cb3-11e7-907b-a6006ad3dba0"],
    "pauses": ["PT1S"],
    "places": [{"lat": 1.0, "name": "x"}, {"lat": 2.0, "name": None}],
    "numbers": {"a": -(2**63), "b": 2**63 - 1},
    "pair": [7, "seven"],
    "union": [1, 2],
    "anything": {"deep": [1, None]},
    "maybe_list": None,
}
OTHER = {
    **ROW,
    "id": 2,
    "maybe": -5,
    "maybe_day": "2299-12-31",
    "maybe_key": "00000000-0000-0000-0000-000000000001",
    "choice": "b",
    "tags": [],
    "places": [],
    "numbers": {},
    "union": "text",
    "maybe_list": [1, 2],
}


def test_every_type_comes_back_as_it_was(own_arena: Arena):
    """Values at their extremes, nulls, nested ones; the seal's and the verify's hashes hold for each type."""
    own_arena.write("everything.py", PIPELINE)
    own_arena.write("everything.ndjson", json.dumps(ROW) + "\n" + json.dumps(OTHER) + "\n")
    report = own_arena.ok("run", "everything.py")
    assert report["account"]["committed"] == 2, own_arena.ok("quarantine", "show", "1")
    result = own_arena.ok("query", "SELECT * FROM everything ORDER BY id")
    names = [column["name"] for column in result["columns"]]
    first, second = (dict(zip(names, row, strict=True)) for row in result["rows"])
    assert first["price"] == "12345678.90"
    assert first["wide"] == ROW["wide"]
    assert first["text"] == ROW["text"]
    assert first["day"] == "1900-01-01"
    assert first["moment"] == "2299-12-31T23:59:59.999999+00:00"
    assert first["aware"] == "2026-03-29T00:30:00.000001+00:00"
    assert first["naive"].startswith("1999-12-31T23:59:59")
    assert first["lasting"] == 86_400_000_001
    assert first["key"] == ROW["key"]
    assert (first["colour"], first["level"], first["choice"]) == ("it's `green`", 2, None)
    assert (first["maybe"], first["maybe_day"], first["maybe_key"]) == (None, None, None)
    assert (second["maybe"], second["maybe_day"], second["choice"]) == (-5, "2299-12-31", "b")
    assert second["maybe_key"] == OTHER["maybe_key"]
    assert first["numbers"] == ROW["numbers"]
    assert first["tags"] == ["a", ""]
    assert first["keys"] == ROW["keys"]
    assert first["pauses"] == [1_000_000]
    assert json.loads(first["union"]) == [1, 2]
    assert json.loads(first["anything"]) == ROW["anything"]
    assert first["maybe_list"] is None
    assert json.loads(second["maybe_list"]) == [1, 2]
    assert own_arena.ok("verify", "everything.py")["sound"]


def test_no_plaintext_on_disk(own_arena: Arena):
    """A canary in committed and in rejected rows is nowhere in the clear under the state folder."""
    canary, rejected = "CANARY-5f2b77", "CANARY-9d31aa"
    own_arena.write("everything.py", PIPELINE)
    broken = {**ROW, "id": "no number", "text": rejected}
    rows = [{**ROW, "id": number, "text": canary} for number in range(200)] + [broken]
    own_arena.write("everything.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    account = own_arena.ok("run", "everything.py")["account"]
    assert (account["committed"], account["quarantined"]) == (200, 1)
    own_arena.kill_host()  # which tidies up behind itself for a while
    files = [path for path in Path(own_arena.home).rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert canary.encode() not in content, path
        assert rejected.encode() not in content, path


def test_the_state_folder_is_private_whatever_the_umask(own_arena: Arena):
    """Folders 0700, files 0600, all of them."""
    own_arena.write("everything.py", PIPELINE)
    own_arena.write("everything.ndjson", json.dumps(ROW) + "\n" + "broken\n")
    own_arena.ok("run", "everything.py")
    for path in [own_arena.home, *own_arena.home.rglob("*")]:
        assert path.lstat().st_mode & 0o077 == 0 or path.is_symlink(), path
