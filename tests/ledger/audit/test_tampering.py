"""10,000 tamperings by somebody with full write access to the database and without the key: each is found."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.merkle import Frontier, leaf_hash
from rowkeeper.ledger.audit.notes import Checkpoint, Signer
from rowkeeper.ledger.audit.verifying import verify
from tests import extent
from tests.ledger.audit.books import database, opened

ENTRIES = 300
TRIES = 10_000
SAMPLE = 700
Tamper = Callable[[sqlite3.Connection, random.Random], None]


def _all(hand: sqlite3.Connection) -> list[bytes]:
    return [row[0] for row in hand.execute("SELECT entry FROM audit_entries ORDER BY number")]


def edit(hand: sqlite3.Connection, chance: random.Random) -> None:
    number = chance.randrange(ENTRIES)
    (entry,) = hand.execute("SELECT entry FROM audit_entries WHERE number = ?", (number,)).fetchone()
    changed = bytearray(entry)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    hand.execute("UPDATE audit_entries SET entry = ? WHERE number = ?", (bytes(changed), number))


def drop(hand: sqlite3.Connection, chance: random.Random) -> None:
    number = chance.randrange(ENTRIES)
    hand.execute("DELETE FROM audit_entries WHERE number = ?", (number,))
    if chance.random() < 0.5:  # and close the gap
        for later in range(number + 1, ENTRIES):
            hand.execute("UPDATE audit_entries SET number = ? WHERE number = ?", (later - 1, later))


def insert(hand: sqlite3.Connection, chance: random.Random) -> None:
    entries = _all(hand)
    number = chance.randrange(ENTRIES + 1)
    if number < ENTRIES:
        for later in range(ENTRIES - 1, number - 1, -1):
            hand.execute("UPDATE audit_entries SET number = ? WHERE number = ?", (later + 1, later))
    hand.execute("INSERT INTO audit_entries VALUES (?, ?)", (number, chance.choice(entries)))


def reorder(hand: sqlite3.Connection, chance: random.Random) -> None:
    one, other = chance.sample(range(ENTRIES), 2)
    entries = _all(hand)
    hand.execute("UPDATE audit_entries SET entry = ? WHERE number = ?", (entries[other], one))
    hand.execute("UPDATE audit_entries SET entry = ? WHERE number = ?", (entries[one], other))


def truncate(hand: sqlite3.Connection, chance: random.Random) -> None:
    hand.execute("DELETE FROM audit_entries WHERE number >= ?", (chance.randrange(ENTRIES),))


def rewrite_tail(hand: sqlite3.Connection, chance: random.Random) -> None:
    """Everything but the signature is made to fit: entries, tiles and head; the signature is old, or of another key."""
    first = chance.randrange(ENTRIES)
    entries = _all(hand)[:first] + [b'{"made":"up %d"}' % number for number in range(chance.randrange(1, ENTRIES))]
    frontier = Frontier()
    frontier.extend(map(leaf_hash, entries))
    hand.execute("DELETE FROM audit_entries WHERE number >= ?", (first,))
    hand.executemany("INSERT INTO audit_entries VALUES (?, ?)", list(enumerate(entries))[first:])
    hand.execute("DELETE FROM audit_tiles")
    if len(entries) >= 256:
        hashes = b"".join(map(leaf_hash, entries[:256]))
        hand.execute("INSERT INTO audit_tiles VALUES (0, 0, ?)", (hashes,))
    hand.execute("UPDATE audit_head SET size = ?, frontier = ?", (frontier.size, frontier.to_bytes()))
    if chance.random() < 0.5:
        (note,) = hand.execute("SELECT checkpoint FROM audit_head").fetchone()
        name = note.split("\n")[0]
        forged = Signer(name, chance.randbytes(32)).sign(Checkpoint(name, frontier.size, frontier.root()))
        hand.execute("UPDATE audit_head SET checkpoint = ?", (forged,))


def edit_head(hand: sqlite3.Connection, chance: random.Random) -> None:
    column = chance.choice(["size", "checkpoint", "frontier"])
    if column == "size":
        hand.execute("UPDATE audit_head SET size = size + ?", (chance.choice([-1, 1]) * chance.randrange(1, 100),))
        return
    if column == "frontier":
        (edge,) = hand.execute("SELECT frontier FROM audit_head").fetchone()
        changed = bytearray(edge)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        hand.execute("UPDATE audit_head SET frontier = ?", (bytes(changed),))
        return
    (note,) = hand.execute("SELECT checkpoint FROM audit_head").fetchone()
    at = chance.randrange(len(note) - 2)
    letter = chance.choice([each for each in "abcXYZ019+/" if each != note[at]])
    hand.execute("UPDATE audit_head SET checkpoint = ?", (note[:at] + letter + note[at + 1 :],))


def roll_back(hand: sqlite3.Connection, chance: random.Random) -> None:
    """The whole trail is as it was at an earlier moment, with the checkpoint that was signed then."""
    size, frontier, note = chance.choice(MOMENTS)
    hand.execute("DELETE FROM audit_entries WHERE number >= ?", (size,))
    hand.execute("DELETE FROM audit_tiles WHERE ? < 256", (size,))
    hand.execute("UPDATE audit_head SET size = ?, frontier = ?, checkpoint = ?", (size, frontier, note))


TAMPERS: dict[str, Tamper] = {
    each.__name__: each for each in (edit, drop, insert, reorder, truncate, rewrite_tail, edit_head, roll_back)
}
MOMENTS: list[tuple[int, bytes, str]] = []


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of 300 different entries, and its head at every size on the way."""
    home = tmp_path_factory.mktemp("trail")
    MOMENTS.clear()
    with opened(home) as ledger:
        for number in range(ENTRIES - 1):
            ledger.audit.record(Event("data.query", {"number": number}))
            with database(home) as hand:
                head = hand.execute("SELECT size, frontier, checkpoint FROM audit_head").fetchone()
            if head[0] < ENTRIES:
                MOMENTS.append(head)
        assert ledger.audit.head()[0] == ENTRIES
    return home


