"""The seams: what a source, a contract and a destination must be able to do.

`runs/` knows the life of a run and nothing else of these; connectors in other packages implement the same
protocols and are found by entry points (`rowkeeper.sources`, `rowkeeper.destinations`).
"""

from __future__ import annotations

import dataclasses
import enum
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa

from rowkeeper.batch import BATCH_BYTES, Batch, Fingerprint, InputMode, Partition, Verdict
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import FrameworkError
from rowkeeper.measures import Rehearsal, StagedTable
from rowkeeper.resilience.calls import Calls


class Guarantee(enum.StrEnum):
    """What a source or destination promises when a run dies and is run again."""

    EXACTLY_ONCE = "exactly once"
    EXACTLY_ONCE_BY_KEY = "exactly once by idempotency key"
    AT_LEAST_ONCE = "at least once"


DriftPolicy = Literal["reject", "ignore", "evolve"]
"""What a column that the contract does not name does: fail the run, be dropped, become a Nullable column."""


class WayOut(Protocol):
    """The one way to other machines: hosts that are declared, at addresses that were checked."""

    def declaring(self, endpoints: Iterable[Endpoint]) -> WayOut:
        """The same, with more endpoints: for a connector, its own."""
        ...

    def connect(self, host: str, port: int, *, seconds_max: float | None = None) -> socket.socket:
        """A connection to a declared host, directly or by its proxy, within the deadline.

        Raises EgressRefused if it is not declared or may not be reached, OSError if it cannot be.
        """
        ...

    def checked_addresses(self, host: str, port: int, *, seconds_max: float | None = None) -> tuple[str, ...]:
        """The addresses of a declared host, all checked, for drivers that make their own connections.

        Raises as `connect`.
        """
        ...

    def keep(self, host: str, port: int, connection: Connection) -> None:
        """Binds a connection that a driver made to the interface that its host demands, if it does.

        Raises VpnRefused if the way changed meanwhile.
        """
        ...

    def watching(self, endpoints: Iterable[Endpoint]) -> AbstractContextManager[None]:
        """Watches the interfaces that endpoints demand, as long as the body lasts."""
        ...


class Connection(Protocol):
    """A socket, or what a driver has around one."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


@runtime_checkable
class Reaching(Protocol):
    """What a source or a destination that works over the network is besides; one that does not need not be."""

    def endpoints(self) -> Sequence[Endpoint]:
        """The places it connects to. The process reaches no others."""
        ...


# ------------------------------------------------------------------------------------------------ source


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a source has to offer, compared with what was loaded before.

    Attributes:
        load: partitions never loaded before, in the order in which they are to be read.
        reload: partitions whose content is another than the one loaded, to be loaded in its place.
        unchanged: partitions that were loaded and are the same.
        ignored: partitions that changed and that the source's policy leaves as they are.
        failed: by key, why a partition that is there cannot even be planned, in the order of the keys.
    """

    load: tuple[Partition, ...] = ()
    reload: tuple[Partition, ...] = ()
    unchanged: tuple[Partition, ...] = ()
    ignored: tuple[Partition, ...] = ()
    failed: Mapping[str, FrameworkError] = dataclasses.field(default_factory=dict)

    @property
    def to_read(self) -> tuple[Partition, ...]:
        """Everything that a run of this plan reads, in order."""
        return self.load + self.reload


