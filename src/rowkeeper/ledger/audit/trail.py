"""Trail: writes audit entries inside the transaction of what they tell, and reads them.

Each transaction that writes entries carries the tree on by them and signs the new head. Before a process builds on a
head that it did not sign itself, it checks it: the signature, that the head's tree is the signed one, and that the
ledger is no older than the checkpoint that was last seen outside. Otherwise somebody who can write the database, but
has not the key, could let the next honest process sign what he made up.

The last checkpoint is also written outside the database, after the commit: `audit/checkpoint` in the state folder, and
wherever `ROWKEEPER_AUDIT_CHECKPOINT` says, at most ten times a second. One that a crash left behind is older than the
ledger, which is no fault.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from rowkeeper.caller import Caller, current_caller
from rowkeeper.errors import AuditBroken, StateError
from rowkeeper.ledger.audit.event import Entry, Event, Writer, parsed
from rowkeeper.ledger.audit.merkle import HASH_BYTES, Frontier, ProofInvalid, Tree, leaf_hash, root_of
from rowkeeper.ledger.audit.notes import Checkpoint, Signer, Verifier, open_checkpoint
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import audit_entries, audit_head, audit_people, audit_reasons, audit_tiles, runs
from rowkeeper.logs import failure, logger

TILE_BITS = 8
TILE = 1 << TILE_BITS  # hashes in a full tile, and entries in a full bundle
SALT_BYTES = 16
ADDRESS = "address:"
PAGE = 4_096  # entries in memory at a time

TELL_SECONDS = 0.1  # between two writings of the checkpoint outside; the last one is written when the ledger is closed

# Made once: SQLAlchemy finds its compiled form again by the object.
GET_HEAD = select(audit_head).with_for_update()
SET_HEAD = update(audit_head).values(
    size=bindparam("new_size"), frontier=bindparam("new_frontier"), checkpoint=bindparam("new_checkpoint")
)
ADD_REASONS, ADD_TILE = insert(audit_reasons), insert(audit_tiles)

log = logger("audit")


class Trail:
    """The audit trail of a ledger.

    Attributes:
        engine: of the ledger's database.
        outside: files beyond the database that get each new checkpoint.

    Args:
        signers: gives, when they are first needed, the signer of its checkpoints, then those who signed before.
        trusted: keys whose checkpoints are believed besides: of other machines that write the same ledger.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        signers: Callable[[], tuple[Signer, ...]],
        *,
        trusted: Sequence[Verifier] = (),
        outside: Sequence[Path] = (),
    ) -> None:
        self.engine = engine
        self._clock = clock
        self._signers = signers
        self._loaded: tuple[Signer, ...] = ()
        self._trusted = tuple(trusted)
        self.outside = tuple(outside)
        # The newest head that this process has signed or checked: all of it, as whoever writes the database could
        # change the rest and leave the checkpoint.
        self._sound: tuple[int, bytes, str] | None = None
        self._people: dict[str, str] = {}  # the ids of those names that are in the database for good
        self._host = socket.gethostname()
        self._told_at = float("-inf")
        self._untold = False

    def _known_signers(self) -> tuple[Signer, ...]:
        if not self._loaded:
            self._loaded = self._signers()
        return self._loaded

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """The keys whose checkpoints are believed, the one that signs now first."""
        return (*(each.verifier for each in self._known_signers()), *self._trusted)

    # ---------------------------------------------------------------------------------- write

    def record(self, *events: Event) -> None:
        """Writes entries in a transaction of their own: of an access, before it is granted."""
        with writing(self.engine, "audit") as connection:
            self.write(connection, *events)

    def write(self, connection: Connection, *events: Event) -> None:
        """Writes entries as part of a transaction that is open: both are committed, or neither.

        Raises AuditBroken if what is there is not what was signed.
        """
        head = self._head(connection)
        before, frontier = head.size, Frontier.from_bytes(head.size, head.frontier)
        events = events if before else (self._beginning(connection), *events)
        caller = current_caller()
        ids = {name: self.id_of(connection, name) for name in (str(caller), _address(caller)) if name is not None}
        leaves: dict[int, bytes] = {}
        entries: list[tuple[int, bytes]] = []
        reasons: list[dict[str, Any]] = []
        writer = Writer(
            self._clock(),
            ids[str(caller)],
            self._host,
            os.getpid(),
            address=ids.get(_address(caller) or ""),
            session=caller.session,
            purpose=caller.purpose,
        )
        for number, event in enumerate(events, before):
            salt = secrets.token_bytes(SALT_BYTES) if event.reason is not None else b""
            data = writer.entry(event, salt)
            leaves[number] = leaf = leaf_hash(data)
            frontier.append(leaf)
            entries.append((number, data))
            if event.reason is not None:
                reasons.append({"number": number, "salt": salt, "reason": event.reason})
        # As the driver takes it: SQLAlchemy's way to it takes longer than all the hashing.
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(f"INSERT INTO audit_entries (number, entry) VALUES ({mark}, {mark})", entries)
        if reasons:
            connection.execute(ADD_REASONS, reasons)
        _close_tiles(connection, before, frontier.size, leaves)
        signer = self._known_signers()[0]
        note = signer.sign(Checkpoint(signer.verifier.name, frontier.size, frontier.root()))
        made = frontier.size, frontier.to_bytes(), note
        connection.execute(SET_HEAD, dict(zip(("new_size", "new_frontier", "new_checkpoint"), made, strict=True)))
        connection.info["after_commit"].append(lambda: self._committed(made, ids))

    def person(self, name: str) -> str:
        """The id under which the trail knows a person, for an entry of whoever has no transaction open."""
        with writing(self.engine, "audit_person") as connection:
            return self.id_of(connection, name)

    def id_of(self, connection: Connection, name: str) -> str:
        """The id under which the trail knows a person or an address; made, in this transaction, at the first time."""
        known: str | None = self._people.get(name)
        if known is not None:
            return known
        known = connection.execute(select(audit_people.c.id).where(audit_people.c.name == name)).scalar()
        if known is None:
            known = f"p_{secrets.token_hex(8)}"
            connection.execute(insert(audit_people).values(id=known, name=name))
        return str(known)

    def _head(self, connection: Connection) -> Row[Any]:
        """The head, held against other writers until the transaction ends, and known to be sound."""
        head = connection.execute(GET_HEAD).one_or_none()
        if head is None:
            connection.execute(insert(audit_head).values(id=1, size=0, frontier=b"", checkpoint=""))
            head = connection.execute(GET_HEAD).one()
        if (head.size, head.frontier, head.checkpoint) != self._sound:
            try:
                self._check(head)
            except AuditBroken:
                self._loaded = ()  # another process may have been given a new key since
                self._check(head)
        return head

    def _check(self, head: Row[Any]) -> None:
        """Raises AuditBroken unless the head is one that a trusted key signed, and no older than those outside."""
        for path in self.outside:
            seen = self.checkpoint_in(path)
            if seen is not None and seen.size > head.size:
                raise AuditBroken(
                    f"the ledger's audit trail has {head.size:,} entries, and the checkpoint in {path} is of "
                    f"{seen.size:,}: the ledger was put back from an older copy, or cut off",
                    hint="rowkeeper audit verify tells more; rowkeeper audit accept --reason ... takes the ledger as "
                    "it is, on the record",
                )
        if not head.size:
            return
        try:
            signed = open_checkpoint(head.checkpoint, self.verifiers)
            frontier = Frontier.from_bytes(head.size, head.frontier)
        except (ProofInvalid, ValueError) as error:
            raise _broken(f"its head is not what was signed: {error}") from error
        if (signed.size, signed.root) != (head.size, frontier.root()):
            raise _broken("its head is not what was signed")

    def _beginning(self, connection: Connection) -> Event:
        """The first entry: of what was done before it the trail cannot tell."""
        last = connection.execute(select(func.max(runs.c.publish_order))).scalar()
        return Event("audit.begin", detail={"published_before": last or 0})

    def _committed(self, head: tuple[int, bytes, str], ids: Mapping[str, str]) -> None:
        self._sound, self._untold = head, True
        self._people.update(ids)
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Writes the newest checkpoint of this process outside, if it is not there yet."""
        if not self._untold or self._sound is None:
            return
        for path in self.outside:
            _write_outside(path, self._sound[2])
        self._told_at, self._untold = time.monotonic(), False

    def accept(self, reason: str) -> None:
        """Takes the ledger as it is although a checkpoint outside is of more entries; an entry says so.

        Raises AuditBroken if what the ledger holds is not what was signed.
        """
        outside, self.outside = self.outside, ()
        try:
            hashes = {str(path): _hash_of(path) for path in outside if path.exists()}
            self.record(Event("audit.accept", detail={"outside": hashes}, reason=reason))
        finally:
            self.outside = outside
        self._untold = True
        self.tell()

    # ----------------------------------------------------------------------------------- read

    def checkpoint_in(self, path: Path) -> Checkpoint | None:
        """The checkpoint in a file; None if there is no file. Raises AuditBroken if no trusted key has signed it."""
        try:
            return open_checkpoint(path.read_text("utf-8"), self.verifiers)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(
                f"the checkpoint {path} cannot be read: {error.strerror}", hint="see to its permissions"
            ) from error
        except (ProofInvalid, UnicodeDecodeError) as error:
            said = str(error) if isinstance(error, ProofInvalid) else "it is no text"
            raise AuditBroken(
                f"the checkpoint in {path} is none of this ledger's: {said}", hint="put it back from a copy"
            ) from error

    def head(self) -> tuple[int, str]:
        """How many entries there are, and the signed checkpoint of that (empty if there is no entry yet)."""
        with reading(self.engine) as connection:
            head = connection.execute(select(audit_head)).one_or_none()
        return (0, "") if head is None else (head.size, head.checkpoint)

    def newest(self, limit: int, action: str | None = None) -> list[Entry]:
        """The newest entries, in order.

        Args:
            action: only those of this action, or of those that begin with it and a dot.
        """
        found: list[Entry] = []
        with reading(self.engine) as connection:
            names = {row.id: row.name for row in connection.execute(select(audit_people))}
            wanted = (
                select(audit_entries, audit_reasons.c.reason)
                .join(audit_reasons, audit_reasons.c.number == audit_entries.c.number, isouter=True)
                .order_by(audit_entries.c.number.desc())
                .execution_options(yield_per=PAGE)
            )
            for row in connection.execute(wanted):
                if len(found) == limit:
                    break
                entry = parsed(row.number, bytes(row.entry), reason=row.reason)
                if action is None or f"{entry.event.action}.".startswith(f"{action}."):
                    address = names.get(entry.address or "", "").removeprefix(ADDRESS) or None
                    found.append(dataclasses.replace(entry, name=names.get(entry.who), address=address))
        return found[::-1]


def _address(caller: Caller) -> str | None:
    """How an address is named among the people: who knows it may know a person."""
    return None if caller.address is None else f"{ADDRESS}{caller.address}"


def _broken(why: str) -> AuditBroken:
    return AuditBroken(
        f"the audit trail was changed by somebody without its key: {why}",
        hint="rowkeeper audit verify tells where; put the ledger back from a backup",
    )


def _close_tiles(connection: Connection, before: int, size: int, leaves: Mapping[int, bytes]) -> None:
    """Stores each tile that is full now, so that proofs need not hash all entries anew.

    Args:
        leaves: the hashes of the new entries, by number.
    """
    level = 0
    while size >> (TILE_BITS * (level + 1)) > 0:
        shift = TILE_BITS * (level + 1)
        for number in range(before >> shift, size >> shift):
            if level == 0 and number * TILE >= before:
                hashes = [leaves[at] for at in range(number * TILE, (number + 1) * TILE)]
            else:
                hashes = _tile_hashes(connection, level, number, TILE)
            connection.execute(ADD_TILE, {"level": level, "number": number, "hashes": b"".join(hashes)})
        level += 1


def _tile_hashes(connection: Connection, level: int, number: int, width: int) -> list[bytes]:
    """The first hashes of a tile, from the entries or the full tiles below it."""
    first = number * TILE
    if level == 0:
        own = (audit_entries.c.number >= first, audit_entries.c.number < first + width)
        rows = connection.execute(select(audit_entries.c.entry).where(*own).order_by(audit_entries.c.number))
        return [leaf_hash(bytes(entry)) for (entry,) in rows]
    below = (
        audit_tiles.c.level == level - 1,
        audit_tiles.c.number >= first,
        audit_tiles.c.number < first + width,
    )
    rows = connection.execute(select(audit_tiles.c.hashes).where(*below).order_by(audit_tiles.c.number))
    return [root_of(split(bytes(hashes))) for (hashes,) in rows]


def tile_of(connection: Connection, level: int, number: int, width: int) -> list[bytes]:
    """The hashes of a tile: as it is stored, if it is full."""
    own = (audit_tiles.c.level == level, audit_tiles.c.number == number)
    stored = connection.execute(select(audit_tiles.c.hashes).where(*own)).scalar()
    return _tile_hashes(connection, level, number, width) if stored is None else split(bytes(stored))[:width]


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


def _hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _write_outside(path: Path, note: str) -> None:
    """Whole or not at all. If it cannot be, that is logged: the entry is committed, and the next one tries again."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(note)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        log.warning("checkpoint not written outside the ledger", path=str(path), **failure(error))
