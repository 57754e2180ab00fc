"""The ledger as the rest of the house sees it: opened once, then asked and written to."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, insert, select

from rowkeeper.ledger import leases
from rowkeeper.ledger.accessversion import AccessVersion
from rowkeeper.ledger.alerts.alerts import LEASE as ALERTS_LEASE
from rowkeeper.ledger.alerts.alerts import LedgerAlerts
from rowkeeper.ledger.appointments import LedgerAppointments, appointment_lease
from rowkeeper.ledger.audit import Trail
from rowkeeper.ledger.audit.deliveries import Deliveries
from rowkeeper.ledger.audit.notes import Signer, Verifier
from rowkeeper.ledger.backfills import LedgerBackfills
from rowkeeper.ledger.breakers import LedgerBreakers
from rowkeeper.ledger.commits import Commits
from rowkeeper.ledger.copying import Moment, refuse_unsuited
from rowkeeper.ledger.database import connect, faults, migrate, reading, revision, server_time, size_bytes, writing
from rowkeeper.ledger.drills import LedgerDrills
from rowkeeper.ledger.freshness import LedgerFreshness
from rowkeeper.ledger.grants import LedgerGrants
from rowkeeper.ledger.healthstates import LedgerHealth
from rowkeeper.ledger.history import History
from rowkeeper.ledger.jobs import LedgerJobs
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.pruning import LedgerPruning
from rowkeeper.ledger.reading import Reader
from rowkeeper.ledger.records import HeldLease, Lease
from rowkeeper.ledger.restoring import LedgerRestoring
from rowkeeper.ledger.retention import LedgerRetention
from rowkeeper.ledger.schedules import LedgerSchedules, lease_name
from rowkeeper.ledger.schema import ledger as ledger_table
from rowkeeper.ledger.securing import Transport
from rowkeeper.ledger.signing_in import SigningIn
from rowkeeper.ledger.spooling import SpoolScribe
from rowkeeper.ledger.totals import LedgerTotals
from rowkeeper.ledger.upkeep import LedgerUpkeep
from rowkeeper.ledger.users import LedgerUsers
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.secret import Secret


def utc_now() -> datetime:
    """The clock of the ledger unless a test brings its own."""
    return datetime.now(UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Auditing:
    """How a ledger's audit trail is signed and checked.

    Attributes:
        seeds: gives, when it is first needed, the Ed25519 keys of its checkpoints, 32 secret bytes each: the one that
            signs, then those that signed before.
        trusted: keys of other machines that write the same ledger.
        outside: files beyond the database that get each new checkpoint.
    """

    seeds: Callable[[], tuple[bytes, ...]] = dataclasses.field(repr=False)
    trusted: tuple[Verifier, ...] = ()
    outside: tuple[Path, ...] = ()


class Ledger(Reader, SpoolScribe):
    """What happened, for good: runs, accounts, leases, the quarantine index.

    Attributes:
        id: 32 hex digits, given at its making; part of each commit record.
        freshness: how new tables and their keys are, as they were asked last.
        breakers: where processes share what they know of failing hosts.
        schedules: what the workers have answered, and answer now.
        backfills: slots that people had filled afterwards.
        health: since when each thing that health looks at is as it is.
        audit: the trail of changes and accesses.
        users: accounts of people and services.
        jobs: what servers were asked for.
        signing_in: their passwords, sessions and API tokens.
        grants: roles, grants and row filters.
        deliveries: which checkpoints of the trail have been brought elsewhere.
        alerts: what rules found, and the outbox of what is told of it.
        totals: what all runs came to, for metrics.
        commits: whether anything was committed since one looked last.
        retention: what of old runs can go.
        pruning: what of slots and alerts can go.
        appointments: what the installation does at times of its own: maintenance, backups, drills.
        upkeep: the database's own: free pages, statistics.
        restoring: finds points of the past, and brings the books back to one.
        drills: restores that were tried.
        history: what was published to each table, in order.
    """

    def __init__(self, engine: Engine, clock: Clock, auditing: Auditing, way_out: WayOut | None = None) -> None:
        self.id = _identity(engine, clock)
        name = f"rowkeeper/{self.id}"
        self.audit = Trail(
            engine,
            clock,
            lambda: tuple(Signer(name, key) for key in auditing.seeds()),
            trusted=auditing.trusted,
            outside=auditing.outside,
        )
        Reader.__init__(self, engine)
        SpoolScribe.__init__(self, engine, clock, self.audit)
        self.breakers = LedgerBreakers(engine, clock, way_out)
        self.schedules = LedgerSchedules(engine, clock, self.audit)
        self.backfills = LedgerBackfills(engine, clock, self.audit)
        self.health = LedgerHealth(engine)
        self.freshness = LedgerFreshness(engine, clock, self.audit)
        version = AccessVersion(engine)
        self.users = LedgerUsers(engine, clock, self.audit, version)
        self.jobs = LedgerJobs(engine, clock, self.audit)
        self.signing_in = SigningIn(engine, clock, self.audit)
        self.grants = LedgerGrants(engine, clock, self.audit, version)
        self.deliveries = Deliveries(engine, clock)
        self.alerts = LedgerAlerts(engine, clock, self.audit)
        self.totals = LedgerTotals(engine)
        self.commits = Commits(engine)
        self.retention = LedgerRetention(engine, clock, self.audit)
        self.pruning = LedgerPruning(engine, self.audit)
        self.appointments = LedgerAppointments(engine, clock)
        self.upkeep = LedgerUpkeep(engine)
        self.restoring = LedgerRestoring(engine, clock, self.audit)
        self.drills = LedgerDrills(engine, clock, self.audit)
        self.history = History(engine)

    @classmethod
    @contextmanager
    def open(
        cls,
        url: str | None,
        home: Path,
        clock: Clock = utc_now,
        calls: Calls | None = None,
        *,
        transport: Transport | None = None,
        auditing: Auditing,
        password: Callable[[], Secret] | None = None,
        way_out: WayOut | None = None,
    ) -> Iterator[Self]:
        """Opens the ledger, making or migrating it first.

        Args:
            url: a SQLAlchemy URL; None is SQLite in the state folder.
            auditing: how its audit trail is signed and checked.
            calls: how a ledger on another machine is reached; it cannot share its breaker through itself.
            password: reads the password for the URL, at each connect.
            way_out: which addresses of that machine are connected to; None leaves it to the driver.
            transport: whether that is by TLS, and whose word is taken; without, by TLS, and this machine's store.

        Raises:
            StateError: it cannot be written, or was made by a newer version.
            DatabaseError: the database refused.
            TLSError: it cannot be reached by TLS.
        """
        engine = connect(url, home, calls, transport=transport, password=password, way_out=way_out)
        try:
            migrate(engine)
            ledger = cls(engine, clock, auditing, way_out)
            try:
                yield ledger
            finally:
                ledger.audit.tell()
                ledger.breakers.close()
                ledger.commits.close()
        finally:
            engine.dispose()

    def acquire_lease(self, name: str, ttl_seconds: float) -> Lease:
        """Takes the lease on a destination. Raises LeaseError if somebody who may be alive holds it."""
        return leases.acquire(self._engine, self._clock, name, ttl_seconds)

    def renew_lease(self, lease: Lease, ttl_seconds: float) -> Lease:
        """Holds on to it for so long again. Raises LeaseError if it was taken over."""
        return leases.renew(self._engine, self._clock, lease, ttl_seconds)

    def release_lease(self, lease: Lease) -> None:
        """Gives it back, if it was not taken over."""
        leases.release(self._engine, lease)

    def lease_alive(self, name: str) -> bool:
        """Whether somebody who may be alive holds this lease."""
        return leases.alive(self._engine, self._clock, name)

    def leases(self) -> list[HeldLease]:
        """The leases that nobody gave back and that have not run out."""
        return leases.held(self._engine, self._clock)

    def runs_alive(self) -> list[HeldLease]:
        """The leases on destinations that live processes of this machine hold, in the order in which they took them."""
        here = leases.host_name()
        found = [each for each in self.leases() if each.host == here and not each.is_dead]
        own = (lease_name(""), appointment_lease(""), ALERTS_LEASE, leases.BACKUPS)
        runs = [each for each in found if not each.name.startswith(own)]
        return sorted(runs, key=lambda each: (each.acquired_at, each.name))

    def schema(self) -> str:
        """The version of its tables."""
        return revision(self._engine)

    def refuse_uncopied(self) -> None:
        """Raises BackupUnsuited where `moment` could not copy it."""
        refuse_unsuited(self._engine)

    def moment(self, path: Path) -> Moment:
        """It, as it is now, to be written into a new SQLite file. Raises BackupUnsuited, DatabaseError."""
        return Moment(self._engine, path)

    def size_bytes(self) -> int:
        """How large its database is."""
        return size_bytes(self._engine)

    def server_time(self) -> datetime | None:
        """What time it is where it is kept; None on this machine."""
        return server_time(self._engine)

    def check(self) -> list[str]:
        """What is wrong with the database file; empty if it is sound."""
        return faults(self._engine)


def _identity(engine: Engine, clock: Clock) -> str:
    with reading(engine) as connection:
        found = connection.execute(select(ledger_table.c.id)).scalar_one_or_none()
    if found is not None:
        return str(found)
    with writing(engine, "found_ledger") as connection:
        found = connection.execute(select(ledger_table.c.id)).scalar_one_or_none()
        if found is None:
            found = uuid.uuid4().hex
            connection.execute(insert(ledger_table).values(id=found, created_at=clock()))
        return str(found)
