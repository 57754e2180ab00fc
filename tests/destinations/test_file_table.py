"""A table of files: what readers see while runs are published, zombies, undo, leftovers, layouts, encodings."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import rowkeeper as rk
from rowkeeper.batch import Fingerprint
from rowkeeper.destinations import FilesDestination
from rowkeeper.destinations.file import formats, packing
from rowkeeper.destinations.file.log import KEPT, Log
from rowkeeper.destinations.file.manifest import DataFile, Layout, Manifest
from rowkeeper.errors import BooksDiffer, DeclarationError, LeaseLost, SecretLiteral, SourceMissing
from rowkeeper.protocols import CommitRecord
from rowkeeper.stores import Folder
from tests.arena import Arena
from tests.destinations import test_types

PIPELINE = """
import rowkeeper as rk
import time
from pydantic import BaseModel

class Row(BaseModel):
    id: int
    text: str | None = None

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    contract=Row,
    destination=rk.destinations.files("out/{name}"{options}),
)
"""


def declare(arena: Arena, name: str, options: str = "") -> str:
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=f", {options}" if options else ""))
    return f"{name}.py"


def offer(arena: Arena, name: str, file: str, ids: range, text: str = "t") -> None:
    arena.write(f"{name}/{file}.csv", "id,text\n" + "".join(f"{number},{text}\n" for number in ids))


def held(arena: Arena, name: str) -> list[int]:
    found = rk.read_manifest(arena.folder / "out" / name)
    return sorted(pl.concat([pl.read_parquet(each) for each in found.files])["id"]) if found.files else []


def data_files(arena: Arena, name: str) -> set[str]:
    return {path.name for path in (arena.folder / "out" / name).rglob("run-*")}


def test_a_reader_sees_a_run_whole_or_not_at_all(arena: Arena):
    """Whoever polls the manifest while runs replace the table finds one run's rows, all of them, at every look."""
    name = "polled"
    file = declare(arena, name, 'write="replace", rows_per_file=7')
    offer(arena, name, "a", range(50), "first")
    arena.ok("run", file)
    over, seen, odd = threading.Event(), set(), []

    def poll() -> None:
        while not over.is_set():
            found = rk.read_manifest(arena.folder / "out" / name)
            rows = pl.concat([pl.read_parquet(each) for each in found.files])
            texts = tuple(rows["text"].unique())
            seen.add(texts)
            if rows.height != 50 or len(texts) != 1:
                odd.append((rows.height, texts))

    reader = threading.Thread(target=poll)
    reader.start()
    for text in ("second", "third"):
        offer(arena, name, "a", range(50), text)
        arena.ok("run", file)
    over.set()
    reader.join()
    assert not odd
    assert len(seen) >= 2


@pytest.mark.in_turns("steps of a publish", 1)
@pytest.mark.parametrize("point", ["files.after_data", "files.before_manifest"])
def test_a_zombie_publishes_nothing(arena: Arena, point: str):
    """Stopped before its commit point, past its lease, while another command did its work, it wakes up and fails."""
    name = "zombie_" + point.partition(".")[2]
    file = declare(arena, name)
    offer(arena, name, "a", range(5))
    zombie = arena.zombie("run", file, at=point)
    while "RK-3401" in (other := arena.run("run", file)).stderr:
        time.sleep(0.25)  # until its lease has run out; a command takes the processor from other tests
    assert other.status == 0, other
    zombie.go_on()
    assert zombie.wait().status == 1
    assert held(arena, name) == list(range(5))
    assert arena.ok("verify", file)["sound"]
    assert arena.ok("run", file)["status"] == "unchanged"


def test_what_a_dead_attempt_wrote_is_removed(arena: Arena):
    """Data files of a process that was killed before its manifest are gone when the run is published."""
    name = "leftovers"
    file = declare(arena, name)
    offer(arena, name, "a", range(5))
    assert arena.run("run", file, failpoints="files.before_manifest=kill").status == -9
    assert len(data_files(arena, name)) == 1
    before = data_files(arena, name)
    arena.ok("run", file)
    assert len(data_files(arena, name)) == 1
    assert not data_files(arena, name) & before
    assert not list((arena.folder / "out" / name / "_rowkeeper").glob("draft-*"))


def test_a_replaced_run_comes_back_by_rollback(arena: Arena):
    """The version before the last is kept: what a run replaced comes back when it is taken back."""
    name = "undone"
    file = declare(arena, name, 'write="replace"')
    offer(arena, name, "a", range(5))
    arena.ok("run", file)
    offer(arena, name, "a", range(10, 13))
    run = arena.ok("run", file)["run"]
    assert held(arena, name) == [10, 11, 12]
    arena.ok("rollback", str(run))
    assert held(arena, name) == list(range(5))
    assert arena.ok("verify", file)["sound"]


