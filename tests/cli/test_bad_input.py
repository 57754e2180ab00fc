"""Bad input gets quarantine (a row's fault) or one clear error (the input's or the environment's fault).

Never a traceback, never a lost or half-loaded row.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from tests.arena import Arena, Outcome

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Item(BaseModel):
    id: int
    text: str

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{pattern}"{source}),
    contract=Item,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    {more}
)
"""
GOOD = "id,text\n1,one\n2,two\n"
BIG_TEXT = "x" * 10_000_000


def write_pipeline(arena: Arena, name: str, pattern: str, source: str = "", more: str = "") -> str:
    arena.write(f"{name}.py", PIPELINE.format(name=name, pattern=pattern, source=source, more=more))
    return f"{name}.py"


def one_clear_error(outcome: Outcome, status: int, *words: str) -> None:
    """One error with its place, one next step, no traceback."""
    assert outcome.status == status, outcome
    text = " ".join(outcome.stderr.split())
    assert text.count("error:") == 1, text
    assert "next:" in text
    assert "Traceback" not in text
    for word in words:
        assert re.search(word, text), (word, text)


def counted(arena: Arena, table: str) -> int:
    return arena.ok("query", f"SELECT count() FROM {table}")["rows"][0][0]


# ----------------------------------------------------------------------------------- the input's fault


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


CSV_BYTES = ("id,text\n" + "".join(f"{n},text {n * 7919 % 1000}\n" for n in range(5000))).encode()
PARQUET = pa.BufferOutputStream()
pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"]}), PARQUET)
PARQUET_BYTES = PARQUET.getvalue().to_pybytes()

FAULTY_FILES = {
    "empty": ("a.csv", b"", "a.csv is empty"),
    "truncated_gz": ("a.csv.gz", truncated(gzip.compress(CSV_BYTES)), "a.csv.gz is truncated"),
    "truncated_zst": ("a.csv.zst", truncated(zstd.compress(CSV_BYTES)), "a.csv.zst is truncated"),
    "garbage_gz": ("a.csv.gz", b"not gzip at all", "a.csv.gz (is damaged|cannot be read)"),
    "truncated_parquet": ("a.parquet", truncated(PARQUET_BYTES), "a.parquet .*damaged or truncated"),
    "not_a_zip": ("a.csv.zip", b"PK nothing", "a.csv.zip"),
    "wrong_encoding": ("a.csv", "id,text\n1,größer\n".encode("latin-1"), "a.csv .*encoding"),
    "duplicate_column": ("a.csv", b"id,text,id\n1,a,2\n", "a.csv .*columns 1 and 3"),
    "missing_column": ("a.csv", b"id,txt\n1,a\n", "a.csv has no column text.*did you mean txt"),
    "unknown_column": ("a.csv", b"id,text,more\n1,a,2\n", "a.csv has a column more"),
    "open_quote": ("a.csv", b'id,text\n1,"a\n2,b\n', "a.csv ends inside quotes"),
}


@pytest.mark.in_turns("faulty files", 5)
@pytest.mark.parametrize("fault", FAULTY_FILES)
def test_a_faulty_file_gets_one_clear_error_and_loads_nothing(arena: Arena, fault: str):
    """The error names the file and the fault; the table stays as it was; mended, the file loads."""
    name, data, words = FAULTY_FILES[fault]
    arena.write(f"{fault}/{name}", data)
    file = write_pipeline(arena, fault, f"{fault}/*")
    one_clear_error(arena.run("run", file), 1, words)
    assert counted(arena, fault) == 0
    (arena.folder / fault / name).unlink()
    arena.write(f"{fault}/mended.csv", GOOD)
    assert arena.ok("run", file)["account"]["committed"] == 2


def test_a_truncated_file_after_good_batches_publishes_nothing(arena: Arena):
    """The good rows before the fault are not published either: a run is all or nothing."""
    arena.write("late/a.csv", GOOD)
    arena.write("late/b.csv.gz", truncated(gzip.compress(CSV_BYTES)))
    outcome = arena.run("run", write_pipeline(arena, "late", "late/*"), env={"ROWKEEPER_BATCH_ROWS": "500"})
    one_clear_error(outcome, 1, "b.csv.gz is truncated")
    assert counted(arena, "late") == 0


