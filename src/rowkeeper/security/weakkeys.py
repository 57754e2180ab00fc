"""Keys that others can guess or know. A random key passes: the chance that it does not is below 10^-13."""

from __future__ import annotations

import hashlib
from itertools import pairwise

from rowkeeper.errors import WeakKey

DISTINCT_MIN = 16  # of 32 random bytes about 30 are distinct; 15 or fewer have a chance of about 10^-14
PERIOD_MAX = 16
# Printed in standards, and so in every example that was made from them.
PUBLISHED = frozenset(
    bytes.fromhex(each)
    for each in (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",  # pragma: allowlist secret (SP 800-38A)
        "c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558",  # pragma: allowlist secret (NIST AESAVS)
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",  # pragma: allowlist secret (RFC 8439, A.5)
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",  # pragma: allowlist secret (RFC 8032, 7.1)
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",  # pragma: allowlist secret (RFC 8032, 7.1)
        "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389",  # pragma: allowlist secret (NaCl)
    )
)
# What people hash to get 32 bytes.
WORDS = (
    "",
    "0",
    "1",
    "123456",
    "12345678",
    "123456789",
    "1234567890",
    "abc123",
    "admin",
    "changeme",
    "change_me",
    "default",
    "dev",
    "example",
    "foo",
    "foobar",
    "hello",
    "hello world",
    "key",
    "letmein",
    "master",
    "my-secret-key",
    "pass",
    "passw0rd",
    "password",
    "password1",
    "postgres",
    "qwerty",
    "root",
    "rowkeeper",
    "secret",
    "secret-key",
    "secretkey",
    "supersecret",
    "test",
    "test123",
    "testkey",
    "toor",
    "welcome",
    "your-secret-key",
)
HASHES = ("sha256", "sha3_256", "blake2s")
HASHED = frozenset(hashlib.new(how, word.encode()).digest() for word in WORDS for how in HASHES)


def refuse_weak(key: bytes, where: str) -> None:
    """Raises WeakKey if a key of 32 bytes or so is no random one.

    Args:
        where: what it is in, for the message, such as the path of its file.
    """
    if fault := _fault(key):
        raise WeakKey(
            f"the key in {where} {fault}: anybody can guess it",
            hint="python -c 'import secrets; print(secrets.token_hex(32))' makes one: start anew with that",
        )


def _fault(key: bytes) -> str:
    if key in PUBLISHED:
        return "is printed in a standard"
    if key in HASHED:
        return "is the hash of a common word"
    if all(0x20 <= byte < 0x7F for byte in key):
        return "is a text, and no random bytes"
    return _regularity(key)


def _regularity(key: bytes) -> str:
    if any(key == (key[:period] * len(key))[: len(key)] for period in range(1, PERIOD_MAX + 1)):
        return "is a pattern, again and again"
    if len({(after - before) % 256 for before, after in pairwise(key)}) == 1:
        return "is a row of numbers"
    return "has few different bytes" if len(set(key)) < min(DISTINCT_MIN, len(key) // 2) else ""