def test_the_files_are_listed_by_a_command(arena: Arena):
    """`rowkeeper files` names them, with rows and columns; of a destination that is none, it says so."""
    name = "listed"
    file = declare(arena, name)
    offer(arena, name, "a", range(5))
    arena.ok("run", file)
    found = arena.ok("files", file)
    assert found["rows"] == 5
    assert found["files"] == list(rk.read_manifest(arena.folder / "out" / name).files)
    assert [each["name"] for each in found["columns"]] == ["id", "text"]
    arena.write(
        "table.py", PIPELINE.format(name="t", options="").replace('files("out/t")', 'clickhouse("t", order_by=["id"])')
    )
    assert "RK-3120" in arena.run("files", "table.py").stderr


def test_doctor_tells_of_files_that_are_gone(own_arena: Arena):
    """Its finding names the table, and how many of its files are missing."""
    file = declare(own_arena, "gone")
    offer(own_arena, "gone", "a", range(5))
    own_arena.ok("run", file)
    next((own_arena.folder / "out/gone").glob("run-*")).unlink()
    said = own_arena.run("doctor").stdout
    assert "1 files are gone" in said


@pytest.mark.in_turns("formats", 2)
@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_type_of_a_contract_is_stored(arena: Arena, name: str):
    """UUIDs, enums, durations, nested ones: what is read back has the fingerprint of what was staged."""
    text = test_types.PIPELINE.replace('"everything"', f'"everything_{name}"')
    text = text.replace('clickhouse("everything_', f'files(format="{name}", url="out/everything_').replace(
        ', order_by=["id"]', ""
    )
    file = arena.write(f"everything_{name}.py", text).name
    arena.write("everything.ndjson", "".join(json.dumps(row) + "\n" for row in (test_types.ROW, test_types.OTHER)))
    assert arena.ok("run", file)["account"]["committed"] == 2
    assert arena.ok("verify", file)["sound"]


def test_a_gate_about_what_the_table_holds_is_refused(arena: Arena):
    """Only the run's rows can be asked: a gate that would find nothing wrong because it sees nothing is told."""
    declare(arena, "across")
    path = arena.folder / "across.py"
    offer(arena, "across", "a", range(5))
    for gate in (
        'rk.unique("id", across="table")',
        'rk.sql("x", "SELECT 1 FROM {staged} WHERE id IN (SELECT id FROM {table})")',
    ):
        path.write_text(
            PIPELINE.format(name="across", options="").replace("contract=Row,", f"contract=Row, gates=[{gate}],")
        )
        outcome = arena.run("run", "across.py")
        assert outcome.status == 2
        assert "only those of the run can be asked" in outcome.stderr


# ------------------------------------------------------------------------------------------------ without runs


def manifest(version: int, files: tuple[DataFile, ...] = (), before: int | None = None) -> Manifest:
    record = CommitRecord("ledger", version, version, Fingerprint())
    settings = {"format": "parquet", "compression": "zstd", "encrypted_for": [], "partition_by": []}
    layout = Layout((("id", "Int64"),), pa.schema([("id", pa.int64())]))
    return Manifest(version, record, before, settings, (layout,), files)


def data_file(path: str) -> DataFile:
    return DataFile(path, 1, 0, 1, Fingerprint(1, 7), 3, "00", {"country": None})


def test_a_manifest_is_read_as_it_was_written():
    """Files, layouts, commit record, all of it."""
    whole = manifest(3, (data_file("a=1/x"),), 2)
    assert Manifest.decoded(whole.encoded(), "here") == whole


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"rowkeeper_manifest": 1}', b"\xff"])
def test_what_is_no_manifest_is_told(data: bytes):
    """One error, whatever it is."""
    with pytest.raises(BooksDiffer):
        Manifest.decoded(data, "here")


def test_of_two_who_make_the_next_version_one_fails(tmp_path: Path):
    """A version is made once, and never changes."""
    log = Log(Folder(tmp_path), "")
    log.append(manifest(1))
    with pytest.raises(LeaseLost):
        log.append(manifest(1, (data_file("x"),)))
    assert log.newest() == manifest(1)


def test_old_versions_go_with_the_files_that_no_other_has(tmp_path: Path):
    """The last ten versions stay, and every file that one of them names."""
    log = Log(Folder(tmp_path), "")
    for version in range(1, KEPT + 4):
        for path in ("always", f"only-{version}"):
            log.store.put(path, b"abc")
        log.append(manifest(version, (data_file("always"), data_file(f"only-{version}"))))
        newest = log.newest()
        assert newest is not None
        log.prune(newest)
    assert log.versions() == list(range(4, KEPT + 4))
    assert {each.name for each in tmp_path.iterdir() if each.is_file()} == {
        "always",
        *(f"only-{version}" for version in range(4, KEPT + 4)),
    }