def test_no_file_matches(arena: Arena):
    """The error names the pattern, where it looked, and what is there."""
    arena.write("none/data.csv", GOOD)
    outcome = arena.run("run", write_pipeline(arena, "none", "none/dat.csv"))
    one_clear_error(outcome, 1, "no file matches none/dat.csv", "data.csv")


def test_a_header_without_rows_is_a_file_of_no_rows(arena: Arena):
    """It is loaded, with an account of zeros, and not looked at again."""
    arena.write("header/a.csv", "id,text\n")
    file = write_pipeline(arena, "header", "header/*.csv")
    first, second = arena.ok("run", file), arena.ok("run", file)
    assert (first["status"], first["account"]["read"], second["status"]) == ("published", 0, "unchanged")


def test_files_of_two_formats_are_refused(arena: Arena):
    """A source has one format."""
    arena.write("mixed/a.csv", GOOD)
    arena.write("mixed/b.ndjson", '{"id": 1, "text": "a"}\n')
    one_clear_error(arena.run("run", write_pipeline(arena, "mixed", "mixed/*")), 2, "several formats")


def test_a_file_that_grows_while_it_is_read_fails(arena: Arena):
    """What was read is not what was identified: the run fails and says so; the next one loads the whole file."""
    path = arena.write("growing/a.csv", GOOD)
    file = write_pipeline(arena, "growing", "growing/*.csv")
    running = arena.start("run", file, failpoints="source.before_end_check=stop")
    running.wait_stopped()
    with path.open("a") as more:
        more.write("3,three\n")
    running.go_on()
    one_clear_error(running.wait(), 1, "a.csv changed while it was read")
    assert arena.ok("run", file)["account"]["committed"] == 3


@pytest.mark.parametrize(("policy", "committed"), [("reject", None), ("reload", 3), ("ignore", 2)])
def test_a_changed_file_follows_the_policy(arena: Arena, policy: str, committed: int | None):
    """reject fails the run, reload puts the new rows in the place of the former, ignore leaves them."""
    name = f"changed_{policy}"
    path = arena.write(f"{name}/a.csv", GOOD)
    file = write_pipeline(arena, name, f"{name}/*.csv", f', on_change="{policy}"')
    arena.ok("run", file)
    path.write_text(GOOD + "3,three\n")
    outcome = arena.run("run", file)
    if committed is None:
        one_clear_error(outcome, 1, "a.csv changed since it was loaded", "on_change")
    assert counted(arena, name) == (committed or 2)
    assert arena.ok("verify", file)["sound"]


# ------------------------------------------------------------------------------------- a row's fault


def quarantined(arena: Arena, run: int) -> list[tuple[str, str]]:
    rows = arena.ok("quarantine", "show", str(run))["rows"]
    return [(row["place"].split(", ")[1], row["errors"][0]["type"]) for row in rows]


def test_csv_rows_of_another_width_go_to_quarantine(arena: Arena):
    """Too many or too few fields: the row as it stands, with its number and the counts."""
    arena.write("width/a.csv", "id,text\n1,a\n2,b,c\n3\n4,d\n")
    report = arena.ok("run", write_pipeline(arena, "width", "width/*.csv"))
    assert report["account"] == {"read": 4, "committed": 2, "quarantined": 2, "duplicate": 0, "filtered": 0}
    assert quarantined(arena, report["run"]) == [("row 2", "csv_too_many_fields"), ("row 3", "csv_too_few_fields")]


def test_a_broken_json_line_in_the_middle_goes_to_quarantine(arena: Arena):
    """The lines before and after it load; the broken one is kept with its line number."""
    lines = ['{"id": 1, "text": "a"}', '{"id": 2, "text": ', "", '{"id": 3, "text": "c"}', "[]"]
    arena.write("broken/a.ndjson", "\n".join(lines))
    report = arena.ok("run", write_pipeline(arena, "broken", "broken/*.ndjson"))
    assert report["account"] == {"read": 4, "committed": 2, "quarantined": 2, "duplicate": 0, "filtered": 0}
    assert quarantined(arena, report["run"]) == [("line 2", "json_invalid"), ("line 5", "model_type")]


