"""Manifests and packs: whatever is changed in one is found."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.errors import BackupDamaged, KeyUnusable
from rowkeeper.operations.backups import packs
from rowkeeper.operations.backups.manifest import Kind, Manifest, Snapshot, StoredFile, TableBackup, read
from rowkeeper.operations.backups.packs import HEADER_BYTES, PIECE_BYTES, TAG_BYTES, Sealing, opened
from rowkeeper.security.keysets import Key

KEY = Key(0x12345678, bytes(range(32)))
MANIFEST = Manifest(
    id="20261126T120000Z-incremental",
    kind=Kind.INCREMENTAL,
    base="20261126T110000Z-full",
    needs=("20261126T110000Z-full",),
    ledger_id="a" * 32,
    home_id="b" * 32,
    boundary=datetime(2026, 11, 26, 12, tzinfo=UTC),
    made_at=datetime(2026, 11, 26, 12, 1, tzinfo=UTC),
    run=7,
    order=7,
    tables=(TableBackup("clickhouse:embedded/d.t", "d", "t", 7, "rk1-1-00", (Snapshot("t", 7, "rk1-1-00", (5, 7)),)),),
    elsewhere=("files:/out",),
    left_out={},
    keys={"engine": ("00000001",)},
    files=(StoredFile("index", 10, "c" * 64),),
    index="index",
    rowkeeper="1",
    schema="0022",
)


def key_of(number: int) -> Key:
    if number != KEY.id:
        raise KeyUnusable("no such key")
    return KEY


def test_a_manifest_is_read_as_it_was_written():
    """Every field comes back."""
    found = read(MANIFEST.id, MANIFEST.written(KEY))
    assert found.key_id == KEY.id
    assert found.check(KEY) == MANIFEST


def test_every_single_bit_of_a_manifest_counts():
    """Each flip is found, one after the other: in the document, in its MAC, in the id of its key, in line ends."""
    raw, slipped = MANIFEST.written(KEY), []
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        try:
            found = read(MANIFEST.id, bytes(changed))
            if found.key_id == KEY.id:
                found.check(KEY)
                slipped.append(place)
        except BackupDamaged:
            pass
    assert slipped == []


CUTS = (lambda raw: raw[:-1], lambda raw: raw + b"\n", lambda raw: raw.split(b"\n")[0], lambda _: b"")


@pytest.mark.parametrize("cut", CUTS)
def test_a_manifest_that_is_cut_off_or_goes_on_is_damaged(cut):
    """Not only what is changed: what is missing or too much."""
    with pytest.raises(BackupDamaged):
        read(MANIFEST.id, cut(MANIFEST.written(KEY))).check(KEY)


def test_a_manifest_of_another_key_is_no_manifest():
    """Who knows the format and not the key can forge none."""
    forged = dataclasses.replace(MANIFEST, run=8).written(Key(KEY.id, bytes(32)))
    with pytest.raises(BackupDamaged, match="forged"):
        read(MANIFEST.id, forged).check(KEY)


def test_a_manifest_does_not_stand_in_for_another():
    """It is of the backup that it names."""
    with pytest.raises(BackupDamaged, match="another backup's"):
        read("20261126T130000Z-full", MANIFEST.written(KEY))


def sealed(data: bytes, name: str = "sealed-000001") -> bytes:
    out = io.BytesIO()
    sealing = Sealing(out, KEY, name)
    for start in range(0, len(data), 1000):
        sealing.write(data[start : start + 1000])
    sealing.finish()
    return out.getvalue()


def unsealed(data: bytes, name: str = "sealed-000001") -> bytes:
    return b"".join(opened(io.BytesIO(data), key_of, MANIFEST.id, name))


@given(data=st.binary(max_size=300), many=st.integers(0, 40))
def test_a_sealed_pack_is_opened_as_it_was_sealed(data: bytes, many: int):
    """Of any length, also none; pieces are small here, so that there are several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packs, "PIECE_BYTES", 64)
        assert unsealed(sealed(data * many)) == data * many


NOISE = bytes(each * 167 % 251 for each in range(1000))


def test_pieces_of_a_sealed_pack_cannot_be_left_out_or_moved(monkeypatch: pytest.MonkeyPatch):
    """Nor cut off at the end of one, nor put under another name."""
    monkeypatch.setattr(packs, "PIECE_BYTES", 64)
    whole = sealed(NOISE)
    size = 64 + TAG_BYTES
    pieces = [whole[start : start + size] for start in range(HEADER_BYTES, len(whole), size)]
    assert len(pieces) > 3
    header = whole[:HEADER_BYTES]
    first, second, *rest = pieces
    for wrong in (pieces[1:], [second, first, *rest], pieces[:-1], [first, first, *rest], []):
        with pytest.raises(BackupDamaged):
            unsealed(header + b"".join(wrong))
    with pytest.raises(BackupDamaged):
        unsealed(whole, "sealed-000002")
    with pytest.raises(BackupDamaged):
        unsealed(whole[:10])


def test_a_large_pack_is_sealed_in_pieces():
    """Memory is bounded by the size of a piece: what is held back is never more than one."""
    out = io.BytesIO()
    sealing = Sealing(out, KEY, "sealed-000001")
    for number in range(40):
        sealing.write(number.to_bytes(4) * (PIECE_BYTES // 8))
        assert len(sealing._held) <= PIECE_BYTES
    sealing.finish()
    assert unsealed(out.getvalue()) == b"".join(number.to_bytes(4) * (PIECE_BYTES // 8) for number in range(40))
