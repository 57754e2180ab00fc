"""The journal of deliveries survives the process, and knows whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.webapi.journal import Journal, Span
from rowkeeper.errors import BooksDiffer, LeaseLost
from rowkeeper.protocols import CommitRecord

RECORD = CommitRecord("L", 7, 1, Fingerprint(3, 5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deliveries" / "t" / "7.jsonl"


def begun(path: Path) -> Journal:
    journal = Journal(path, 7, RECORD, ["document"])
    journal.take_over(RECORD)
    return journal


def test_what_was_sent_and_not_answered_is_in_doubt(path: Path) -> None:
    """A batch in doubt is known by its span and digest; what was answered is not in doubt, and its rows are counted."""
    journal = begun(path)
    journal.send(Span(0, 9), 10, "a")
    journal.over(Span(0, 9), 8, 2)
    journal.send(Span(10, 19), 10, "b")
    found = Journal.opened(path)
    assert found is not None
    assert (found.doubtful, found.position, found.taken, found.refused) == ({Span(10, 19): "b"}, 19, 8, 2)
    assert (found.record, found.documents, found.has_begun) == (RECORD, frozenset({"document"}), True)


def test_halves_come_before_what_follows(path: Path) -> None:
    """Spans that take the place of a batch are sent next, in order."""
    journal = begun(path)
    journal.send(Span(0, 9), 10, "a")
    journal.over(Span(0, 9), 0, 0, [Span(0, 4), Span(5, 9)])
    journal.send(Span(0, 4), 5, "c")
    found = Journal.opened(path)
    assert found is not None
    assert found.pending == [Span(5, 9)]
    assert not Journal(path, 7, RECORD, []).has_begun


def test_a_line_that_breaks_off_was_never_acted_upon(path: Path) -> None:
    """The last line of a process that died while writing it is left out."""
    journal = begun(path)
    journal.send(Span(0, 9), 10, "a")
    with path.open("a") as file:
        file.write('{"over": 0, "taken": 10, "ref')
    found = Journal.opened(path)
    assert found is not None
    assert list(found.doubtful) == [Span(0, 9)]


def test_who_was_taken_over_sends_nothing_more(path: Path) -> None:
    """A zombie finds that the file is not its own any more, before it sends."""
    zombie = begun(path)
    other = Journal.opened(path)
    assert other is not None
    other.take_over(RECORD)
    with pytest.raises(LeaseLost):
        zombie.send(Span(0, 9), 10, "a")
    other.send(Span(0, 9), 10, "a")


def test_the_same_key_never_goes_with_another_body(path: Path) -> None:
    """A batch in doubt that would be other bytes now is refused."""
    journal = begun(path)
    journal.send(Span(0, 9), 10, "a")
    with pytest.raises(BooksDiffer):
        journal.send(Span(0, 9), 10, "b")


def test_a_key_is_of_its_batch_alone() -> None:
    """Ledger, target, run, rows and attempt make the key; each other one is another key."""
    keys = {
        Span(0, 9).key("L", "t", 7),
        Span(0, 9).key("M", "t", 7),
        Span(0, 9).key("L", "u", 7),
        Span(0, 9).key("L", "t", 8),
        Span(0, 8).key("L", "t", 7),
        Span(0, 9, 1).key("L", "t", 7),
    }
    assert len(keys) == 6
    assert Span(0, 9).key("L", "t", 7) in keys


def test_what_is_no_journal_is_told(path: Path) -> None:
    """A damaged file is an integrity error, not a guess."""
    path.parent.mkdir(parents=True)
    path.write_text('{"run": 7}\n')
    with pytest.raises(BooksDiffer):
        Journal.opened(path)