@pytest.mark.of_sqlite("looks into its file")
def test_every_tampering_is_found(original: Path, tmp_path: Path):
    """Edits, drops, insertions, reorderings, truncations, rewritten tails and rollbacks: verify finds each of them."""
    outside = (original / "audit" / "checkpoint").read_text()
    with opened(original) as ledger:
        assert verify(ledger.audit, {"outside": outside}).sound
    source = sqlite3.connect(original / "ledger.sqlite")
    shutil.copy(original / "ledger.sqlite", tmp_path / "ledger.sqlite")
    missed = []
    with opened(tmp_path, outside=False) as ledger, sqlite3.connect(tmp_path / "ledger.sqlite") as hand:
        for seed in range(TRIES if extent.whole else SAMPLE):
            chance = random.Random(seed)
            name = chance.choice(list(TAMPERS))
            if not _changed(hand, TAMPERS[name], chance):
                continue
            if verify(ledger.audit, {"outside": outside}).sound:
                missed.append((seed, name))
            _restore(source, hand)
        assert verify(ledger.audit, {"outside": outside}).sound
    source.close()
    assert missed == []


def _changed(hand: sqlite3.Connection, tamper: Tamper, chance: random.Random) -> bool:
    """Tampers; says whether anything is another now (two equal entries may have changed places)."""
    before = _state(hand)
    with hand:
        tamper(hand, chance)
    return _state(hand) != before


def _state(hand: sqlite3.Connection) -> list[object]:
    return [hand.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]


TABLES = ("audit_entries", "audit_tiles", "audit_head")


def _restore(source: sqlite3.Connection, hand: sqlite3.Connection) -> None:
    with hand:
        for table in TABLES:
            hand.execute(f"DELETE FROM {table}")
            rows = source.execute(f"SELECT * FROM {table}").fetchall()
            marks = ", ".join("?" * len(rows[0]))
            hand.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


@pytest.mark.of_sqlite("looks into its file")
def test_verify_would_not_find_what_is_not_there(original: Path):
    """The untouched trail is sound, so that what the other test finds is the tampering."""
    with opened(original) as ledger:
        assert isinstance(ledger, Ledger)
        assert verify(ledger.audit, {}).findings == ()
