"""Is the trail what was signed, and do the ledger's runs agree with it?

    1. the head's checkpoint is signed by a trusted key
    2. the entries are numbered from 0 without a gap, and there is none beyond the signed size
    3. the tree over them has the signed root, and each checkpoint from outside is of a beginning of it
    4. the stored tiles are those of the tree
    5. reasons kept beside the trail are the ones that their entries vouch for
    6. the account and the fingerprint of each published run are those that its entry holds

Numbers 1 to 3 find every change of the trail; 4 tells where it is; 5 and 6 find what was changed beside it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from rowkeeper.ledger.audit.event import reason_hash
from rowkeeper.ledger.audit.merkle import Frontier, ProofInvalid, leaf_hash, root_of
from rowkeeper.ledger.audit.notes import Checkpoint, open_checkpoint
from rowkeeper.ledger.audit.trail import PAGE, TILE, TILE_BITS, Trail, split
from rowkeeper.ledger.database import reading
from rowkeeper.ledger.entries import published_detail
from rowkeeper.ledger.reading import one_run
from rowkeeper.ledger.schema import audit_entries, audit_head, audit_reasons, audit_tiles, runs

FINDINGS_MAX = 20


@dataclasses.dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What a verification found.

    Attributes:
        size: entries.
        checkpoint: the signed head; empty if there is no entry yet.
        against: checkpoints from elsewhere that it was compared with: where they come from, and their sizes.
        findings: what is wrong, in sentences; empty if all is well.
    """

    size: int
    checkpoint: str
    against: Mapping[str, int]
    findings: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(trail: Trail, elsewhere: Mapping[str, str]) -> AuditVerdict:
    """Verifies the whole trail as it is now.

    Args:
        elsewhere: signed checkpoints that were kept outside the ledger, by where they come from.
    """
    with reading(trail.engine) as connection:
        walk = _Walk(connection, trail)
        findings = []
        for finding in walk.findings(elsewhere):
            findings.append(finding)
            if len(findings) == FINDINGS_MAX:
                findings.append("there may be more")
                break
        return AuditVerdict(walk.size, walk.note, walk.against, tuple(findings))