class Source(Protocol):
    """Where rows come from."""

    @property
    def guarantee(self) -> Guarantee:
        """What it promises when a run dies and is run again."""
        ...

    @property
    def mode(self) -> InputMode:
        """How the contract is to read its values."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What defines this source, as JSON values without secrets; part of the run's definition."""
        ...

    def at(self, site: Site) -> Source:
        """The same source at work: what it needs of other machines it asks through `site.calls`."""
        ...

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Looks at what is there and compares it with what was loaded.

        Args:
            loaded: by key, the partitions that the destination holds, as they were when loaded.
            whole: the run replaces the table: if anything is new, gone or changed, everything is to be read.

        Raises:
            SourceError: nothing is there.
        """
        ...

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads a partition from `start_row` on, in batches of about `batch_rows`, in a fixed order.

        A source that cannot tell from a row's number where that row is says it with each batch (`Batch.position`), and
        is given it back with the partition when it goes on.

        Args:
            batch_bytes: a batch of wide rows has fewer of them, so that it is not much larger than this (one row at
                least).

        Raises:
            SourceError: it cannot be read to its end, or is no longer what the plan saw.
        """
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """What a source is besides that tells the other side how far it was loaded."""

    def acknowledge(self, loaded: Mapping[str, Partition]) -> None:
        """Tells the other side what the destination holds, after the ledger knows it.

        It is for whoever looks at the other side, and nothing depends on it: a run whose acknowledgement failed is
        published all the same, and the next run (one that finds nothing new, too) tells it again.

        Args:
            loaded: as `Source.plan` is given them.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Lag:
    """How far a partition is behind.

    Attributes:
        messages: how many wait to be read.
        most: how many may; None: any number.
    """

    messages: int
    most: int | None

    @property
    def is_late(self) -> bool:
        """Whether more wait than may."""
        return self.most is not None and self.messages > self.most


@runtime_checkable
class Following(Protocol):
    """What a source is besides to which new rows come all the time."""

    def wait(self, loaded: Mapping[str, Partition], seconds_max: float, pause: Callable[[float], bool]) -> bool:
        """Waits until there is enough for a run, or what is there has waited for long enough.

        Args:
            loaded: as `Source.plan` is given them.
            seconds_max: how long to wait for a first row.
            pause: waits so many seconds; False if it is not to be waited for any more.

        Returns False if nothing came.
        """
        ...

    def lag(self, loaded: Mapping[str, Partition]) -> Mapping[str, Lag]:
        """By partition, how many messages wait to be read."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """What a source is besides, if it can say cheaply whether it can be reached, without looking for what is new."""

    def reach(self) -> None:
        """Passes if it can be. Raises as `Source.plan` does."""
        ...


@runtime_checkable
class Closing(Protocol):
    """What a source is besides that holds connections from the plan to the end of the run."""

    def close(self) -> None:
        """Closes them; it can be used again."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """What the contract expects of a source's columns.

    Attributes:
        known: every name under which the contract looks for a value (fields, aliases).
        required: one group for each field that must be there: any of its names will do.
        extra: what to do with a column that is not known.
    """

    known: frozenset[str]
    required: tuple[frozenset[str], ...]
    extra: DriftPolicy


# ---------------------------------------------------------------------------------------------- contract


class Contract(Protocol):
    """What a good row is."""

    @property
    def schema(self) -> pa.Schema:
        """The destination's columns: names, types, nullability, and hints in the fields' metadata."""
        ...

    def check(self, batch: Batch) -> Verdict:
        """Splits a batch into accepted and rejected rows; every row is in exactly one of them.

        With the drift policy "evolve" the accepted table has a column more for each new one of the source.
        """
        ...

    def evolved(self, added: Iterable[pa.Field[Any]]) -> Contract:
        """The contract with these columns beside its own, as nullable ones."""
        ...


# ------------------------------------------------------------------------------------------- destination

WriteMode = Literal["append", "replace", "merge"]
Fallback = Literal["spool"]
"""What is done with a run that the destination cannot take: seal it away, to be published later."""
DuplicatePolicy = Literal["skip", "quarantine", "replace"]


@dataclasses.dataclass(frozen=True, slots=True)
class DiskKeys:
    """The keys of the embedded engine's encrypted disk.

    Attributes:
        primary: the id of the one that new files are written with.
        keys: all that read, 32 bytes each, by id.
    """

    primary: int
    keys: Mapping[int, bytes] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where sources and destinations do their work: the state folder, what was set for it, and the way out of it.

    Attributes:
        home: the state folder, absolute; exists, mode 0700.
        disk_keys: gives the keys of the engine's disk as they are now; asked when its host is started.
        ledger_id: which ledger's runs these are; written into the destination's commit record.
        engine_idle_seconds, engine_memory_bytes_max, engine_total_bytes_max, engine_threads, engine_nice: of the
            embedded engine's host, if it has to be started.
        query_seconds_max: how long one statement that somebody typed may take.
        calls: how other machines, and the engine's host, are called, and no other way: breakers and retry budgets of
            this process, shared with others through the ledger.
        way_out: how other machines are connected to, and no other way; None leads nowhere.
        default_tls: what the settings say of TLS (`rowkeeper.security.tls.TLS`, of a room above), for places that say
            nothing of their own.
        clickhouse: the ClickHouse server of the settings (`rowkeeper.destinations.server.place.Server`); None is the
            embedded engine. `clickhouse_reader` is the same as whoever only reads.
        keeps_former: backups are set up: a publish that takes rows out of a table in ClickHouse keeps it as it was,
            until a backup has it.
    """

    home: Path
    disk_keys: Callable[[], DiskKeys] = dataclasses.field(repr=False)
    ledger_id: str
    engine_idle_seconds: float = 60.0
    engine_memory_bytes_max: int = 2 * 1024**3  # of one statement
    engine_total_bytes_max: int = 3 * 1024**3  # of all of them, with caches and background work
    engine_threads: int = 2  # of one statement
    engine_nice: int = 0
    query_seconds_max: float = 300.0
    calls: Calls = dataclasses.field(default_factory=Calls, repr=False, compare=False)
    way_out: WayOut | None = dataclasses.field(default=None, repr=False, compare=False)
    default_tls: Any = dataclasses.field(default=None, repr=False, compare=False)
    clickhouse: Any = None
    clickhouse_reader: Any = None
    keeps_former: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CommitRecord:
    """What a destination says of the last publish, stored in one atomic step with it.

    Attributes:
        ledger_id: the ledger that knows the run.
        run: the run that was published last.
        token: the fencing token under which it was published.
        fingerprint: of the whole table after that publish, by the books.
    """

    ledger_id: str
    run: int
    token: int
    fingerprint: Fingerprint


