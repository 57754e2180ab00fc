"""Sealed files: a key id in each, and no changed bit that goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowkeeper.errors import IntegrityError, KeyRevoked, SealBroken, StateError
from rowkeeper.resilience.failpoints import arm
from rowkeeper.security.keyfile import derive
from rowkeeper.security.sealing import Seal
from rowkeeper.security.statefolder import StateFolder, open_state_folder

CANARY = b"canary" * 100


@pytest.fixture
def seal(folder: StateFolder, tmp_path: Path) -> Seal:
    made = Seal(folder.keysets, "quarantine", tmp_path / "sealed")
    made.write("a/1.sealed", CANARY)
    return made


@pytest.fixture
def file(seal: Seal, tmp_path: Path) -> Path:
    return tmp_path / "sealed" / "a" / "1.sealed"


def test_it_opens_as_it_was_sealed(seal: Seal, file: Path, folder: StateFolder):
    """The data come back; the file shows the magic and the key's id, and nothing of them."""
    assert seal.read("a/1.sealed") == CANARY
    content = file.read_bytes()
    assert content[:8] == b"RKS2" + folder.keysets.of("quarantine").primary.id.to_bytes(4)
    assert b"canary" not in content
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("region", "at"), [("magic", 1), ("version", 3), ("key id", 5), ("nonce", 12), ("ciphertext", 300), ("tag", -1)]
)
def test_a_flipped_bit_in_any_region_is_found(seal: Seal, file: Path, region: str, at: int):
    """Each bit of each region: one error that names the file and the mend."""
    sound = file.read_bytes()
    for bit in range(8):
        changed = bytearray(sound)
        changed[at] ^= 1 << bit
        file.write_bytes(changed)
        with pytest.raises(SealBroken) as caught:
            seal.read("a/1.sealed")
        assert str(file) in caught.value.what, region
        assert caught.value.hint == "restore it from a backup"


@pytest.mark.parametrize("size", [0, 3, 4, 7, 8, 19, 20, 35, 300])
def test_a_file_that_was_cut_off_is_found(seal: Seal, file: Path, size: int):
    """Wherever its end is."""
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(SealBroken):
        seal.read("a/1.sealed")


def test_another_file_does_not_stand_in_for_it(seal: Seal, file: Path, folder: StateFolder, tmp_path: Path):
    """Neither under another name, nor of another purpose, nor of another folder."""
    (file.parent / "2.sealed").write_bytes(file.read_bytes())
    with pytest.raises(SealBroken):
        seal.read("a/2.sealed")
    with pytest.raises(SealBroken):
        Seal(folder.keysets, "samples", tmp_path / "sealed").read("a/1.sealed")
    with pytest.raises(SealBroken):
        Seal(open_state_folder(tmp_path / "other").keysets, "quarantine", tmp_path / "sealed").read("a/1.sealed")
    with pytest.raises(IntegrityError, match="cannot be read"):
        seal.read("a/3.sealed")


def test_both_keys_read_after_a_rotation(seal: Seal, folder: StateFolder):
    """What was sealed before stays readable, and what is sealed now carries the new id."""
    first = folder.keysets.of("quarantine").primary.id
    second = folder.keysets.rotate("quarantine").primary.id
    seal.write("a/2.sealed", b"new")
    assert (seal.read("a/1.sealed"), seal.read("a/2.sealed")) == (CANARY, b"new")
    assert seal.key_ids() == {first: 1, second: 1}


def test_what_a_revoked_key_sealed_is_told_so(seal: Seal, folder: StateFolder):
    """The error says that the key was revoked, and when."""
    first = folder.keysets.of("quarantine").primary.id
    folder.keysets.rotate("quarantine")
    folder.keysets.revoke("quarantine", first, None)
    with pytest.raises(KeyRevoked, match="was revoked on 20"):
        seal.read("a/1.sealed")


def test_a_file_that_was_begun_before_a_rotation_is_sealed_anew(folder: StateFolder, tmp_path: Path):
    """Whoever revokes the former key after having counted cannot have missed it."""
    other = open_state_folder(folder.path)
    rotated: list[int] = []

    class Slow(Seal):
        def _store(self, name: str, sealed: bytes) -> None:
            if not rotated:
                rotated.append(other.keysets.rotate("quarantine").primary.id)
            super()._store(name, sealed)

    seal = Slow(folder.keysets, "quarantine", tmp_path / "sealed")
    seal.write("1.sealed", CANARY)
    assert seal.key_ids() == {rotated[0]: 1}
    assert seal.read("1.sealed") == CANARY


def test_files_of_the_first_format_are_read(folder: StateFolder, tmp_path: Path):
    """RKS1: no key id, its key derived from the key file, as all files were before there were keysets."""
    import json

    (folder.path / "keys.json").unlink()
    key = bytes.fromhex(folder.key_path.read_text().strip())
    from rowkeeper.security.keyfile import check_value

    first = {"id": folder.id, "layout": 1, "key_check": check_value(key), "key_file": str(folder.key_path)}
    (folder.path / "home.json").write_text(json.dumps(first))
    file = tmp_path / "sealed" / "1.sealed"
    file.parent.mkdir()
    nonce = bytes(12)
    file.write_bytes(b"RKS1" + nonce + AESGCM(derive(key, "quarantine")).encrypt(nonce, CANARY, b"1.sealed"))
    seal = Seal(open_state_folder(folder.path).keysets, "quarantine", file.parent)
    assert seal.read("1.sealed") == CANARY
    assert seal.key_ids() == {2: 1}
    sound = file.read_bytes()
    for at in (0, 3, 5, 20, len(sound) - 1):
        changed = bytearray(sound)
        changed[at] ^= 1
        file.write_bytes(changed)
        with pytest.raises(SealBroken):
            seal.read("1.sealed")
    file.write_bytes(sound)
    seal.write("1.sealed", b"new")
    assert file.read_bytes()[:4] == b"RKS2"


def test_a_crash_leaves_no_clear_draft(seal: Seal, file: Path):
    """What is written before the file has its name is sealed as well."""
    before = file.read_bytes()
    arm("private_file.before_link=raise")
    try:
        with pytest.raises(StateError):
            seal.write("a/9.sealed", CANARY)
    finally:
        arm("")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["1.sealed"]
