"""The tree's hashes as they are stored: tiles of 256, so that a proof need not hash all entries anew.

A tile of level 0 holds the hashes of 256 entries, one of level 1 the roots of 256 tiles of level 0, and so on
(c2sp.org/tlog-tiles). Only full tiles are stored; the hashes of the last one of each level, which is open, are made
from what lies below it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import Connection, select

from rowkeeper.ledger.audit.merkle import HASH_BYTES, Tree, leaf_hashes, root_of
from rowkeeper.ledger.schema import audit_entries, audit_tiles

TILE_BITS = 8
TILE = 1 << TILE_BITS  # hashes in a full tile, and entries in a full bundle

Row = tuple[int, int, bytes]
"""A full tile: its level, its number, its hashes."""


@dataclasses.dataclass(frozen=True, slots=True)
class OpenTiles:
    """The tiles that are not full yet.

    Attributes:
        size: entries in the tree.
        levels: of each level that has any, the hashes of its last tile; none if that is full.
    """

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()

    @classmethod
    def load(cls, connection: Connection, size: int) -> Self:
        """Makes them from what is stored."""
        levels: list[tuple[bytes, ...]] = []
        while hashes := size >> (TILE_BITS * len(levels)):
            levels.append(tuple(tile_hashes(connection, len(levels), hashes // TILE, hashes % TILE)))
        return cls(size, tuple(levels))

    def grown(self, made: Sequence[Sequence[bytes]]) -> tuple[OpenTiles, list[Row]]:
        """What they are after more entries, and the tiles that became full.

        Args:
            made: what `Frontier.extend` gave.
        """
        full: list[Row] = []
        levels = list(self.levels)
        for level, hashes in enumerate(made[::TILE_BITS]):
            number = (self.size >> (TILE_BITS * level)) // TILE
            open_ = [*levels[level], *hashes] if level < len(levels) else list(hashes)
            ends = range(TILE, len(open_) + 1, TILE)
            full += [(level, number + at, b"".join(open_[end - TILE : end])) for at, end in enumerate(ends)]
            levels[level : level + 1] = [tuple(open_[len(ends) * TILE :])]
        return OpenTiles(self.size + len(made[0]), tuple(levels)), full


def tile_hashes(connection: Connection, level: int, number: int, width: int) -> list[bytes]:
    """The first hashes of a tile, from the entries or the full tiles below it."""
    if not width:
        return []
    table: Any = audit_tiles if level else audit_entries
    column = audit_tiles.c.hashes if level else audit_entries.c.entry
    first = number * TILE
    below = (table.c.number >= first, table.c.number < first + width, *([table.c.level == level - 1] if level else []))
    found = map(bytes, connection.execute(select(column).where(*below).order_by(table.c.number)).scalars())
    return [root_of(split(hashes)) for hashes in found] if level else leaf_hashes(found)


def tile_of(connection: Connection, level: int, number: int, width: int) -> list[bytes]:
    """The hashes of a tile: as it is stored, if it is full."""
    own = (audit_tiles.c.level == level, audit_tiles.c.number == number)
    stored = connection.execute(select(audit_tiles.c.hashes).where(*own)).scalar()
    return tile_hashes(connection, level, number, width) if stored is None else split(bytes(stored))[:width]


def split(hashes: bytes) -> list[bytes]:
    """A tile's hashes, one by one."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def tree(connection: Connection, size: int) -> Tree:
    """The tree of the first entries, as the stored tiles and the entries after them make it."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    def tile(level: int, number: int) -> list[bytes]:
        if (level, number) not in tiles:
            width = min(TILE, (size >> (TILE_BITS * level)) - number * TILE)
            tiles[level, number] = tile_of(connection, level, number, width)
        return tiles[level, number]

    def subtree(level: int, index: int) -> bytes:
        in_tile, above = level % TILE_BITS, level // TILE_BITS
        first = index << in_tile
        hashes = tile(above, first // TILE)
        at = first % TILE
        return root_of(hashes[at : at + (1 << in_tile)])

    return Tree(size, subtree)