class _Walk:
    """One verification, in one state of the ledger."""

    def __init__(self, connection: Connection, trail: Trail) -> None:
        self._connection = connection
        self._trail = trail
        head = connection.execute(select(audit_head)).one_or_none()
        self.size: int = 0 if head is None else head.size
        self.note: str = "" if head is None else head.checkpoint
        self._edge: bytes = b"" if head is None else bytes(head.frontier)
        self.against: dict[str, int] = {}
        self._frontier = Frontier()
        self._published: dict[int, Mapping[str, Any]] = {}
        self._published_before = 0

    def findings(self, elsewhere: Mapping[str, str]) -> Iterator[str]:
        """What is wrong, one after the other."""
        wanted: list[tuple[str, Checkpoint]] = []
        notes = {**elsewhere, **({"the ledger's head": self.note} if self.note else {})}
        for where, note in notes.items():
            try:
                checkpoint = open_checkpoint(note, self._trail.verifiers)
            except ProofInvalid as fault:
                yield f"{where}: {fault}"
                continue
            wanted.append((where, checkpoint))
            if note is not self.note:
                self.against[where] = checkpoint.size
        yield from self._entries(sorted(wanted, key=lambda each: each[1].size))
        yield from self._reasons()
        yield from self._runs()

    def _entries(self, wanted: list[tuple[str, Checkpoint]]) -> Iterator[str]:
        last = self._connection.execute(select(func.max(audit_entries.c.number))).scalar()
        there = 0 if last is None else last + 1
        if there != self.size:
            yield f"there are {there:,} entries where the head says {self.size:,}"
        if self.size and not any(where == "the ledger's head" and each.size == self.size for where, each in wanted):
            yield "the head's size is not the one that was signed"
        leaves: list[bytes] = []
        for number, data in self._raw():
            if number != self._frontier.size:
                yield f"entry {self._frontier.size:,} is missing"
                return
            leaf = leaf_hash(data)
            self._frontier.append(leaf)
            self._note(data)
            leaves.append(leaf)
            if len(leaves) == TILE:
                yield from self._tile(number // TILE, leaves)
                leaves = []
            yield from self._compare(wanted)
        yield from (f"{where}: it is of {each.size:,} entries, and there are {there:,}" for where, each in wanted)
        if self._frontier.size == self.size and self._frontier.to_bytes() != self._edge:
            yield "the hashes by which the tree would be carried on are not those of its entries"
        yield from self._tiles_above()

    def _raw(self) -> Iterator[tuple[int, bytes]]:
        rows = self._connection.execution_options(yield_per=PAGE).execute(
            select(audit_entries.c.number, audit_entries.c.entry).order_by(audit_entries.c.number)
        )
        for number, data in rows:
            yield number, bytes(data)

    def _compare(self, wanted: list[tuple[str, Checkpoint]]) -> Iterator[str]:
        """Compares the tree so far with the checkpoints of its size, and takes them off the list."""
        while wanted and wanted[0][1].size <= self._frontier.size:
            where, checkpoint = wanted.pop(0)
            if checkpoint.size == self._frontier.size and checkpoint.root != self._frontier.root():
                yield f"{where}: the first {checkpoint.size:,} entries are not those that were signed"

    def _tile(self, number: int, leaves: list[bytes]) -> Iterator[str]:
        own = (audit_tiles.c.level == 0, audit_tiles.c.number == number)
        stored = self._connection.execute(select(audit_tiles.c.hashes).where(*own)).scalar()
        if stored is None:
            yield f"the stored hashes of the entries from {number * TILE:,} on are missing"
            return
        for at, (leaf, kept) in enumerate(zip(leaves, split(bytes(stored)), strict=False)):
            if leaf != kept:
                yield f"entry {number * TILE + at:,} is not the one whose hash is stored"
                return
        if len(stored) != TILE * len(leaves[0]):
            yield f"the stored hashes of the entries from {number * TILE:,} on are not whole"

    def _tiles_above(self) -> Iterator[str]:
        """Each full tile above the lowest is made of those below it, and there are just those that should be."""
        level = 0
        while expected := self._frontier.size >> (TILE_BITS * (level + 1)):
            own = audit_tiles.c.level == level
            found = self._connection.execute(select(func.count()).where(own)).scalar_one()
            if found != expected:
                yield f"there are {found:,} tiles of level {level} where there should be {expected:,}"
            if level:
                yield from self._level(level)
            level += 1
        more = self._connection.execute(select(func.count()).where(audit_tiles.c.level >= level)).scalar_one()
        if more:
            yield f"there are {more:,} tiles that no tree of this size has"

    def _level(self, level: int) -> Iterator[str]:
        own = select(audit_tiles).where(audit_tiles.c.level == level)
        for tile in self._connection.execute(own).all():
            first = tile.number * TILE
            below = (
                audit_tiles.c.level == level - 1,
                audit_tiles.c.number >= first,
                audit_tiles.c.number < first + TILE,
            )
            rows = self._connection.execute(
                select(audit_tiles.c.hashes).where(*below).order_by(audit_tiles.c.number)
            ).scalars()
            made = b"".join(root_of(split(bytes(hashes))) for hashes in rows)
            if made != bytes(tile.hashes):
                yield f"tile {tile.number:,} of level {level} is not made of those below it"

    # --------------------------------------------------------------------- what lies beside it

    def _note(self, data: bytes) -> None:
        """Keeps of an entry what the ledger's tables are compared with."""
        if b'"run.' not in data and b'"audit.begin"' not in data:
            return
        try:
            document = json.loads(data)
            if document["action"] in ("run.publish", "run.rollback"):
                self._published[int(document["on"]["run"])] = document["detail"]
            elif document["action"] == "audit.begin":
                self._published_before = int(document["detail"]["published_before"])
        except (ValueError, KeyError, TypeError):
            return  # it is not what was signed, which is found by its hash

    def _reasons(self) -> Iterator[str]:
        rows = select(audit_reasons, audit_entries.c.entry).join(
            audit_entries, audit_entries.c.number == audit_reasons.c.number, isouter=True
        )
        for row in self._connection.execute(rows).all():
            if row.entry is None or reason_hash(row.reason, bytes(row.salt)).encode() not in bytes(row.entry):
                yield f"the reason kept for entry {row.number:,} is not the one that was given"

    def _runs(self) -> Iterator[str]:
        after = runs.c.publish_order > self._published_before
        for (number,) in self._connection.execute(select(runs.c.run).where(after).order_by(runs.c.run)).all():
            vouched = self._published.pop(number, None)
            if vouched is None:
                yield f"run {number} is published, and no entry says so"
            elif any(vouched.get(name) != value for name, value in published_detail(one_run(self._connection, number))):
                yield f"run {number}: the ledger's account or fingerprint is not the one that was published"
        for number in self._published:
            yield f"run {number} was published, says the trail, and the ledger does not have it"
