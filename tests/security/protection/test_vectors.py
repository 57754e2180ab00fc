"""Wycheproof: the primitives do what their standards say, and refuse what they must refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from rowkeeper.security.protection.ff1 import FF1, numerals_of, text_of
from tests.security.protection.vectors import count, faults, groups

NONCE_BYTES = range(8, 129)  # that `cryptography` takes; we use 12


@pytest.mark.parametrize(("name", "least"), [("aes_ff1_base10", 3845), ("aes_ff1_base36", 2854)])
def test_ff1(name: str, least: int):
    """Every text is encrypted to the vector's and decrypted again; short texts, keys and characters are refused."""

    def works(group, test):
        ff1, alphabet, tweak = FF1(bytes.fromhex(test["key"]), group["radix"]), group["alphabet"], test["tweak"]
        made = ff1.encrypt(numerals_of(test["msg"], alphabet), bytes.fromhex(tweak))
        back = ff1.decrypt(made, bytes.fromhex(tweak))
        return (text_of(made[0], alphabet), text_of(back[0], alphabet)) == (test["ct"], test["msg"])

    assert count(name) >= least
    assert faults(name, works) == []


def test_ff1_takes_many_texts_at_once():
    """Rows of a matrix are encrypted as each of them is by itself."""
    tests = [
        (group, test) for group in groups("aes_ff1_base10") for test in group["tests"] if test["result"] == "valid"
    ]
    together = itertools.groupby(tests, key=lambda each: (each[1]["key"], each[1]["tweak"], len(each[1]["msg"])))
    largest = max((list(found) for _, found in together), key=len)
    assert len(largest) > 1
    first = largest[0][1]
    matrix = np.concatenate([numerals_of(test["msg"], group["alphabet"]) for group, test in largest])
    made = FF1(bytes.fromhex(first["key"]), 10).encrypt(matrix, bytes.fromhex(first["tweak"]))
    assert [text_of(row, "0123456789") for row in made] == [test["ct"] for _, test in largest]


@pytest.mark.parametrize("radix", [2, 3, 10, 26, 36, 256, 1000, 65536])
def test_ff1_of_every_radix_and_tweak_turns_back(radix: int):
    """Texts of many lengths, under tweaks of many lengths, come back; so do 64-bit halves and those beyond them."""
    source = np.random.default_rng(radix)
    ff1 = FF1(bytes(range(32)), radix)
    for length in (7, 8, 9, 16, 17, 31, 64):
        for tweak in (b"", b"t", bytes(15), bytes(16), bytes(200)):
            texts = source.integers(0, radix, (5, length)).astype(np.uint16)
            made = ff1.encrypt(texts, tweak)
            assert not (made == texts).all()
            assert (ff1.decrypt(made, tweak) == texts).all()


def test_ff1_refuses_what_is_no_text_of_its_radix():
    """Too short, a strange numeral, a strange key, a strange radix."""
    with pytest.raises(ValueError, match="too short"):
        FF1(bytes(16), 10).encrypt(np.zeros((1, 1), np.uint16))
    with pytest.raises(ValueError, match="numeral"):
        FF1(bytes(16), 10).encrypt(np.full((1, 8), 10, np.uint16))
    with pytest.raises(ValueError, match="key"):
        FF1(bytes(17), 10)
    with pytest.raises(ValueError, match="radix"):
        FF1(bytes(16), 1)


def test_aes_gcm():
    """Every vector with a nonce that the library takes; with nonces of 96 bits, as ours are, all of them."""
    strange = []

    def works(group, test):
        nonce, about = bytes.fromhex(test["iv"]), bytes.fromhex(test["aad"])
        if len(nonce) not in NONCE_BYTES:
            strange.append(test["tcId"])
            with pytest.raises(ValueError, match=r"[Nn]once|must be"):
                AESGCM(bytes.fromhex(test["key"])).encrypt(nonce, b"", about)
            return test["result"] == "valid"  # refused as a whole, whatever the vector says
        cipher = AESGCM(bytes.fromhex(test["key"]))
        sealed = bytes.fromhex(test["ct"] + test["tag"])
        clear = cipher.decrypt(nonce, sealed, about)
        return clear.hex() == test["msg"] and cipher.encrypt(nonce, clear, about) == sealed

    assert faults("aes_gcm", works) == []
    assert count("aes_gcm") - len(strange) >= 280


def test_aes_siv():
    """Deterministic, and refused where a bit is another."""

    def works(group, test):
        cipher, about = AESSIV(bytes.fromhex(test["key"])), [bytes.fromhex(test["aad"])]
        clear = cipher.decrypt(bytes.fromhex(test["ct"]), about)
        return clear.hex() == test["msg"] and cipher.encrypt(clear, about).hex() == test["ct"]

    assert faults("aes_siv_cmac", works) == []
    assert count("aes_siv_cmac") >= 442


def test_ed25519():
    """Signatures are good or refused; malleable and cut ones are refused."""

    def works(group, test):
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
        return True

    assert faults("ed25519", works) == []
    assert count("ed25519") >= 151