@dataclasses.dataclass(frozen=True, slots=True)
class StagedRows:
    """The rows of one partition that are recorded as staged: all of its rows before `next_row`."""

    partition_ordinal: int
    next_row: int
    rows: int


@dataclasses.dataclass(frozen=True, slots=True)
class DuplicateRow:
    """A staged row whose key is there already, for quarantine."""

    row_id: int
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Posting:
    """One entry of the books: how publishing a run changes what is held of another (or its own) rows.

    A run that only adds posts its own rows. One that replaces rows posts them with a minus sign under the run
    that brought them. The sum over all published runs is what the table must hold, by run.
    """

    about_run: int
    change: Fingerprint


@dataclasses.dataclass(frozen=True, slots=True)
class Sealed:
    """What the destination found when it read the staged rows back from disk.

    Attributes:
        by_partition: partition ordinal to fingerprint of what will be committed.
        duplicates: partition ordinal to the number of staged rows that went out as duplicates.
        postings: how publishing will change the books.
    """

    by_partition: Mapping[int, Fingerprint]
    duplicates: Mapping[int, int]
    postings: tuple[Posting, ...]

    @property
    def fingerprint(self) -> Fingerprint:
        """Of all that will be committed."""
        return sum(self.by_partition.values(), Fingerprint())


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What publishing does to the table besides adding the staged rows.

    Attributes:
        drop_all: the run replaces the whole table.
        drop_rows: (run, partition ordinal) of loads that this run replaces, such as a changed file's.
        reverse: rollback of this run: its rows go; the rows it replaced come back, where the undo is kept.
    """

    drop_all: bool = False
    drop_rows: tuple[tuple[int, int], ...] = ()
    reverse: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RunRows:
    """What `verify` found of one run's rows (run 0: rows that no run brought).

    Attributes:
        expected: what the books hold.
        found: what the table holds, hashed anew.
        missing: rows that the books hold and the table does not.
        added: rows that the table holds and the books do not.
        changed: rows whose values are no longer those that were published.
    """

    run: int
    expected: Fingerprint
    found: Fingerprint
    missing: int
    added: int
    changed: int

    @property
    def sound(self) -> bool:
        """Whether the table holds exactly what the books say."""
        return not (self.missing or self.added or self.changed) and self.expected == self.found


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """What `rowkeeper doctor` finds of a destination.

    Attributes:
        found: how it is, in a few words, such as `1,024 rows in 3 parts`.
        faults: what is wrong, a sentence each.
        advice: what to do about the faults; or, where there are none, about how it is. Empty for nothing.
    """

    found: str
    faults: tuple[str, ...] = ()
    advice: str = ""


@runtime_checkable
class Examined(Protocol):
    """What a destination's session is besides, if `rowkeeper doctor` can look at what it holds."""

    def health(self) -> Health:
        """Looks at what is stored: whether it is there, and whole as far as that is seen without reading it all."""
        ...


