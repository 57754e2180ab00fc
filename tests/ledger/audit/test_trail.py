"""The trail: entries come with the change they tell, or neither does; every tampering is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rowkeeper.errors import AuditBroken, ConfigurationError, LeaseLost
from rowkeeper.ledger import Auditing, Ledger, RunKind
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.audit.exporting import export, prove
from rowkeeper.ledger.audit.merkle import Frontier, ProofInvalid, leaf_hash, root_of
from rowkeeper.ledger.audit.notes import Checkpoint, Signer, Verifier, open_checkpoint
from rowkeeper.ledger.audit.proofs import check_proof
from rowkeeper.ledger.audit.verifying import verify
from rowkeeper.ledger.database import writing
from tests.ledger.audit.books import database, fill, opened


def written_and_undone(trail: Trail) -> None:
    with writing(trail.engine, "test") as connection:
        trail.write(connection, Event("run.start"))
        raise LeaseLost("somebody took over", hint="none")


def test_an_entry_and_its_change_are_committed_together(tmp_path: Path):
    """A transaction that is rolled back leaves no entry, and the next one goes on from the former head."""
    with opened(tmp_path) as ledger:
        fill(ledger, 5)
        with pytest.raises(LeaseLost):
            written_and_undone(ledger.audit)
        assert ledger.audit.head()[0] == 5
        ledger.audit.record(Event("run.start"))
        assert verify(ledger.audit, {}).sound


@pytest.mark.of_sqlite("looks into its file")
def test_a_change_whose_entry_cannot_be_written_does_not_happen(tmp_path: Path):
    """With a trail that was meddled with a lease can still be had, and a run cannot be started."""
    with opened(tmp_path) as ledger:
        fill(ledger, 3)
        with database(tmp_path) as hand:
            hand.execute("DELETE FROM audit_head")
            hand.execute("UPDATE audit_entries SET number = number + 1 WHERE number = 2")
        lease = ledger.acquire_lease("clickhouse:t", 60)
        with pytest.raises(AuditBroken):
            ledger.start_run(
                lease,
                pipeline="p",
                target="clickhouse:t",
                kind=RunKind.LOAD,
                definition="d",
                source={},
                destination={},
                partitions=[],
                replaces_all=False,
                drop_rows=[],
            )
        assert ledger.runs() == []


@pytest.mark.of_sqlite("looks into its file")
@pytest.mark.parametrize("column", ["audit_entries.entry", "audit_head.frontier"])
def test_text_where_bytes_belong_is_found(tmp_path: Path, column: str):
    """SQLite takes any type in any column; verify tells it as every other change, and nothing is built on it."""
    table, _, name = column.partition(".")
    with opened(tmp_path) as ledger:
        fill(ledger, 3)
        with database(tmp_path) as hand:
            hand.execute(f"UPDATE {table} SET {name} = 'text'")
        assert not verify(ledger.audit, {}).sound
    if table == "audit_head":
        with opened(tmp_path) as ledger, pytest.raises(AuditBroken):
            ledger.audit.record(Event("run.start"))


@pytest.mark.of_sqlite("looks into its file")
def test_a_gap_before_a_stride_ends_is_told(tmp_path: Path):
    """Entries that are missing where the reading of one stride ends and that of the next begins are named."""
    with opened(tmp_path) as ledger:
        fill(ledger, 4_200, at_a_time=2_000)
        with database(tmp_path) as hand:
            hand.execute("DELETE FROM audit_entries WHERE number BETWEEN 4090 AND 4095")
        assert "entry 4,090 is missing" in verify(ledger.audit, {}).findings


@pytest.mark.of_sqlite("looks into its file")
def test_a_person_is_forgotten_and_the_trail_stays_sound(tmp_path: Path):
    """Name and reason lie beside the trail: without them entries tell an id, and every hash is as it was."""
    with opened(tmp_path) as ledger:
        ledger.audit.record(Event("data.query", {"table": "t"}, reason="asked for by Ada Lovelace"))
        told = ledger.audit.newest(1)[0]
        assert told.name is not None
        assert told.event.reason == "asked for by Ada Lovelace"
        with database(tmp_path) as hand:
            stored = b"".join(row[0] for row in hand.execute("SELECT entry FROM audit_entries"))
            assert b"Lovelace" not in stored
            assert told.name.removeprefix("os:").encode() not in stored
            hand.execute("DELETE FROM audit_people")
            hand.execute("DELETE FROM audit_reasons")
        forgotten = ledger.audit.newest(1)[0]
        assert (forgotten.name, forgotten.event.reason, forgotten.who) == (None, None, told.who)
        assert verify(ledger.audit, {}).sound


@pytest.mark.of_sqlite("looks into its file")
@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_each_entry_can_be_proved_without_the_ledger(tmp_path: Path, size: int):
    """Its proof is checked by the text and the public key alone, and holds that very entry."""
    with opened(tmp_path) as ledger:
        fill(ledger, size)
        key = Verifier.parse(str(ledger.audit.verifiers[0]))
        for number in {0, size // 2, size - 1}:
            proved = check_proof(prove(ledger.audit, number), [key])
            assert (proved.index, proved.checkpoint.size) == (number, size)
            with database(tmp_path) as hand:
                assert hand.execute("SELECT entry FROM audit_entries WHERE number = ?", (number,)).fetchone() == (
                    proved.entry,
                )


def test_a_proof_with_any_byte_changed_proves_nothing(tmp_path: Path):
    """Whichever byte is flipped, it is refused, or it is the same proof written in another way."""
    with opened(tmp_path) as ledger:
        fill(ledger, 300)
        key, text = ledger.audit.verifiers[0], prove(ledger.audit, 123)
    whole = check_proof(text, [key])
    data = text.encode()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            found = check_proof(changed.decode(errors="strict"), [key])
        except (ProofInvalid, UnicodeDecodeError):
            continue
        assert (found.entry, found.index, found.checkpoint) == (whole.entry, whole.index, whole.checkpoint), at


def test_a_proof_of_another_key_is_refused(tmp_path: Path):
    """What somebody signed with a key of his own proves nothing to one who trusts ours."""
    with opened(tmp_path) as ledger:
        fill(ledger, 3)
        name = ledger.audit.verifiers[0].name
        text = prove(ledger.audit, 1)
    with pytest.raises(ProofInvalid, match="no key that is trusted"):
        check_proof(text, [Signer(name, b"\x08" * 32).verifier])


def test_there_is_no_proof_of_what_is_not_there(tmp_path: Path):
    """An entry beyond the end is wrong usage, and the message says how many there are."""
    with opened(tmp_path) as ledger:
        fill(ledger, 3)
        with pytest.raises(ConfigurationError, match="no audit entry 3"):
            prove(ledger.audit, 3)


@pytest.mark.parametrize("size", [1, 256, 300])
def test_an_export_is_a_tiled_log_of_its_own(tmp_path: Path, size: int):
    """From the folder's files alone the signed root comes out, by c2sp.org/tlog-tiles."""
    with opened(tmp_path) as ledger:
        fill(ledger, size)
        folder = tmp_path / "log"
        assert export(ledger.audit, folder) == size
        key = ledger.audit.verifiers[0]
    checkpoint = open_checkpoint((folder / "checkpoint").read_text(), [key])
    entries, leaves = [], b""
    for number in range(-(-size // 256)):
        width = min(256, size - number * 256)
        suffix = "" if width == 256 else f".p/{width}"
        bundle = (folder / f"tile/entries/{number:03d}{suffix}").read_bytes()
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
        leaves += (folder / f"tile/0/{number:03d}{suffix}").read_bytes()
    hashes = [leaf_hash(entry) for entry in entries]
    assert b"".join(hashes) == leaves
    assert (checkpoint.size, checkpoint.root) == (len(entries), root_of(hashes))
    if size >= 256:
        width = size // 256
        assert (folder / f"tile/1/000.p/{width}").read_bytes() == root_of(hashes[:256])


@pytest.mark.of_sqlite("looks into its file")
def test_an_older_copy_of_the_database_is_refused(tmp_path: Path):
    """The checkpoint outside tells; nothing is written until somebody accepts the copy, on the record."""
    with opened(tmp_path) as ledger:
        fill(ledger, 10)
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "copy")
    with opened(tmp_path) as ledger:
        fill(ledger, 20)
    for left in tmp_path.glob("ledger.sqlite*"):
        left.unlink()
    shutil.copy(tmp_path / "copy", tmp_path / "ledger.sqlite")
    with opened(tmp_path) as ledger:
        with pytest.raises(AuditBroken, match="older copy"):
            ledger.audit.record(Event("run.start"))
        outside = (tmp_path / "audit" / "checkpoint").read_text()
        assert not verify(ledger.audit, {"outside": outside}).sound
        ledger.audit.accept("restored after the disk failed")
        assert [entry.event.action for entry in ledger.audit.newest(1)] == ["audit.accept"]
        ledger.audit.record(Event("run.start"))
        assert verify(ledger.audit, {}).sound


@pytest.mark.of_sqlite("looks into its file")
def test_a_rewritten_tail_is_not_built_upon(tmp_path: Path):
    """Somebody with the whole database and not the key makes the tail up: the next honest process does not sign it."""
    with opened(tmp_path, outside=False) as ledger:
        fill(ledger, 6)
        name = ledger.audit.verifiers[0].name
    forged = [json.dumps({"v": 1, "at": "2026-01-01T00:00:00+00:00", "made": "up"}).encode()] * 6
    forge(tmp_path, name, forged)
    with opened(tmp_path, outside=False) as ledger:
        with pytest.raises(AuditBroken, match="not what was signed"):
            ledger.audit.record(Event("run.start"))
        assert not verify(ledger.audit, {}).sound


@pytest.mark.of_sqlite("looks into its file")
def test_a_tail_made_up_under_a_living_process_is_not_built_upon(tmp_path: Path):
    """Entries and head are forged, the checkpoint left as it was: the process knows the whole head that it wrote."""
    with opened(tmp_path, outside=False) as ledger:
        fill(ledger, 6)
        name, note = ledger.audit.verifiers[0].name, ledger.audit.head()[1]
        forge(tmp_path, name, [b'{"made":"up"}'] * 6)
        with database(tmp_path) as hand:
            hand.execute("UPDATE audit_head SET checkpoint = ?", (note,))
        with pytest.raises(AuditBroken, match="not what was signed"):
            ledger.audit.record(Event("run.start"))


def forge(home: Path, name: str, entries: list[bytes]) -> None:
    """Writes a trail that is right in itself, signed by a key of the forger's own."""
    frontier = Frontier()
    frontier.extend(map(leaf_hash, entries))
    note = Signer(name, b"\x09" * 32).sign(Checkpoint(name, frontier.size, frontier.root()))
    with database(home) as hand:
        hand.execute("DELETE FROM audit_entries")
        hand.executemany("INSERT INTO audit_entries VALUES (?, ?)", enumerate(entries))
        hand.execute("UPDATE audit_head SET size = ?, frontier = ?, checkpoint = ?", (
            frontier.size, frontier.to_bytes(), note,
        ))  # fmt: skip


@pytest.mark.of_sqlite("looks into its file")
def test_a_kept_checkpoint_tells_of_a_rewritten_past(tmp_path: Path):
    """Even the key's owner cannot change what was before a checkpoint that somebody else kept."""
    with opened(tmp_path) as ledger:
        fill(ledger, 5)
        kept = ledger.audit.head()[1]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tmp_path / "ledger.sqlite", other / "ledger.sqlite")
    with database(other) as hand:
        for table in ("audit_entries", "audit_head", "audit_tiles", "audit_reasons"):
            hand.execute(f"DELETE FROM {table}")
    with opened(other) as ledger:
        fill(ledger, 9)
        assert verify(ledger.audit, {}).sound
        found = verify(ledger.audit, {"kept": kept})
        assert found.findings == ("kept: the first 5 entries are not those that were signed",)


