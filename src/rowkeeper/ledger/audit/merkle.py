"""The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, proofs, and the checks of proofs.

    leaf  = SHA-256(0x00 || entry)
    node  = SHA-256(0x01 || left || right)

A tree of n leaves is split at the greatest power of two below n. So the left part of a growing tree never changes, and
its root can be carried on from a few hashes (`Frontier`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Self

HASH_BYTES = 32
_sha256 = hashlib.sha256  # a name of its own: it is called millions of times
EMPTY_ROOT = hashlib.sha256().digest()

Subtree = Callable[[int, int], bytes]
"""The root of the whole subtree of 2**level leaves that begins with leaf `index * 2**level`, by (level, index)."""


class ProofInvalid(Exception):  # noqa: N818 - says what was found; the callers make it one of our errors
    """A proof does not prove what it is said to prove."""


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The hashes of entries."""
    return [_sha256(b"\x00" + entry).digest() for entry in entries]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes."""
    frontier = Frontier()
    frontier.extend(hashes)
    return frontier.root()


class Frontier:
    """The right edge of a growing tree: for each whole subtree that its size is made of, its root, the largest first.

    Args:
        size: leaves so far.
        roots: one for each bit set in `size`.
    """

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)
        if len(self._roots) != size.bit_count() or any(len(root) != HASH_BYTES for root in self._roots):
            raise ValueError(f"these are not the subtrees of a tree of {size} leaves")

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Self:
        """What `to_bytes` wrote. Raises ValueError for anything else."""
        return cls(size, [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])

    def to_bytes(self) -> bytes:
        """The roots one after the other."""
        return b"".join(self._roots)

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> list[list[bytes]]:
        """Adds leaf hashes; two neighbouring subtrees of the same size become one, level by level.

        Returns the roots of the whole subtrees that came with them, by level: the leaves first, of level 0.
        """
        hashes = list(leaves)
        size, left, right = self.size, self._roots, list[bytes]()
        self.size += len(hashes)
        made = []
        while hashes:
            made.append(hashes)
            row = [left.pop(), *hashes] if size & 1 else hashes
            if len(row) & 1:
                right.append(row[-1])
            pairs = iter(row)
            hashes = [_sha256(b"\x01" + one + other).digest() for one, other in zip(pairs, pairs, strict=False)]
            size >>= 1
        left.extend(reversed(right))
        return made

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._roots:
            return EMPTY_ROOT
        *rest, root = self._roots
        for left in reversed(rest):
            root = node_hash(left, root)
        return root


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """A tree of so many leaves whose whole subtrees can be asked for."""

    size: int
    subtree: Subtree

    def root(self, first: int = 0, end: int | None = None) -> bytes:
        """The root over the leaves from `first` up to `end`; `first` begins a subtree at least that large."""
        count = (self.size if end is None else end) - first
        if count == 0:
            return EMPTY_ROOT
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.subtree(level, first >> level)
        half = _split(count)
        return node_hash(self.root(first, first + half), self.root(first + half, first + count))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The audit path of a leaf in the tree of the first `size` leaves, its sibling first (RFC 6962, 2.1.1)."""
        end = self.size if size is None else size
        if not 0 <= index < end <= self.size:
            raise ValueError(f"there is no leaf {index} in a tree of {end}")
        return self._path(index, 0, end)

    def _path(self, index: int, first: int, end: int) -> list[bytes]:
        if end - first == 1:
            return []
        middle = first + _split(end - first)
        if index < middle:
            return [*self._path(index, first, middle), self.root(middle, end)]
        return [*self._path(index, middle, end), self.root(first, middle)]

    def consistency(self, former: int) -> list[bytes]:
        """The proof that the tree of the first `former` leaves is the beginning of this one (RFC 6962, 2.1.2)."""
        if not 0 < former <= self.size:
            raise ValueError(f"a tree of {former} leaves is no beginning of one of {self.size}")
        return self._beginning(former, 0, self.size, known=True)

    def _beginning(self, former: int, first: int, end: int, *, known: bool) -> list[bytes]:
        if former == end:
            return [] if known else [self.root(first, end)]
        middle = first + _split(end - first)
        if former <= middle:
            return [*self._beginning(former, first, middle, known=known), self.root(middle, end)]
        return [*self._beginning(former, middle, end, known=False), self.root(first, middle)]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises ProofInvalid unless the path leads from this leaf hash to this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no entry {index} in a tree of {size}")
    at, last, found = index, size - 1, leaf
    for other in path:
        if last == 0:
            raise ProofInvalid("the path is longer than the tree is high")
        if at & 1 or at == last:
            found = node_hash(other, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, other)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("the path is shorter than the tree is high")
    if found != root:
        raise ProofInvalid("the path does not lead from this entry to the tree's root")


def check_consistency(former: int, former_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofInvalid unless the tree of `former` leaves is the beginning of the other (RFC 9162, 2.1.4.2)."""
    if not 0 < former <= size:
        raise ProofInvalid(f"a tree of {former} entries is no beginning of one of {size}")
    if former == size:
        if proof or former_root != root:
            raise ProofInvalid("two trees of the same size differ")
        return
    # A former tree that is one whole subtree is itself the first hash.
    hashes = list(proof) if former & (former - 1) else [former_root, *proof]
    if not hashes or _led(former, size, hashes) != (former_root, root):
        raise ProofInvalid("the former tree is not the beginning of this one")


def _led(former: int, size: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of both trees to which a consistency proof leads; None if it is not as long as the tree is high."""
    at, last = former - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = hashes[0]
    for other in hashes[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, other)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None


def _split(count: int) -> int:
    """The greatest power of two below a count of at least 2."""
    return 1 << ((count - 1).bit_length() - 1)
