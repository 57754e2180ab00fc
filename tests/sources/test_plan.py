"""Which files there are, which are new, which changed; and that a file stays the same while it is read."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.batch import Partition
from rowkeeper.errors import ConfigurationError, SourceError
from rowkeeper.sources import files
from rowkeeper.sources.file import identity
from tests.sources.reading import ANY

CSV = "p,q\n1,2\n"


def keys(base: Path, *patterns: str) -> list[str]:
    plan = files(*patterns).located(base).plan({}, whole=False)
    for error in plan.failed.values():
        raise error
    return [each.key for each in plan.load]


def loaded(*partitions: Partition) -> Mapping[str, Partition]:
    """As the ledger gives them back: through JSON."""
    again = [dataclasses.replace(each, detail=json.loads(json.dumps(dict(each.detail)))) for each in partitions]
    return {each.key: each for each in again}


def settled(partition: Partition) -> Partition:
    """As if hashed long after the file was last touched."""
    late = int(partition.detail["ctime_ns"]) + 2 * identity.RACY_NANOSECONDS
    return dataclasses.replace(partition, detail={**partition.detail, "hashed_ns": late})


# ------------------------------------------------------------------------------------------------ finding


def test_patterns_find_files_by_stable_keys(tmp_path: Path):
    """Relative to the folder, in order of keys, each file once however many patterns match it."""
    for name in ("b.csv", "a.csv", "deep/er/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CSV)
    assert keys(tmp_path, "**/*.csv") == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert keys(tmp_path, "a.csv", "*.csv", "./a.csv", str(tmp_path / "b.csv")) == ["a.csv", "b.csv"]
    assert keys(tmp_path / "deep", "../a.csv") == ["../a.csv"]


def test_names_with_signs_of_patterns_are_found(tmp_path: Path):
    """In the folder's name and in the file's."""
    folder = tmp_path / "x[1]*"
    folder.mkdir()
    (folder / "f[1].csv").write_text(CSV)
    assert keys(folder, "*.csv") == keys(folder, "f[1].csv") == ["f[1].csv"]


@pytest.mark.parametrize(
    ("pattern", "what", "hint"),
    [
        ("fligths.csv", "no file matches fligths.csv \\(looked in", "flights.csv"),
        ("no/*.csv", "there is no folder .*/no", "correct"),
        ("folder", "is a folder", "folder/\\*"),
        ("flights.csv/x", "is no folder", "correct"),
        ("pipe.csv", "is a pipe or device", "read more than once"),
        ("dangling.csv", "cannot be read", ""),
        ("odd/*.csv", "no UTF-8", "rename"),
    ],
)
def test_what_is_no_file_is_named(tmp_path: Path, pattern: str, what: str, hint: str):
    """A typo, a missing folder, a folder, a pipe (which would block for ever), a dangling link, an odd name."""
    (tmp_path / "flights.csv").write_text(CSV)
    (tmp_path / "folder").mkdir()
    (tmp_path / "odd").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"/\xff.csv")).write_text(CSV)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "dangling.csv").symlink_to("nowhere.csv")
    with pytest.raises(SourceError, match=what) as caught:
        keys(tmp_path, pattern)
    assert re.search(hint, caught.value.hint)


def test_formats_are_told_by_name_and_are_one(tmp_path: Path):
    """Two formats, or a name that tells none, are faults of the declaration."""
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.ndjson").write_text("{}\n")
    (tmp_path / "c.dat").write_text(CSV)
    with pytest.raises(ConfigurationError, match="several formats: csv, ndjson"):
        keys(tmp_path, "[ab].*")
    with pytest.raises(ConfigurationError, match="cannot be told"):
        keys(tmp_path, "c.dat")
    assert files("c.dat", format="csv").located(tmp_path).plan({}, whole=False).load[0].key == "c.dat"


# --------------------------------------------------------------------------------------------- comparing


def test_what_was_loaded_is_not_loaded_again(tmp_path: Path):
    """Equal content is unchanged, also where the file was copied anew; a new file is all that is loaded."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    source = files("*.csv").located(tmp_path)
    first = source.plan({}, whole=False)
    path.unlink()
    path.write_text(CSV)
    (tmp_path / "b.csv").write_text(CSV)
    second = source.plan(loaded(*first.load), whole=False)
    assert [each.key for each in second.load] == ["b.csv"]
    assert [each.key for each in second.unchanged] == ["a.csv"]


