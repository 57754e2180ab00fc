"""What leaves the ledger: the proof of one entry, and the whole trail as a folder (c2sp.org/tlog-tiles).

    checkpoint                      the signed head
    tile/0/x001/234                 hashes of entries, 256 in a file; tile/1, ... of the tiles below
    tile/0/x001/235.p/17            the last one, of 17
    tile/entries/x001/234           the entries themselves, each behind its length in two bytes

Any static web server can give it out, and any reader of tiled logs can check it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select

from rowkeeper.errors import AuditBroken, ConfigurationError, StateError
from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.notes import open_checkpoint
from rowkeeper.ledger.audit.proofs import proof_text
from rowkeeper.ledger.audit.tiles import TILE, TILE_BITS, tile_of, tree
from rowkeeper.ledger.audit.trail import Trail
from rowkeeper.ledger.database import reading
from rowkeeper.ledger.schema import audit_entries, audit_head


def prove(trail: Trail, number: int) -> str:
    """The proof that an entry is in the trail, as text.

    Raises:
        ConfigurationError: there is no such entry.
        AuditBroken: the head is not one that a trusted key signed.
    """
    with reading(trail.engine) as connection:
        size, note = _head(connection, trail)
        if not 0 <= number < size:
            raise ConfigurationError(
                f"there is no audit entry {number}", hint=f"there are {size:,}, from 0 on: rowkeeper audit list"
            )
        entry = connection.execute(select(audit_entries.c.entry).where(audit_entries.c.number == number)).scalar_one()
        return proof_text(bytes(entry), number, tree(connection, size).inclusion(number), note)


def export(trail: Trail, folder: Path) -> int:
    """Writes the trail into a folder, over an older export of it. Returns the number of entries.

    Raises:
        StateError: the folder cannot be written.
        AuditBroken: the head is not one that a trusted key signed.
    """
    try:
        with reading(trail.engine) as connection:
            size, note = _head(connection, trail)
            for path, data in _files(connection, size):
                target = folder / path
                if target.exists() and ".p/" not in path:
                    continue  # a full tile never changes
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                target.write_bytes(data)
            (folder / "checkpoint").write_text(note, encoding="utf-8")  # last: what it names is there
    except OSError as error:
        raise StateError(f"{folder} cannot be written: {error.strerror}", hint="name another folder") from error
    return size


def _head(connection: Connection, trail: Trail) -> tuple[int, str]:
    head = connection.execute(select(audit_head)).one_or_none()
    if head is None:
        raise ConfigurationError("there is no audit entry yet", hint="run a pipeline first")
    try:
        open_checkpoint(head.checkpoint, trail.verifiers)
    except ProofInvalid as fault:
        raise AuditBroken(f"the audit trail's head: {fault}", hint="rowkeeper audit verify tells more") from fault
    return head.size, head.checkpoint


def _files(connection: Connection, size: int) -> Iterator[tuple[str, bytes]]:
    level = 0
    while level == 0 or size >> (TILE_BITS * level):
        for number, width in _tiles(size >> (TILE_BITS * level)):
            yield _path(str(level), number, width), b"".join(tile_of(connection, level, number, width))
        level += 1
    for number, width in _tiles(size):
        own = (audit_entries.c.number >= number * TILE, audit_entries.c.number < number * TILE + width)
        rows = connection.execute(select(audit_entries.c.entry).where(*own).order_by(audit_entries.c.number)).scalars()
        entries = [bytes(entry) for entry in rows]
        yield (
            _path("entries", number, width),
            b"".join(struct.pack(">H", len(entry)) + entry for entry in entries),
        )


def _tiles(hashes: int) -> Iterator[tuple[int, int]]:
    """The number and width of each tile of a level with so many hashes."""
    yield from ((number, TILE) for number in range(hashes // TILE))
    if hashes % TILE:
        yield hashes // TILE, hashes % TILE


def _path(level: str, number: int, width: int) -> str:
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    whole = f"tile/{level}/{'/'.join(parts)}"
    return whole if width == TILE else f"{whole}.p/{width}"