EVERYTHING = pa.schema(
    [
        ("number", pa.uint64()),
        ("ratio", pa.float64()),
        ("text", pa.string()),
        ("raw", pa.binary()),
        ("flag", pa.bool_()),
        ("price", pa.decimal128(30, 10)),
        ("wide", pa.decimal256(60, 10)),
        ("day", pa.date32()),
        ("moment", pa.timestamp("us", "UTC")),
        ("clock", pa.time64("us")),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("lat", pa.float64()), ("seen", pa.timestamp("us", "UTC"))])),
        ("marks", pa.map_(pa.string(), pa.decimal128(10, 2))),
    ]
)
ROWS: list[dict[str, Any]] = [
    {
        "number": 2**64 - 1,
        "ratio": 0.1 + 0.2,
        "text": 'a "b", c\nd\r\ne\t\\N',
        "raw": b'\x00\xff,"\n',
        "flag": True,
        "price": decimal.Decimal("-0.0000000001"),
        "wide": decimal.Decimal("12345678901234567890123456789012345678901234567890.0123456789"),
        "day": datetime.date(1900, 1, 1),
        "moment": datetime.datetime(2299, 12, 31, 23, 59, 59, 999_999, datetime.UTC),
        "clock": datetime.time(23, 59, 59, 999_999),
        "tags": ["", "x,y", 'q"'],
        "place": {"lat": -0.0, "seen": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
        "marks": [("a", decimal.Decimal("1.50")), ("b", decimal.Decimal("0.00"))],
    },
    dict.fromkeys(EVERYTHING.names),
    {**dict.fromkeys(EVERYTHING.names), "text": "", "raw": b"", "ratio": math.inf, "tags": [], "marks": []},
]


@pytest.mark.parametrize(
    ("name", "compression"), [(name, each) for name in formats.FORMATS for each in formats.compressions(name)]
)
def test_every_format_gives_back_what_was_written(name: str, compression: str):
    """Each type, null apart from what is empty, to the last digit; and the stream stays open for who hashes it."""
    inner, outer = (compression, "none") if name in formats.INNER else ("none", compression)
    rows = pa.Table.from_pylist(ROWS, EVERYTHING)
    with packing.memory_file() as file:
        around = packing.compressed(file, outer)
        writer = formats.open_writer(name, around, EVERYTHING, inner)
        writer.write(rows)
        writer.close()
        if around is not file:
            around.close()
        file.seek(0)
        back = pa.concat_tables(formats.read_back(name, packing.decompressed(file, outer), EVERYTHING))
        assert not file.closed
    assert back.schema == EVERYTHING
    assert back.to_pylist() == rows.to_pylist()
    assert math.copysign(1, back["place"][0].as_py()["lat"]) == -1


def test_a_declaration_is_rebuilt_from_its_description(tmp_path: Path):
    """By JSON, as the ledger has it; with references, and no secrets."""
    from rowkeeper.stores import S3

    access = S3(
        access_key="env:A", secret_key="file:/run/b", endpoint="https://s3.example:9000", tls=rk.TLS(ca="ca.pem")
    )
    for made in (
        rk.destinations.files("out", format="csv", partition_by=["a"], key=["id"], duplicates="skip"),
        rk.destinations.files("s3://bucket/x/", access=access, rows_per_file=5, fallback="spool"),
    ):
        assert FilesDestination.from_description(json.loads(json.dumps(made.describe()))) == made
    assert made.target == "files:s3://bucket/x"
    assert [each.host for each in made.endpoints()] == ["s3.example"]
    assert rk.destinations.files("out").located(tmp_path).target == f"files:{tmp_path}/out"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "xls"}, DeclarationError),
        ({"compression": "lz4"}, DeclarationError),
        ({"write": "merge"}, DeclarationError),
        ({"duplicates": "replace", "key": ["id"]}, DeclarationError),
        ({"key": ["id"]}, DeclarationError),
        ({"rows_per_file": 0}, DeclarationError),
        ({"identity": "env:A"}, DeclarationError),
        ({"encrypt_for": ["age1nobody"]}, DeclarationError),
        ({"url": "s3://bucket"}, DeclarationError),
        ({"url": "out/*.parquet"}, DeclarationError),
        ({"url": "https://example.com/x"}, DeclarationError),
        ({"partition_by": "a"}, DeclarationError),
    ],
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, Any], error: type[Exception]):
    """Before anything is touched."""
    with pytest.raises(error):
        rk.destinations.files(**{"url": "out", **options})


def test_an_identity_that_is_no_reference_is_refused():
    """A private key has no place in a pipeline file."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    with pytest.raises(SecretLiteral):
        rk.destinations.files("out", encrypt_for=[str(identity.to_public())], identity=str(identity))


def test_a_table_that_is_not_there_is_told(tmp_path: Path):
    """Nobody takes a folder without a manifest for an empty table."""
    with pytest.raises(SourceMissing):
        rk.read_manifest(tmp_path)
