"""Trail: writes audit entries inside the transaction of what they tell, and reads them.

Each transaction that writes entries carries the tree on by them and signs the new head. Before a process builds on a
head that it did not sign itself, it checks it: the signature, that the head's tree is the signed one, and that the
ledger is no older than the checkpoint that was last seen outside. Otherwise somebody who can write the database, but
has not the key, could let the next honest process sign what he made up.

Entries that come with no change of the ledger (an access, a refusal) share a transaction with those that other threads
record at the same time: see `grouping.py`.

The last checkpoint is also written outside the database, after the commit: `audit/checkpoint` in the state folder, and
wherever `ROWKEEPER_AUDIT_CHECKPOINT` says, at most ten times a second. One that a crash left behind is older than the
ledger, which is no fault.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, insert, select

from rowkeeper.caller import Caller, CallerKind, current_caller
from rowkeeper.errors import AuditBroken, StateError
from rowkeeper.ledger.audit.event import ADDRESS, Draft, Drafter, Entry, Event, address_field
from rowkeeper.ledger.audit.grouping import GroupCommit
from rowkeeper.ledger.audit.listing import Wanted, newest
from rowkeeper.ledger.audit.merkle import Frontier, ProofInvalid, leaf_hashes
from rowkeeper.ledger.audit.notes import Checkpoint, Signer, Verifier, open_checkpoint
from rowkeeper.ledger.audit.outside import hash_of, write_outside
from rowkeeper.ledger.audit.tiles import OpenTiles
from rowkeeper.ledger.database import as_bytes, driving, reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import audit_head, audit_people, runs

TELL_SECONDS = 0.1  # between two writings of the checkpoint outside; the last one is written when the ledger is closed

# As the driver takes them: SQLAlchemy's way to it takes longer than all the hashing, and longer than what SQLite does.
GET_HEAD = "SELECT size, frontier, checkpoint FROM audit_head"
SET_HEAD = "UPDATE audit_head SET size = ?, frontier = ?, checkpoint = ?"
ADD_ENTRY = "INSERT INTO audit_entries (number, entry) VALUES (?, ?)"
ADD_TILE = "INSERT INTO audit_tiles (level, number, hashes) VALUES (?, ?, ?)"
ADD_REASON = "INSERT INTO audit_reasons (number, salt, reason) VALUES (?, ?, ?)"

Put = Callable[[str, list[tuple[Any, ...]]], object]
"""Runs a statement for each of these rows."""


class _Head(NamedTuple):
    """The head of the trail, as it is stored."""

    size: int = 0
    frontier: bytes = b""
    checkpoint: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """What one caller wants written."""

    caller: str
    address: str | None
    drafts: Sequence[Draft]

    @property
    def names(self) -> tuple[str, ...]:
        """Whose ids its entries hold."""
        return (self.caller,) if self.address is None else (self.caller, self.address)

    def entries(self, people: Mapping[str, str]) -> list[bytes]:
        """Their bytes."""
        who = people[self.caller].encode()
        address = address_field(None if self.address is None else people[self.address])
        return [draft.entry(who, address) for draft in self.drafts]


@dataclasses.dataclass(frozen=True, slots=True)
class _Written:
    """What a transaction made of the trail; true once it is committed.

    Attributes:
        order: of the transactions of this process.
        people: the ids of names that are in the database then.
    """

    order: int
    head: _Head
    tiles: OpenTiles
    people: Mapping[str, str]


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
        self._sound: _Written | None = None
        self._order = 0  # of the transactions that wrote entries: whoever writes holds the database's lock
        self._people: dict[str, str] = {}  # the ids of those names that are in the database for good
        self._host = socket.gethostname()
        self._told_at = float("-inf")
        self._untold = False
        self._group = GroupCommit(self._commit)

    def _known_signers(self) -> tuple[Signer, ...]:
        if not self._loaded:
            self._loaded = self._signers()
        return self._loaded

    def load_signers_again(self) -> None:
        """The keys were changed: the next entry is signed with the one that is first now."""
        self._loaded = ()

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """The keys whose checkpoints are believed, the one that signs now first."""
        return (*(each.verifier for each in self._known_signers()), *self._trusted)

    # ---------------------------------------------------------------------------------- write

    def record(self, *events: Event) -> None:
        """Writes entries of their own: of an access, before it is granted. Returns when they are on the disk.

        Raises AuditBroken if what is there is not what was signed.
        """
        self._group.submit(self._drafted(events))

    def _commit(self, parts: Sequence[_Part]) -> None:
        if self._recorded_quickly(parts):
            return
        with writing(self.engine, "audit") as connection:
            self._append(connection, parts)

    def _recorded_quickly(self, parts: Sequence[_Part]) -> bool:
        """By SQLite's driver alone, if there is nothing to look up: the head is the one that this process left."""
        sound, people = self._sound, self._people
        names = {name for part in parts for name in part.names}
        if self.engine.dialect.name != "sqlite" or sound is None or not names <= people.keys():
            return False
        if not any(part.drafts for part in parts):
            return True
        with driving(self.engine, "audit") as driver:
            found = driver.execute(GET_HEAD).fetchone()
            if found != sound.head:
                return False
            written = self._carried_on(sound.head, sound.tiles, parts, people, driver.executemany)
        self._committed(written)
        return True

    def write(self, connection: Connection, *events: Event) -> None:
        """Writes entries as part of a transaction that is open: both are committed, or neither.

        Raises AuditBroken if what is there is not what was signed.
        """
        self._append(connection, [self._drafted(events)])

    def _drafted(self, events: Sequence[Event]) -> _Part:
        caller = current_caller()
        drafter = Drafter(self._clock(), self._host, os.getpid(), session=caller.session, purpose=caller.purpose)
        return _Part(str(caller), _address(caller), [drafter.draft(event) for event in events])

    def _append(self, connection: Connection, parts: Sequence[_Part]) -> None:
        head = self._head(connection)
        if not head.size:
            parts = [self._drafted([self._beginning(connection)]), *parts]
        if not any(part.drafts for part in parts):
            return
        people = {name: self.id_of(connection, name) for part in parts for name in part.names}
        written = self._carried_on(head, self._tiles(connection, head), parts, people, _putter(connection))
        connection.info["after_commit"].append(lambda: self._committed(written))

    def _carried_on(
        self, head: _Head, tiles: OpenTiles, parts: Sequence[_Part], people: Mapping[str, str], put: Put
    ) -> _Written:
        """Carries the tree on by these entries, and signs it.

        1. The entries follow the last one, each with the ids of its caller.
        2. The tree over them: its edge, and the tiles that are full now.
        3. The new head, signed.

        Args:
            head: sound, and held until the transaction ends.
            tiles: those that are open at this head.
            people: the ids of all who asked, and of their addresses.
        """
        entries = [entry for part in parts for entry in part.entries(people)]
        drafts = [draft for part in parts for draft in part.drafts]
        reasons = [(head.size + at, each.salt, each.reason) for at, each in enumerate(drafts) if each.salt]
        frontier = Frontier.from_bytes(head.size, head.frontier)
        tiles, full = tiles.grown(frontier.extend(leaf_hashes(entries)))
        for statement, rows in ((ADD_ENTRY, enumerate(entries, head.size)), (ADD_REASON, reasons), (ADD_TILE, full)):
            if rows:
                put(statement, list(rows))
        signer = self._known_signers()[0]
        note = signer.sign(Checkpoint(signer.verifier.name, frontier.size, frontier.root()))
        new = _Head(frontier.size, frontier.to_bytes(), note)
        put(SET_HEAD, [new])
        self._order += 1
        return _Written(self._order, new, tiles, people)

    def _tiles(self, connection: Connection, head: _Head) -> OpenTiles:
        """The tiles that are open: as this process left them, if nobody else has written since."""
        if self._sound is not None and self._sound.head == head:
            return self._sound.tiles
        return OpenTiles.load(connection, head.size)

    def person(self, name: str) -> str:
        """The id under which the trail knows a person, for an entry of whoever has no transaction open."""
        with writing(self.engine, "audit_person") as connection:
            return self.id_of(connection, name)

    def user_id(self, connection: Connection, user: str) -> str:
        """The id under which the trail knows an account: as a name is a person's, entries have this in its place."""
        return self.id_of(connection, f"{CallerKind.USER}:{user}")

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

    def _head(self, connection: Connection) -> _Head:
        """The head, held against other writers until the transaction ends, and known to be sound."""
        get = GET_HEAD if connection.dialect.name == "sqlite" else f"{GET_HEAD} FOR UPDATE"
        found = connection.exec_driver_sql(get).fetchone()
        if found is None:
            connection.execute(insert(audit_head).values(id=1, size=0, frontier=b"", checkpoint=""))
            found = connection.exec_driver_sql(get).fetchone()
        assert found is not None
        head = _Head(found[0], as_bytes(found[1]), found[2])
        if self._sound is None or self._sound.head != head:
            try:
                self._check(head)
            except AuditBroken:
                self._loaded = ()  # another process may have been given a new key since
                self._check(head)
        return head

    def _check(self, head: _Head) -> None:
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

    def _committed(self, written: _Written) -> None:
        """Called by whichever thread committed, so perhaps not in the order of the commits."""
        self._people.update(written.people)
        if self._sound is not None and self._sound.order > written.order:
            return
        self._sound, self._untold = written, True
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Writes the newest checkpoint of this process outside, if it is not there yet."""
        if not self._untold or self._sound is None:
            return
        self._told_at, self._untold = time.monotonic(), False
        for path in self.outside:
            write_outside(path, self._sound.head.checkpoint)

    def accept(self, reason: str) -> None:
        """Takes the ledger as it is although a checkpoint outside is of more entries; an entry says so.

        Raises AuditBroken if what the ledger holds is not what was signed.
        """
        outside, self.outside = self.outside, ()
        try:
            hashes = {str(path): hash_of(path) for path in outside if path.exists()}
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

    def sound_head(self, connection: Connection) -> tuple[int, str]:
        """As `head`, if it is one that a trusted key signed and no older than those outside. Raises AuditBroken."""
        found = connection.exec_driver_sql(GET_HEAD).fetchone()
        if found is None:
            return 0, ""
        head = _Head(found[0], as_bytes(found[1]), found[2])
        self._check(head)
        return head.size, head.checkpoint

    def newest(self, limit: int, action: str | None = None) -> list[Entry]:
        """The newest entries, in order; `listing.newest` finds others.

        Args:
            action: only those of this action, or of those that begin with it and a dot.
        """
        return newest(self.engine, limit, Wanted(() if action is None else (action,)))


def _putter(connection: Connection) -> Put:
    """In a transaction of SQLAlchemy's: for SQLite by the driver that it holds."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return driver.executemany  # type: ignore[no-any-return]
    return lambda statement, rows: connection.exec_driver_sql(statement.replace("?", "%s"), rows)


def _address(caller: Caller) -> str | None:
    """How an address is named among the people: who knows it may know a person."""
    return None if caller.address is None else f"{ADDRESS}{caller.address}"


def _broken(why: str) -> AuditBroken:
    return AuditBroken(
        f"the audit trail was changed by somebody without its key: {why}",
        hint="rowkeeper audit verify tells where; put the ledger back from a backup",
    )
