"""Keys that others can guess or know are refused on load."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from rowkeeper.errors import WeakKey
from rowkeeper.security.keyfile import load
from rowkeeper.security.weakkeys import PUBLISHED, refuse_weak
from tests.arena import Arena

WEAK = {
    "zeros": bytes(32),
    "ones": b"\xff" * 32,
    "two bytes": b"\xab\xcd" * 16,
    "a block of 16 twice": bytes(range(7, 23)) * 2,
    "a block that does not fit in whole": (b"\x01\x9a\x33\xfe\x80" * 7)[:32],
    "up": bytes(range(32)),
    "down": bytes(range(255, 223, -1)),
    "by threes": bytes(3 * each % 256 for each in range(32)),
    "sha256 of password": hashlib.sha256(b"password").digest(),
    "sha256 of nothing": hashlib.sha256(b"").digest(),
    "a text": b"correct horse battery staple !!!",
    "few bytes": bytes(random.Random(1).choices([1, 77, 130, 251, 9], k=32)),
    **{each.hex()[:8]: each for each in PUBLISHED},
}


@pytest.mark.parametrize("name", sorted(WEAK))
def test_a_weak_key_file_is_refused(tmp_path: Path, name: str):
    """With its file and how a good one is made, and not with what is in it."""
    path = tmp_path / "the.key"
    path.write_text(WEAK[name].hex())
    path.chmod(0o600)
    with pytest.raises(WeakKey) as caught:
        load(path)
    assert str(path) in caught.value.what
    assert "token_hex" in caught.value.hint
    assert WEAK[name].hex() not in f"{caught.value.what}{caught.value.hint}"


def test_random_keys_pass():
    """A hundred thousand of them."""
    chance = random.Random(5)
    for _ in range(100_000):
        refuse_weak(chance.randbytes(32), "the test")


def test_a_run_with_a_weak_key_stops_before_anything_is_made(own_arena: Arena):
    """One clear error, by its code."""
    key = own_arena.write("weak.key", "00" * 32)
    key.chmod(0o600)
    outcome = own_arena.run("runs", "--json", env={"ROWKEEPER_KEY_FILE": str(key)})
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-6013")
    assert not (own_arena.home / "home.json").exists()
