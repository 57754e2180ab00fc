"""What a backup says of itself: one JSON document, sealed with a MAC, written last.

A manifest is two lines: the document, and how it is authenticated (the id of the key, and HMAC-SHA256 over the first
line). Until it is there, its backup is not. It names every file of its backup with size and SHA-256; what lies in those
files is told by the index, itself one of them, and sealed.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from rowkeeper.errors import BackupDamaged
from rowkeeper.security.keysets import Key

FORMAT = 1
ID_FORMAT = "%Y%m%dT%H%M%SZ"
ID = re.compile(r"(\d{8}T\d{6}Z)-(full|incremental)")
USE = "backup manifest"


class Kind(enum.StrEnum):
    """What a backup holds."""

    FULL = "full"
    INCREMENTAL = "incremental"  # what is new since its base


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a backup.

    Attributes:
        name: below the backup's folder.
        size: bytes.
        sha256: of its bytes as they are stored, 64 hex digits.
    """

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was after one run, and which earlier states are made of it by leaving out later runs' rows.

    Attributes:
        table: its name in ClickHouse's native backup, without the database.
        run: the table is as this run left it.
        fingerprint: of all its rows that are in the books, after that run.
        points: the runs after which the table can be restored from this snapshot, in the order in which they were
            published; the last is `run`. After an earlier one it has exactly the rows that the books had then, of which
            the snapshot has lost none.
    """

    table: str
    run: int
    fingerprint: str
    points: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TableBackup:
    """A table of ours in a backup.

    Attributes:
        target: names it over all pipelines, as the ledger does.
        run: the last run that was published to it.
        snapshots: in the order of their runs; the last one is the table as it was.
    """

    target: str
    database: str
    table: str
    run: int
    fingerprint: str
    snapshots: tuple[Snapshot, ...]

    @property
    def points(self) -> tuple[int, ...]:
        """The runs after which this backup has the table."""
        return tuple(dict.fromkeys(run for each in self.snapshots for run in each.points))


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """A backup.

    Attributes:
        id: its name; names sort by time.
        base: of an incremental backup, the one that it goes on from.
        needs: all backups whose files it cannot be restored without, oldest first; the base is the last of them.
        ledger_id, home_id: of the installation that made it.
        boundary: when the installation was as the backup has it.
        made_at: when it was complete.
        run: the run that was published last, of all tables; None before the first.
        order: its place in the order of all publishes; 0 before the first.
        tables: those that it holds.
        elsewhere: targets that the ledger knows and whose rows are not here: files, databases, APIs, streams.
        left_out: targets that should be here and are not, and why.
        keys: ids of the keys that were in use, by purpose; 8 hex digits each.
        files: all of its own, in the order of their names; never those of its base.
        index: which of them says what lies where.
        rowkeeper: the version that made it.
        schema: of the ledger's tables.
    """

    id: str
    kind: Kind
    base: str | None
    needs: tuple[str, ...]
    ledger_id: str
    home_id: str
    boundary: datetime
    made_at: datetime
    run: int | None
    order: int
    tables: tuple[TableBackup, ...]
    elsewhere: tuple[str, ...]
    left_out: Mapping[str, str]
    keys: Mapping[str, Sequence[str]]
    files: tuple[StoredFile, ...]
    index: str
    rowkeeper: str
    schema: str

    @property
    def size(self) -> int:
        """Bytes of its own files."""
        return sum(each.size for each in self.files)

    @property
    def chain(self) -> tuple[str, ...]:
        """All backups that it is restored from, itself the last."""
        return (*self.needs, self.id)

    @property
    def points(self) -> tuple[int, ...]:
        """The runs to which some table can be restored from this backup and its chain alone, by number."""
        return tuple(sorted({run for table in self.tables for run in table.points}))

    def file(self, name: str) -> StoredFile:
        """One of its files. Raises BackupDamaged."""
        for each in self.files:
            if each.name == name:
                return each
        raise damaged(self.id, f"it has no file {name}")

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        document = dataclasses.asdict(self)
        moments = {"boundary": self.boundary.isoformat(), "made_at": self.made_at.isoformat()}
        return {"format": FORMAT, **document, "kind": self.kind.value, **moments}

    def written(self, key: Key) -> bytes:
        """As it is stored, authenticated with a key."""
        document = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":")).encode()
        return document + b"\n" + _authentication(document, key) + b"\n"

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. Raises ValueError, KeyError or TypeError."""
        values = dict(document)
        if values.pop("format") != FORMAT:
            raise ValueError("another format")
        values["kind"] = Kind(values["kind"])
        for name in ("boundary", "made_at"):
            values[name] = datetime.fromisoformat(values[name])
        for name in ("needs", "elsewhere"):
            values[name] = tuple(values[name])
        values["keys"] = {purpose: tuple(ids) for purpose, ids in values["keys"].items()}
        values["files"] = tuple(StoredFile(**each) for each in values["files"])
        values["tables"] = tuple(_table(each) for each in values["tables"])
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """A manifest as it was found, before its key is at hand.

    Attributes:
        key_id: the key that authenticates it.
    """

    manifest: Manifest
    key_id: int
    raw: bytes

    def check(self, key: Key) -> Manifest:
        """The manifest, if each of its bytes is as it was written with this key. Raises BackupDamaged."""
        document = self.raw.partition(b"\n")[0]
        if not hmac.compare_digest(self.raw, document + b"\n" + _authentication(document, key) + b"\n"):
            raise damaged(self.manifest.id, "its manifest was changed since it was written, or is forged")
        return self.manifest


def read(id: str, raw: bytes) -> Read:
    """Takes a manifest apart, without looking at its MAC. Raises BackupDamaged."""
    try:
        document, authentication = raw.split(b"\n")[:2]
        manifest = Manifest.from_dict(json.loads(document))
        key_id = int(json.loads(authentication)["key"], 16)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(id, "its manifest is not what Rowkeeper wrote") from error
    if manifest.id != id:
        raise damaged(id, "its manifest is another backup's")
    return Read(manifest, key_id, raw)


def moment_of(id: str) -> datetime:
    """When a backup was begun, about, by its name; aware."""
    return datetime.strptime(id.partition("-")[0], ID_FORMAT).replace(tzinfo=UTC)


def damaged(id: str, why: str) -> BackupDamaged:
    """The one way to say that a backup is not what was written."""
    return BackupDamaged(
        f"the backup {id} is damaged: {why}",
        hint="restore from another one: rowkeeper backup list; and make a full one now: rowkeeper backup create --full",
    )


def _authentication(document: bytes, key: Key) -> bytes:
    mac = hmac.new(key.derive(USE), document, hashlib.sha256).hexdigest()
    return json.dumps({"key": f"{key.id:08x}", "mac": mac}, separators=(",", ":")).encode()


def _table(document: Mapping[str, Any]) -> TableBackup:
    snapshots = tuple(Snapshot(**{**each, "points": tuple(each["points"])}) for each in document["snapshots"])
    return TableBackup(**{**document, "snapshots": snapshots})