@pytest.mark.in_turns("long fields", 1)
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_field_of_ten_megabytes_loads(arena: Arena, kind: str):
    """It is a value like any other."""
    name = f"huge_{kind}"
    rows = [(1, "a"), (2, BIG_TEXT), (3, "c")]
    if kind == "csv":
        arena.write(f"{name}/a.csv", "id,text\n" + "".join(f"{number},{text}\n" for number, text in rows))
    else:
        arena.write(f"{name}/a.ndjson", "".join(json.dumps({"id": n, "text": t}) + "\n" for n, t in rows))
    report = arena.ok("run", write_pipeline(arena, name, f"{name}/*"))
    assert report["account"]["committed"] == 3
    assert arena.ok("query", f"SELECT sum(length(text)) FROM {name}")["rows"] == [[10_000_002]]


def test_all_compressions_load_alike(arena: Arena):
    """Plain, gz, zst and each member of a zip give the same rows."""
    folder = arena.folder / "packed"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CSV_BYTES)
    (folder / "b.csv.gz").write_bytes(gzip.compress(CSV_BYTES))
    (folder / "c.csv.zst").write_bytes(zstd.compress(CSV_BYTES))
    with zipfile.ZipFile(folder / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.csv", CSV_BYTES)
        archive.writestr("deep/two.csv", CSV_BYTES)
    report = arena.ok("run", write_pipeline(arena, "packed", "packed/*"))
    assert report["account"]["committed"] == 5 * 5000
    assert len({each["fingerprint"] for each in report["partitions"]}) == 1


# ------------------------------------------------------------------------------ the pipeline's fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from nowhere import Model\n", "line 1.*ModuleNotFoundError"),
        ("x = 1\nraise RuntimeError('no')\n", "line 2.*RuntimeError"),
        ("def broken(:\n", "line 1"),
        ("import sys\nsys.exit(3)\n", "line 2.*SystemExit"),
        ("x = 1\n", "declares no pipeline"),
        ("import rowkeeper as rk\nrk.sources.files('a', on_change='maybe')\n", "line 2.*on_change"),
    ],
)
def test_a_pipeline_file_at_fault_is_named_with_its_line(arena: Arena, text: str, words: str):
    """Wrong configuration: exit status 2, the file and the line."""
    arena.write("faulty.py", text)
    one_clear_error(arena.run("run", "faulty.py"), 2, "faulty.py", words)


def test_there_is_no_such_file(arena: Arena):
    """A pipeline file that is not there."""
    one_clear_error(arena.run("run", "nothing.py"), 2, "nothing.py")


def test_a_transform_that_raises_is_named_with_its_line(arena: Arena):
    """The error names the function, the exception and its place, and not what was in it."""
    text = "lambda rows: 1 / 0"
    arena.write("transforms/a.csv", GOOD)
    file = write_pipeline(arena, "transforms", "transforms/*.csv", more=f"transform={text},")
    one_clear_error(arena.run("run", file), 1, "transform .* raised ZeroDivisionError at .*transforms.py:")
    assert counted(arena, "transforms") == 0


def test_a_foreign_layout_is_told_difference_by_difference(arena: Arena):
    """Another pipeline's table: every difference in one error."""
    arena.write("layout/a.csv", GOOD)
    file = write_pipeline(arena, "layout", "layout/*.csv")
    arena.ok("run", file)
    text = (arena.folder / file).read_text().replace("text: str", "text: int")
    arena.write(file, text.replace('order_by=["id"]', 'order_by=["text"]'))
    one_clear_error(arena.run("run", file), 2, "the column text is String.*Int64", r"order is \(id\), not \(text\)")


# --------------------------------------------------------------------------- the environment's fault


def test_a_newer_state_folder_is_left_alone(own_arena: Arena):
    """A folder made by a newer version: one clear error that says so."""
    own_arena.ok("runs")
    certificate = own_arena.home / "home.json"
    certificate.write_text(json.dumps({**json.loads(certificate.read_text()), "layout": 99}))
    one_clear_error(own_arena.run("runs"), 2, "newer version", "upgrade")


def test_a_newer_ledger_is_left_alone(own_arena: Arena):
    """A ledger made by a newer version: one clear error that says so."""
    own_arena.ok("runs")
    with own_arena.by_hand() as ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '9999'")
    one_clear_error(own_arena.run("runs"), 2, "newer version", "upgrade")