@runtime_checkable
class Replaceable(Protocol):
    """What a destination's session is besides, if backups hold its table. For whoever holds the lease."""

    def put_in_place(self, run: int, token: int, second: int, *, there: bool) -> str:
        """Exchanges the table for the one that a restore has made, in one step; done once, however often it is asked.

        Args:
            run, token: by which that is named.
            second: by which the former table is named afterwards.
            there: otherwise the former table is set aside, and there is none.

        Returns the name of the former table; empty if there was none.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Newest:
    """What is newest of a table, or of the rows of it that have one value in a column.

    Attributes:
        key: that value, as text; empty for the whole table.
        at: of the newest event that is not after the instant that was given; None if there is none.
        run: that brought a row last.
        ahead: rows with an event after that instant.
        first_ahead: the earliest of these events.
    """

    key: str
    at: datetime | None
    run: int
    ahead: int
    first_ahead: datetime | None


@runtime_checkable
class Dated(Protocol):
    """What a destination's session is besides, if it can be asked how new the rows are that it holds.

    Times without a zone are in UTC; a date is its first instant. What is null is left out.
    """

    def newest(self, column: str | None, by: str | None, until: datetime, keys_max: int) -> list[Newest]:
        """By the values of the column `by`, or in one, what is newest.

        Args:
            column: of events; None asks for the run alone.
            until: what is later is counted apart.
            keys_max: of at most so many values, and one more if there are more.
        """
        ...

    def days(self, column: str, since: date, zone: str) -> frozenset[date]:
        """The days from `since` on, as they are counted in a zone, that have rows."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Leftover:
    """What a run left in a destination, beside what readers see.

    Attributes:
        kind: `undo`, by which the last run can be taken back; `staging` is anything else.
        name: by which the destination knows it.
        bytes: what it takes, about, as far as it shares nothing with what readers see; 0 if nobody can say.
    """

    run: int
    kind: Literal["undo", "staging"]
    name: str
    bytes: int = 0


@runtime_checkable
class Tended(Protocol):
    """What a destination's session is besides, if runs can leave something in it. For whoever holds the lease."""

    def leftovers(self) -> Sequence[Leftover]:
        """All that runs have left, those that go on included, by run."""
        ...

    def clear(self, leftover: Leftover) -> None:
        """Removes it; one that is gone is no error."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Crowd:
    """A partition of a table that is in many pieces.

    Attributes:
        partition: as the destination names it.
        pieces: how many.
        bytes: of all of them.
    """

    partition: str
    pieces: int
    bytes: int


@runtime_checkable
class Merging(Protocol):
    """What a destination's session is besides, if its table gathers pieces. For whoever holds the lease."""

    def crowds(self, pieces_max: int) -> Sequence[Crowd]:
        """The partitions in more pieces than that, those with the most first."""
        ...

    def merge(self, crowd: Crowd) -> None:
        """Makes one piece of them, durably. The rows, and what `verify` finds of them, stay the same.

        Raises IntegrityError if what was written is damaged on disk.
        """
        ...


@runtime_checkable
class Choosy(Protocol):
    """What a destination is besides, if its columns cannot hold every value that a contract accepts."""

    def unfit(self, rows: pa.Table) -> Mapping[str, tuple[Sequence[int], str]]:
        """By column, the positions of rows whose value it cannot hold, and why: they go to quarantine.

        Asked of several threads at a time, before a row is staged.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the other side refused when it was handed over, for quarantine.

    Attributes:
        status: what the other side said, as a number; it is no secret.
        answer: its words, which may quote the row.
    """

    row_id: int
    values: Mapping[str, Any]
    status: int
    answer: str


@runtime_checkable
class Refusing(Protocol):
    """What a destination's session is besides, if rows can be refused one by one while they are published.

    The account of a run is amended by it after the publish, and before it is recorded.
    """

    def refused_rows(self, run: int) -> Iterator[RefusedRow]:
        """The rows of a published run that were refused, in order of row id."""
        ...

    def delivered(self, run: int) -> Sealed:
        """What was taken."""
        ...

    def forget(self, run: int) -> None:
        """The ledger knows of the publish, and of all that was refused: what was kept for that may go."""
        ...


Peeked = tuple[tuple[tuple[str, str], ...], list[tuple[Any, ...]]]
"""Name and type of each column, and rows."""


@runtime_checkable
class Peeking(Protocol):
    """What a destination's session is besides, if staged rows are not where typed SQL finds them."""

    def peek(self, run: int, token: int, limit: int) -> Peeked | None:
        """Name and type of the staged rows' columns, and some of the rows; None if nothing is staged."""
        ...


class Destination(Protocol):
    """Where rows go: a declaration, as it stands in a pipeline."""

    @property
    def guarantee(self) -> Guarantee:
        """What it promises when a run dies and is run again."""
        ...

    @property
    def write_mode(self) -> WriteMode:
        """Whether a run adds rows, replaces the whole table, or replaces rows of the same key."""
        ...

    @property
    def target(self) -> str:
        """Names the table for good, over all pipelines: what is leased, and what the books are of."""
        ...

    @property
    def fallback(self) -> Fallback | None:
        """What is done with a run when it cannot be reached, or fails for reasons of its own; None: the run fails."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration (`from_description`), as JSON values without secrets."""
        ...

    def connect(self, site: Site, schema: pa.Schema | None) -> DestinationSession:
        """Opens it for one run, or for inspection where `schema` is None."""
        ...