def test_a_changed_file_follows_the_policy(tmp_path: Path):
    """reject tells the error with the way out, reload and ignore put it where they say."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    before = loaded(*files("*.csv").located(tmp_path).plan({}, whole=False).load)
    path.write_text(CSV.replace("2", "3"))
    plan = files("*.csv").located(tmp_path).plan(before, whole=False)
    assert "a.csv changed since" in str(plan.failed["a.csv"])
    assert 'on_change="reload"' in plan.failed["a.csv"].hint
    assert not plan.to_read
    plan = files("*.csv", on_change="reload").located(tmp_path).plan(before, whole=False)
    assert [each.key for each in plan.reload] == ["a.csv"]
    assert plan.reload[0].identity != before["a.csv"].identity
    plan = files("*.csv", on_change="ignore").located(tmp_path).plan(before, whole=False)
    assert [each.key for each in plan.ignored] == ["a.csv"]
    assert not plan.to_read


def test_a_run_that_replaces_the_table_reads_all_or_nothing(tmp_path: Path):
    """Nothing if all is equal; everything if a file is new, gone or changed, whatever the policy."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(CSV)
    source = files("*.csv").located(tmp_path)
    before = loaded(*source.plan({}, whole=True).load)
    assert not source.plan(before, whole=True).to_read
    (tmp_path / "b.csv").write_text(CSV + "3,4\n")
    assert [each.key for each in source.plan(before, whole=True).load] == ["a.csv", "b.csv"]
    (tmp_path / "b.csv").unlink()
    assert [each.key for each in source.plan(before, whole=True).load] == ["a.csv"]


def test_hashing_is_spared_only_on_the_word_of_a_settled_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All stamps equal and the change well before the hashing: trusted. Changed within the racy time: hashed again."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    source = files("*.csv").located(tmp_path)
    partition = source.plan({}, whole=False).load[0]
    counted: list[Any] = []
    hashed = identity.hashed
    monkeypatch.setattr(identity, "hashed", lambda *args: counted.append(args) or hashed(*args))
    source.plan(loaded(partition), whole=False)
    assert len(counted) == 1, "it was hashed within two seconds of its change"
    source.plan(loaded(settled(partition)), whole=False)
    assert len(counted) == 1, "the file system vouches for it"
    stamps = path.stat()
    path.write_text(CSV.replace("2", "3"))
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert "changed since" in str(source.plan(loaded(settled(partition)), whole=False).failed["a.csv"])


def test_the_description_is_json_of_all_that_changes_the_rows():
    """Another option is another description; it survives JSON."""
    plain = files("a.csv")
    others = [
        files("b.csv"), files("a.csv", format="csv"), files("a.csv", null_values=["NA"]),
        files("a.csv", encoding="latin-1"), files("a.csv", delimiter=";"), plain.located(Path("/x")),
    ]  # fmt: skip
    documents = {json.dumps(each.describe(), sort_keys=True) for each in [plain, *others]}
    assert len(documents) == 1 + len(others)


# ------------------------------------------------------------------------------- good data turning bad


def append(path: Path) -> None:
    with path.open("a") as more:
        more.write("3,4\n")


def rename_over(path: Path) -> None:
    path.with_suffix(".new").write_text(path.read_text())
    path.with_suffix(".new").rename(path)


@pytest.mark.parametrize(
    ("touch", "words"),
    [
        (append, "changed while it was read"),
        (rename_over, "changed while it was read"),
        (Path.unlink, "cannot be read"),
    ],
)
@pytest.mark.parametrize("when", ["before", "between"])
def test_a_file_that_changes_is_found_before_its_last_batch(tmp_path: Path, touch: Any, words: str, when: str):
    """Grown, replaced by another of equal content, gone: after the plan, or after the first batch."""
    path = tmp_path / "a.csv"
    path.write_text("p,q\n" + "1,2\n" * 1000)
    source = files("a.csv").located(tmp_path)
    partition = source.plan({}, whole=False).load[0]
    reading = source.read(partition, start_row=0, batch_rows=100, columns=ANY)
    came = [next(reading)] if when == "between" else []
    touch(path)
    with pytest.raises(SourceError, match=words):
        came.extend(reading)
    assert sum(batch.rows_read for batch in came) < 1000


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path):
    """What was a file at the plan and is a folder now."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    source = files("a.csv").located(tmp_path)
    partition = source.plan({}, whole=False).load[0]
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError, match="is a folder"):
        list(source.read(partition, start_row=0, batch_rows=100, columns=ANY))
