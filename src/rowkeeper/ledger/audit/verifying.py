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
from rowkeeper.ledger.audit.merkle import Frontier, ProofInvalid, leaf_hashes, root_of
from rowkeeper.ledger.audit.notes import Checkpoint, open_checkpoint
from rowkeeper.ledger.audit.tiles import TILE, TILE_BITS, split
from rowkeeper.ledger.audit.trail import Trail
from rowkeeper.ledger.database import as_bytes, reading
from rowkeeper.ledger.entries import published_detail
from rowkeeper.ledger.reading import one_run
from rowkeeper.ledger.schema import audit_entries, audit_head, audit_reasons, audit_tiles, runs

FINDINGS_MAX = 20
STRIDE = 16 * TILE  # entries in memory at a time
LOOKED_INTO = (b'{"action":"run.', b'{"action":"audit.begin"')  # entries that the ledger's tables are compared with


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
        self._edge: bytes = b"" if head is None else as_bytes(head.frontier)
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
        number = audit_entries.c.number
        last, least = self._connection.execute(select(func.max(number), func.min(number))).one()
        there = 0 if last is None else last + 1
        if least is not None and least < 0:
            yield "there are entries before the first"
        if there != self.size:
            yield f"there are {there:,} entries where the head says {self.size:,}"
        if self.size and not any(where == "the ledger's head" and each.size == self.size for where, each in wanted):
            yield "the head's size is not the one that was signed"
        for first in range(0, there, STRIDE):
            entries = self._numbered(first, min(STRIDE, there - first))
            if entries is None:
                yield f"entry {self._missing(first):,} is missing"
                return
            yield from self._carried_on(first, entries, wanted)
        yield from (f"{where}: it is of {each.size:,} entries, and there are {there:,}" for where, each in wanted)
        if self._frontier.size == self.size and self._frontier.to_bytes() != self._edge:
            yield "the hashes by which the tree would be carried on are not those of its entries"
        yield from self._tiles_above()

    def _numbered(self, first: int, count: int) -> list[bytes] | None:
        """So many entries, in order; None if one of them is missing. The driver's own rows are the quickest."""
        own = (audit_entries.c.number >= first, audit_entries.c.number < first + count)
        asked = select(audit_entries.c.number, audit_entries.c.entry).where(*own).order_by(audit_entries.c.number)
        result = self._connection.execute(asked)
        assert result.cursor is not None
        rows = result.cursor.fetchall()
        result.close()
        return [as_bytes(entry) for _, entry in rows] if len(rows) == count else None

    def _missing(self, first: int) -> int:
        """The first entry, from this one on, that is not there."""
        own = (audit_entries.c.number >= first, audit_entries.c.number < first + STRIDE)
        numbers = self._connection.execute(select(audit_entries.c.number).where(*own).order_by(audit_entries.c.number))
        there = set(numbers.scalars())
        return next(number for number in range(first, first + STRIDE + 1) if number not in there)

    def _carried_on(self, first: int, entries: list[bytes], wanted: list[tuple[str, Checkpoint]]) -> Iterator[str]:
        """Carries the tree on by entries, and stops at the size of each checkpoint to compare it."""
        leaves = leaf_hashes(entries)
        yield from self._tiles(first, leaves)
        for entry in entries:
            if entry.startswith(LOOKED_INTO):
                self._note(entry)
        at = 0
        while wanted and wanted[0][1].size <= first + len(leaves):
            where, checkpoint = wanted.pop(0)
            self._frontier.extend(leaves[at : checkpoint.size - first])
            at = max(at, checkpoint.size - first)
            if checkpoint.root != self._frontier.root():
                yield f"{where}: the first {checkpoint.size:,} entries are not those that were signed"
        self._frontier.extend(leaves[at:])

    def _tiles(self, first: int, leaves: list[bytes]) -> Iterator[str]:
        """Compares the hashes of entries with those in the stored tiles."""
        own = (audit_tiles.c.level == 0, audit_tiles.c.number >= first // TILE)
        asked = select(audit_tiles.c.number, audit_tiles.c.hashes).where(*own)
        below = audit_tiles.c.number < (first + len(leaves)) // TILE
        stored = {row.number: bytes(row.hashes) for row in self._connection.execute(asked.where(below))}
        for at in range(0, len(leaves) - TILE + 1, TILE):
            kept, made = stored.get((first + at) // TILE), leaves[at : at + TILE]
            if kept is None:
                yield f"the stored hashes of the entries from {first + at:,} on are missing"
            elif kept != b"".join(made):
                yield _differing(first + at, made, kept)

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
        try:
            document = json.loads(data)
            if document["action"] in ("run.publish", "run.rollback", "run.restore"):
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


def _differing(first: int, leaves: list[bytes], kept: bytes) -> str:
    """Where a tile differs from the hashes of its entries."""
    for number, (leaf, stored) in enumerate(zip(leaves, split(kept), strict=False), first):
        if leaf != stored:
            return f"entry {number:,} is not the one whose hash is stored"
    return f"the stored hashes of the entries from {first:,} on are not whole"