class DestinationSession(Protocol):
    """A destination while a run (or verify, rollback, recovery) works on it.

    Methods that change something are named after the step of the run's life that calls them. Each can be
    repeated after a crash at any instant. Names of temporary tables carry run and token, so a process that
    lost its lease finds its tables gone: that is how the fencing token is enforced here.

    What a destination cannot do it refuses with DestinationLacks: a change in `check_change`, before a run begins;
    everything else in the method that asks for it.
    """

    def check_change(self, change: Change) -> None:
        """Raises DestinationLacks if it can never publish such a change: nothing has been begun then."""
        ...

    def prepare(self) -> tuple[tuple[str, str], ...]:
        """Makes the table if it is not there, and checks the layout of one that is.

        Returns (name, type) of each column that the run will have, new optional fields of the contract included.
        Raises LayoutError with everything that differs.
        """
        ...

    def evolve(self, schema: pa.Schema) -> tuple[tuple[str, str], ...]:
        """Adds the columns of `schema` that the staging area lacks; publishing adds them to the table.

        Returns the columns that the run has now.
        """
        ...

    def commit_record(self) -> CommitRecord | None:
        """Who published last; None for a table that no run has published to, or that is not there."""
        ...

    def stage_open(self, run: int, token: int) -> None:
        """Makes an empty staging area for the run, dropping any of the same name."""
        ...

    def stage_resume(self, run: int, token: int, staged: Sequence[StagedRows]) -> bool:
        """Takes over the staging area of a dead run, keeping exactly the rows that are recorded as staged.

        Returns False, with the staging area dropped, if it does not hold them all, as they were sent.
        """
        ...

    def stage(self, table: pa.Table) -> None:
        """Stages accepted rows: the contract's columns and `ROW_ID`.

        Raises DiskFull, EngineDied or DatabaseError; then it is unknown which of the rows are there.
        """
        ...

    def stage_withdraw(self, partition_ordinal: int) -> None:
        """Takes the rows of one partition out of the staging area again."""
        ...

    def stage_drop(self, run: int) -> None:
        """Drops all that a run has staged, whatever its token; its former next table too."""
        ...

    def duplicate_rows(self, change: Change) -> Iterator[DuplicateRow]:
        """The staged rows that `seal` will take out as duplicates, in order of row id."""
        ...

    def rehearse(self, columns: Sequence[tuple[str, str]]) -> Rehearsal:
        """A table of these columns without rows, on which what quality gates ask is tried out before a run."""
        ...

    def staged(self, change: Change) -> StagedTable:
        """The staged rows as `publish` would make them visible, to be asked by quality gates; nothing is changed."""
        ...

    def staged_relation(self, run: int, token: int) -> str | None:
        """What stands after FROM to read a run's staged rows in the destination's language; None if there are none."""
        ...

    def seal(self, staged: Sequence[StagedRows], change: Change) -> Sealed:
        """Takes out duplicates, reads back from disk all that is left, and compares it with what was sent.

        Raises IntegrityError if a row is missing or another than it was.
        """
        ...

    def publish(self, record: CommitRecord, change: Change) -> None:
        """Makes the staged rows (and `change`) visible in one atomic step, durably, with its commit record.

        Raises IntegrityError if the table was changed by somebody else meanwhile; nothing is published then.
        """
        ...

    def settle(self, run: int) -> bool:
        """After a crash in `publish`: whether the run was published. Afterwards it cannot be any more,
        whatever process still tries, until `publish` is called again by the holder of the lease."""
        ...

    def undo_kept(self, run: int) -> bool:
        """Whether this run is the last one published and the table as it was before can take its place again."""
        ...

    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Recomputes the fingerprint of each run's rows.

        Args:
            expected: run to what the books say the table holds of it.
        """
        ...

    def look_up(self, columns: Sequence[str], where: Mapping[str, str], limit: int) -> Sequence[Sequence[Any]]:
        """Columns of rows of the table, at most `limit` of those that have these values in others.

        Args:
            where: by column, the value as text in the destination's own form.

        Raises DeclarationError for a column that the table has not.
        """
        ...

    def close(self) -> None:
        """Gives back connections; the staged rows stay."""
        ...
