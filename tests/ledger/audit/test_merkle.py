"""The tree: RFC 6962's roots, and proofs that prove what they should and nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.ledger.audit.merkle import (
    Frontier,
    ProofInvalid,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    root_of,
)

# Of Certificate Transparency's own tests (google/certificate-transparency, merkle_tree_test).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
SIZES = st.integers(1, 600)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def recursive(hashes: list[bytes]) -> bytes:
    """The definition in RFC 6962, section 2.1, word by word."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(recursive(hashes[:split]), recursive(hashes[split:]))


def tree_of(hashes: list[bytes]) -> Tree:
    return Tree(len(hashes), lambda level, index: recursive(hashes[index << level : (index + 1) << level]))


@pytest.mark.parametrize("count", ROOTS)
def test_known_roots(count: int):
    """The roots are those that Certificate Transparency publishes for its test entries."""
    hashes = [leaf_hash(bytes.fromhex(text)) for text in INPUTS[:count]]
    assert root_of(hashes).hex() == ROOTS[count]


@given(SIZES)
def test_a_frontier_has_the_root_of_the_definition(count: int):
    """Carried on leaf by leaf, and through bytes, the root is the recursive one."""
    hashes = leaves(count)
    frontier = Frontier()
    frontier.extend(hashes[: count // 2])
    frontier = Frontier.from_bytes(frontier.size, frontier.to_bytes())
    frontier.extend(hashes[count // 2 :])
    assert frontier.root() == recursive(hashes) == tree_of(hashes).root()


@given(SIZES, st.data())
def test_an_inclusion_proof_holds_for_its_entry_alone(count: int, data: st.DataObject):
    """The path proves its leaf at its place, and no other leaf, place, size, root or path."""
    hashes = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    root, path = recursive(hashes), tree_of(hashes).inclusion(index)
    check_inclusion(hashes[index], index, count, path, root)
    other = data.draw(st.integers(0, count - 1).filter(lambda at: at != index) if count > 1 else st.just(count))
    wrong = [(leaf_hash(b"x"), index, count, path, root), (hashes[index], other, count, path, root)]
    wrong += [(hashes[index], index, count, [*path, root], root), (hashes[index], index, count, path, leaf_hash(b"x"))]
    if path:
        wrong += [(hashes[index], index, count, path[:-1], root), (hashes[index], index, count, path[::-1], root)]
    for leaf, at, size, hops, end in wrong:
        if hops == path and (leaf, at, end) == (hashes[index], index, root):
            continue  # a path of equal hashes reads the same backwards
        with pytest.raises(ProofInvalid):
            check_inclusion(leaf, at, size, hops, end)


@given(SIZES, st.data())
def test_a_consistency_proof_holds_for_beginnings_alone(count: int, data: st.DataObject):
    """It proves that the smaller tree is the beginning of the larger; not of one in which a leaf was changed."""
    hashes = leaves(count)
    former = data.draw(st.integers(1, count))
    proof, root = tree_of(hashes).consistency(former), recursive(hashes)
    check_consistency(former, recursive(hashes[:former]), count, root, proof)
    changed = data.draw(st.integers(0, former - 1))
    forged = [*hashes[:changed], leaf_hash(b"x"), *hashes[changed + 1 :]]
    with pytest.raises(ProofInvalid):
        check_consistency(former, recursive(forged[:former]), count, root, proof)
    with pytest.raises(ProofInvalid):
        check_consistency(former, recursive(hashes[:former]), count, root, [*proof, root])


@pytest.mark.parametrize(("size", "data"), [(1, b""), (2, b"x" * 64), (3, b"x" * 63)])
def test_a_damaged_frontier_is_refused(size: int, data: bytes):
    """The stored right edge has exactly the hashes that its size calls for."""
    with pytest.raises(ValueError, match="subtrees"):
        Frontier.from_bytes(size, data)