@contextlib.contextmanager
def mounted(folder, options: str):
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_root
def test_no_write_permission_on_the_state_folder(own_arena: Arena):
    """A state folder that cannot be written: one clear error."""
    with mounted(own_arena.home, "ro,mode=700"):
        one_clear_error(own_arena.run("runs"), 2, "no permission to write the state folder", "ROWKEEPER_HOME")


@needs_root
def test_a_disk_that_fills_up_while_staging(own_arena: Arena):
    """One clear error; with room again the run goes on, and no row is lost or doubled."""
    rows = "".join(f"{number},{os.urandom(40).hex()}\n" for number in range(400_000))
    own_arena.write("full/a.csv", "id,text\n" + rows)
    file = write_pipeline(own_arena, "full", "full/*.csv")
    with mounted(own_arena.home, "size=30m,mode=700"):
        taken = {"ROWKEEPER_BATCH_ROWS": "50000", "ROWKEEPER_DISK_FREE_MIN": "0"}
        outcome = own_arena.run("run", file, env=taken)
        one_clear_error(outcome, 1, "no room left", "free some space")
        subprocess.run(["mount", "-o", "remount,size=500m", str(own_arena.home)], check=True)
        report = own_arena.run("run", file, "--json", env={"ROWKEEPER_BATCH_ROWS": "50000"}).json
        assert report["account"]["committed"] == 400_000
        assert own_arena.ok("verify", file)["sound"]
        own_arena.kill_host()


@needs_root
def test_a_run_stops_before_the_disk_is_full(own_arena: Arena):
    """While some is still free, with one clear error; with room again it goes on where it stopped."""
    rows = "".join(f"{number},{os.urandom(40).hex()}\n" for number in range(400_000))
    own_arena.write("room/a.csv", "id,text\n" + rows)
    file = write_pipeline(own_arena, "room", "room/*.csv")
    kept = {"ROWKEEPER_BATCH_ROWS": "50000", "ROWKEEPER_INSERT_ROWS": "50000", "ROWKEEPER_DISK_FREE_MIN": "20MB"}
    with mounted(own_arena.home, "size=45m,mode=700"):
        outcome = own_arena.run("run", file, env=kept)
        one_clear_error(outcome, 1, "no room left to go on: .* 20 MB of which stay free", "ROWKEEPER_DISK_FREE_MIN")
        assert shutil.disk_usage(own_arena.home).free >= 20_000_000
        (stopped,) = own_arena.ok("runs")["runs"]
        assert stopped["status"] == "interrupted"
        subprocess.run(["mount", "-o", "remount,size=500m", str(own_arena.home)], check=True)
        report = own_arena.run("run", file, "--json", env=kept).json
        assert report["run"] == stopped["run"]
        assert any("goes on" in note for note in report["notes"])
        assert report["account"]["committed"] == 400_000
        own_arena.kill_host()


def test_two_runs_at_once(arena: Arena):
    """The second is told who holds the table; the first is not disturbed."""
    arena.write("twice/a.csv", GOOD)
    file = write_pipeline(arena, "twice", "twice/*.csv")
    first = arena.start("run", file, failpoints="run.before_stage=stop")
    first.wait_stopped()
    one_clear_error(arena.run("run", file), 1, "is held by another run .process \\d+")
    first.go_on()
    assert first.wait().status == 0
    assert counted(arena, "twice") == 2


INTERRUPTIBLE = ["run.after_start", "run.before_stage", "run.after_stage", "run.after_seal", "publish.after_clone"]


