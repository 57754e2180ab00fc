"""What destinations without a staging area of their own build on."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.staged import LocalRecord, StagedInEngine
from rowkeeper.destinations.staged.delivered import as_text, delivered, from_text, hashed, plain, selected
from rowkeeper.errors import BooksDiffer, DestinationLacks
from rowkeeper.protocols import Change, CommitRecord

RECORD = CommitRecord("ledger", 7, 3, Fingerprint(5, 2**64 - 1))


def test_a_local_record_is_what_was_written(tmp_path: Path):
    """Kept for each target by itself, private, the newest in the place of the former one."""
    one, other = LocalRecord(tmp_path, "shelf:a"), LocalRecord(tmp_path, "shelf:b")
    assert one.read() is None
    one.write(CommitRecord("ledger", 6, 2, Fingerprint()))
    one.write(RECORD)
    assert one.read() == RECORD
    assert other.read() is None
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"ledger": "x", "run": "7", "token": 1, "fingerprint": "rk1-0-0"}'])
def test_a_local_record_that_was_changed_is_told(tmp_path: Path, text: str):
    """It is no record, and never taken for none."""
    record = LocalRecord(tmp_path, "shelf:a")
    record.write(RECORD)
    record.path.write_text(text)
    with pytest.raises(BooksDiffer):
        record.read()


@pytest.mark.parametrize("change", [Change(drop_all=True), Change(drop_rows=((1, 0),)), Change(reverse=1)])
def test_what_such_a_destination_cannot_do_is_refused(change: Change):
    """Unless it says otherwise it adds rows, and nothing else; it says so before a run begins."""
    with pytest.raises(DestinationLacks):
        StagedInEngine(None, "a shelf").check_change(change)  # type: ignore[arg-type]
    StagedInEngine(None, "a shelf").check_change(Change())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("UUID", "String"),
        ("Nullable(UUID)", "Nullable(String)"),
        ("Array(Tuple(`UUID` UUID, b Enum8('a' = 1, 'it\\'s )' = 2)))", "Array(Tuple(`String` String, b String))"),
        ("Map(String, Nullable(Enum16('x' = 1)))", "Map(String, Nullable(String))"),
        ("Decimal(30, 6)", "Decimal(30, 6)"),
    ],
)
def test_unshared_types_become_text(kind: str, expected: str):
    """Wherever they stand in a type."""
    if "`UUID`" in kind:  # a column of that name keeps it
        expected = expected.replace("`String`", "`UUID`")
    assert plain(kind) == expected


def test_columns_are_selected_in_plain_types_and_hashed_in_their_own():
    """Only those that need it are cast."""
    assert selected((("a", "Int64"), ("b", "UUID"))) == "`a`, CAST(`b`, 'String') AS `b`"
    assert "CAST(`b`, 'UUID')" in hashed((("b", "UUID"),), "/x")


def test_a_schema_goes_through_a_comment():
    """And what is none gives no columns."""
    schema = delivered(pa.schema([pa.field("a", pa.large_string()), pa.field("d", pa.duration("us"), nullable=False)]))
    assert schema == pa.schema([pa.field("a", pa.string()), pa.field("d", pa.int64(), nullable=False)])
    assert from_text(as_text(schema)) == schema
    assert from_text("no schema") == pa.schema([])