def test_other_machines_of_one_ledger_are_trusted_by_name(tmp_path: Path):
    """A head that another machine signed is built upon if its key is among the trusted ones, and only then."""
    with opened(tmp_path, outside=False) as ledger:
        fill(ledger, 3)
        first = ledger.audit.verifiers[0]
    with opened(tmp_path, key=b"\x08" * 32, outside=False) as ledger, pytest.raises(AuditBroken):
        ledger.audit.record(Event("run.start"))
    with Ledger.open(None, tmp_path, auditing=Auditing(lambda: (b"\x08" * 32,), (first,))) as ledger:
        ledger.audit.record(Event("run.start"))
        assert verify(ledger.audit, {}).sound


def test_after_a_rotation_the_former_key_is_believed_and_the_new_one_signs(tmp_path: Path):
    """The head that the former key signed is built upon; without that key it would not be."""
    with opened(tmp_path, outside=False) as ledger:
        fill(ledger, 3)
    rotated = Auditing(lambda: (b"\x08" * 32, b"\x07" * 32))
    with Ledger.open(None, tmp_path, auditing=rotated) as ledger:
        ledger.audit.record(Event("run.start"))
        now = ledger.audit.verifiers[0]
        assert open_checkpoint(ledger.audit.head()[1], [now]).size == 4
        assert verify(ledger.audit, {}).sound


def test_a_process_hears_of_a_key_that_was_rotated_in_beside_it(tmp_path: Path):
    """The head that another process signed with the new key is built upon by one that began with the former key."""
    keys = [b"\x07" * 32]
    auditing = Auditing(lambda: tuple(keys))
    with Ledger.open(None, tmp_path, auditing=auditing) as one:
        one.audit.record(Event("run.start"))
        keys.insert(0, b"\x08" * 32)
        with Ledger.open(None, tmp_path, auditing=auditing) as other:
            other.audit.record(Event("run.start"))
        one.audit.record(Event("run.publish"))
        assert verify(one.audit, {}).sound


@pytest.mark.of_sqlite("looks into its file")
def test_entries_are_canonical_and_hold_no_clear_sql(tmp_path: Path):
    """Keys are sorted and nothing stands between: another program that makes the entry anew gets the same hash."""
    with opened(tmp_path) as ledger, database(tmp_path) as hand:
        ledger.audit.record(Event("data.query", {"z": 1, "a": "ä"}))
        for (data,) in hand.execute("SELECT entry FROM audit_entries"):
            document = json.loads(data)
            again = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            assert again == data