@pytest.mark.in_turns("moments to stop at", 2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("point", INTERRUPTIBLE)
def test_stopped_at_any_moment(arena: Arena, point: str, number: signal.Signals):
    """Ctrl-C or SIGTERM: the run stops (or, in the publish, ends); run again, everything is there once."""
    name = f"stopped_{number}_" + point.replace(".", "_")
    arena.write(f"{name}/a.csv", CSV_BYTES)
    file = write_pipeline(arena, name, f"{name}/*.csv")
    running = arena.start("run", file, failpoints=f"{point}=stop")
    running.wait_stopped()
    running.signal(number)
    running.go_on()
    outcome = running.wait()
    assert "Traceback" not in outcome.stderr, outcome
    if point.startswith("publish"):
        assert outcome.status == 0, outcome
    else:
        one_clear_error(outcome, 1, "was stopped", "goes on where it stopped")
    assert arena.run("run", file).status == 0
    assert counted(arena, name) == 5000
    assert arena.ok("verify", file)["sound"]


def test_a_batch_is_finished_before_a_run_stops(arena: Arena):
    """What the engine was given when the signal came is noted: the next run goes on after it."""
    arena.write("finished/a.csv", CSV_BYTES)
    arena.write("finished/b.csv", CSV_BYTES)
    file = write_pipeline(arena, "finished", "finished/*.csv")
    running = arena.start("run", file, failpoints="run.before_stage=stop")
    running.wait_stopped()
    running.signal(signal.SIGTERM)
    running.go_on()
    one_clear_error(running.wait(), 1, "was stopped", "goes on where it stopped")
    assert "5,000 rows had been read before it stopped" in arena.run("run", file).stdout
    assert counted(arena, "finished") == 10_000


@pytest.mark.in_turns("moments to stop at", 1)
@pytest.mark.parametrize("point", ["run.after_stage", "publish.after_clone"])
def test_a_second_signal_ends_a_command_at_once(arena: Arena, point: str):
    """It finishes nothing; run again, everything is there once."""
    name = "twice_" + point.replace(".", "_")
    arena.write(f"{name}/a.csv", CSV_BYTES)
    file = write_pipeline(arena, name, f"{name}/*.csv")
    running = arena.start("run", file, failpoints=f"{point}=stop")
    running.wait_stopped()
    running.signal(signal.SIGINT)
    running.signal(signal.SIGTERM)
    running.go_on()
    outcome = running.wait()
    assert (outcome.status, "stopped at once" in outcome.stderr) == (1, True), outcome
    assert arena.run("run", file).status == 0
    assert counted(arena, name) == 5000


def test_an_engine_that_dies_is_survived(arena: Arena):
    """The engine's host is killed before and in the midst of an insert: the run goes on with the next host."""
    arena.write("engine/a.csv", CSV_BYTES)
    file = write_pipeline(arena, "engine", "engine/*.csv")
    running = arena.start("run", file, "--json", failpoints="run.before_stage=stop,stage.before_insert=stop")
    for _ in range(2):
        running.wait_stopped()
        arena.kill_host()
        running.go_on()
    outcome = running.wait()
    assert outcome.status == 0, outcome
    assert outcome.json["account"]["committed"] == 5000
    assert arena.ok("verify", file)["sound"]


def test_an_engine_that_dies_in_the_publish_is_an_error_of_the_run(arena: Arena):
    """What may have been published is not published again blindly: one clear error, and the next run finds out."""
    arena.write("dies/a.csv", CSV_BYTES)
    file = write_pipeline(arena, "dies", "dies/*.csv")
    running = arena.start("run", file, failpoints="publish.before_clone=stop")
    running.wait_stopped()
    arena.kill_host()
    running.go_on()
    outcome = running.wait()
    assert "Traceback" not in outcome.stderr, outcome
    report = arena.ok("run", file)
    assert counted(arena, "dies") == 5000, (outcome, report)
    assert arena.ok("verify", file)["sound"]


def test_a_zombie_can_do_no_harm(arena: Arena):
    """Stopped just before its commit point, past its lease; another run publishes; the zombie wakes up and fails."""
    arena.write("zombie/a.csv", CSV_BYTES)
    file = write_pipeline(arena, "zombie", "zombie/*.csv")
    zombie = arena.zombie("run", file, at="publish.before_exchange")
    other = arena.run("run", file)
    while "is held by another run" in other.stderr:
        other = arena.run("run", file)
    assert other.status == 0, other
    zombie.go_on()
    assert zombie.wait().status == 1
    assert counted(arena, "zombie") == 5000
    assert arena.ok("verify", file)["sound"]
    assert arena.ok("run", file)["status"] == "unchanged"


def test_wrong_words_and_settings_are_wrong_usage(arena: Arena):
    """Exit status 2, and the setting is named without its value."""
    assert arena.run("rnu").status == 2
    assert arena.run("run").status == 2
    one_clear_error(arena.run("show", "4711"), 2, "no run 4711")
    outcome = arena.run("runs", env={"ROWKEEPER_BATCH_ROWS": "s3cret"})
    one_clear_error(outcome, 2, "batch_rows")
    assert "s3cret" not in outcome.stderr
