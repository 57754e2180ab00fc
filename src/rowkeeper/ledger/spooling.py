"""The steps of a run whose rows go to the spool first, as the ledger takes them down.

    start_in_spool   STAGING: batches are being sealed into spool files
    note_spooled     SPOOLED: all of it is there; the run waits
    drain_run        STAGING again: its rows are on their way from the spool to the destination

From there on it goes the way of every run. One that stops on the way is put down as SPOOLED: its rows are in the spool
until the ledger says that they are published.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete

from rowkeeper.batch import Account, Partition
from rowkeeper.errors import IntegrityError
from rowkeeper.ledger import leases
from rowkeeper.ledger.database import writing
from rowkeeper.ledger.entries import account_columns, insert_partitions, put_down, set_run
from rowkeeper.ledger.reading import one_run
from rowkeeper.ledger.records import Lease, RunKind, RunRecord, RunStatus
from rowkeeper.ledger.schema import batches, run_partitions
from rowkeeper.ledger.writing import OPEN, Scribe, event_of


class SpoolScribe(Scribe):
    """Writes the ledger, the steps of the spool included."""

    def start_in_spool(
        self,
        lease: Lease,
        *,
        instead_of: int | None,
        pipeline: str,
        target: str,
        definition: str,
        source: Mapping[str, Any],
        destination: Mapping[str, Any],
        partitions: Sequence[tuple[Partition, bool]],
        replaces_all: bool,
        gates: Sequence[str],
        failed: Mapping[str, Mapping[str, Any]],
        degraded: Sequence[str],
    ) -> RunRecord:
        """Opens a load whose rows go to the spool. Which former rows it replaces is found out when it is drained.

        Args:
            instead_of: an open or held run of this pipeline with rows in a staging area out of reach: it starts over
                under its own number, so that its rows cannot come twice.
        """
        values = {
            "status": RunStatus.STAGING.value,
            "definition": definition,
            "source": dict(source),
            "destination": dict(destination),
            "replaces_all": replaces_all,
            "drop_rows": [],
            "gates": list(gates),
            "degraded": list(degraded),
            "in_spool": True,
        }
        if instead_of is None:
            with writing(self._engine, "start_in_spool") as connection:
                leases.check(connection, lease)
                kind = RunKind.LOAD.value
                number = self._insert_run(connection, lease, pipeline=pipeline, target=target, kind=kind, **values)
                insert_partitions(connection, number, partitions, failed)
                run = one_run(connection, number)
                self._trail.write(connection, event_of(run, "run.start", kind=kind, in_spool=True))
                return run
        with self._step(lease, "start_over_in_spool", instead_of, (*OPEN, RunStatus.HELD)) as (connection, _):
            connection.execute(delete(batches).where(batches.c.run == instead_of))
            connection.execute(delete(run_partitions).where(run_partitions.c.run == instead_of))
            insert_partitions(connection, instead_of, partitions, failed)
            blank = {"error": None, "finished_at": None, **account_columns(Account())}
            set_run(connection, instead_of, **values, **blank, **_own(lease))
            run = one_run(connection, instead_of)
            self._trail.write(connection, event_of(run, "run.start_over", in_spool=True))
            return run

    def note_spooled(self, lease: Lease, run: int) -> RunRecord:
        """Notes that all of a run is in the spool. Raises IntegrityError if it was not read to its end."""
        with self._step(lease, "note_spooled", run, (RunStatus.STAGING,)) as (connection, record):
            put_down(connection, record, None)
            spooled = one_run(connection, run)
            if spooled.status is not RunStatus.SPOOLED:
                raise IntegrityError(
                    f"run {run} is not wholly in the spool", hint="nothing was published; run the pipeline again"
                )
            self._count(connection, spooled)
            self._trail.write(connection, event_of(spooled, "run.spool", account=spooled.account.as_dict()))
            return spooled

    def drain_run(
        self, lease: Lease, run: int, *, gates: Sequence[str], drop_rows: Sequence[tuple[int, int]]
    ) -> RunRecord:
        """Takes a run up that waits in the spool, or that its gates held when it was drained before.

        Args:
            gates: names of the quality gates that it has to pass now.
            drop_rows: (run, partition ordinal) of the published loads that it replaces.
        """
        allowed = (RunStatus.SPOOLED, RunStatus.HELD)
        with self._step(lease, "drain_run", run, allowed) as (connection, record):
            if not record.in_spool:
                raise IntegrityError(f"run {run} is not in the spool", hint="rowkeeper show tells what became of it")
            taken_up = {"status": RunStatus.STAGING.value, "error": None, "finished_at": None, **_own(lease)}
            set_run(connection, run, gates=list(gates), drop_rows=[list(each) for each in drop_rows], **taken_up)
            drained = one_run(connection, run)
            self._trail.write(connection, event_of(drained, "run.drain"))
            return drained


def _own(lease: Lease) -> dict[str, Any]:
    return {"token": lease.token, "host": leases.host_name(), "pid": os.getpid()}
