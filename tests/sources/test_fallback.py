"""Files in two places: the same names, the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.errors import SourceError
from rowkeeper.protocols import Columns
from rowkeeper.resilience.degrading import collecting
from rowkeeper.sources import files

ANY = Columns(frozenset({"p", "q"}), (), "evolve")
CSV = "p,q\n" + "".join(f"{number},x\n" for number in range(1000))


def write(base: Path, name: str, content: str) -> Path:
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_file_that_breaks_off_is_read_on_from_its_twin(tmp_path: Path):
    """Truncated while it is read: the twin of the same content goes on at the same row, and it is told."""
    path = write(tmp_path, "a/one.csv", CSV)
    write(tmp_path, "b/one.csv", CSV)
    source = files("a/*.csv", fallback=files("b/*.csv")).located(tmp_path)
    (partition,) = source.plan({}, whole=False).load
    with collecting() as told:
        reading = source.read(partition, start_row=0, batch_rows=100, columns=ANY)
        rows = next(reading).row_numbers.to_pylist()
        path.write_text(CSV[:500])
        for batch in reading:
            rows += batch.row_numbers.to_pylist()
    assert rows == list(range(1000))
    (sentence,) = told
    assert sentence.startswith("a/one.csv was read from the fallback, from row 901 on: ")


def test_another_content_is_no_twin(tmp_path: Path):
    path = write(tmp_path, "a/one.csv", CSV)
    write(tmp_path, "b/one.csv", CSV + "1,y\n")
    source = files("a/*.csv", fallback=files("b/*.csv")).located(tmp_path)
    (partition,) = source.plan({}, whole=False).load
    reading = source.read(partition, start_row=0, batch_rows=100, columns=ANY)
    next(reading)
    path.write_text(CSV[:500])
    with pytest.raises(SourceError):
        list(reading)


@pytest.mark.parametrize(
    ("pattern", "replica", "key"),
    [
        ("a/*.csv", "b/*.csv", "a/one.csv"),
        ("a/one.csv", "b/copy.csv", "a/one.csv"),
        ("a/x/**/*.csv", "b/**/*.csv", "a/x/deep/one.csv"),
    ],
)
def test_partitions_go_by_the_names_of_the_primary(tmp_path: Path, pattern: str, replica: str, key: str):
    """So that what was loaded from the one place is known in the other."""
    write(tmp_path, "b/deep/one.csv" if "**" in replica else "b/" + replica[2:].replace("*", "one"), CSV)
    source = files(pattern, fallback=files(replica)).located(tmp_path)
    (partition,) = source.plan({}, whole=False).load
    assert partition.key == key
    plan = source.plan({partition.key: partition}, whole=False)
    assert [each.key for each in plan.unchanged] == [key]
    assert not plan.to_read


def test_a_file_that_cannot_be_read_is_taken_from_the_replica(tmp_path: Path):
    """One broken zip among good files."""
    write(tmp_path, "a/one.csv", CSV)
    write(tmp_path, "b/one.csv", CSV)
    write(tmp_path, "b/two.csv", CSV)
    (tmp_path / "a" / "two.csv").symlink_to(tmp_path / "nowhere")
    source = files("a/*.csv", fallback=files("b/*.csv")).located(tmp_path)
    with collecting() as told:
        plan = source.plan({}, whole=False)
    assert sorted(each.key for each in plan.load) == ["a/one.csv", "a/two.csv"]
    assert not plan.failed
    assert told[0].startswith("a/two.csv was taken from the fallback: ")
