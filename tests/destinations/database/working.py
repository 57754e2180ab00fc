"""A destination at work without a ledger: a run from the staging area to the publish, in this process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa

import rowkeeper as rk
from rowkeeper.batch import ROW_ID, Fingerprint, row_ids
from rowkeeper.destinations.relational.session import DatabaseSession
from rowkeeper.protocols import Change, CommitRecord, Sealed, Site, StagedRows
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress

QUICK = rk.Resilience(
    retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02), breaker=None, deadline_seconds=20.0
)
NOTHING = Change()


def no_keys() -> Any:
    raise AssertionError("no engine is started here")


def site(folder: Path) -> Site:
    return Site(folder, no_keys, "L", calls=Calls(), way_out=Gateway(Egress(())))


@dataclasses.dataclass
class Runs:
    """Runs of one table, one after the other."""

    folder: Path
    url: str
    table: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    run: int = 0

    def session(self, schema: pa.Schema | None) -> DatabaseSession:
        made = rk.destinations.database(self.url, self.table, resilience=QUICK, **self.options)
        return made.connect(site(self.folder), schema)

    def load(self, rows: pa.Table, change: Change = NOTHING) -> Sealed:
        """One run with these rows."""
        session, sealed = self.sealed(rows, change)
        session.publish(CommitRecord("L", self.run, self.run, sealed.fingerprint), change)
        session.close()
        return sealed

    def sealed(self, rows: pa.Table, change: Change = NOTHING) -> tuple[DatabaseSession, Sealed]:
        """All of a run but its publish."""
        self.run += 1
        session = self.session(rows.schema)
        session.prepare()
        session.stage_open(self.run, self.run)
        session.stage(addressed(rows))
        return session, session.seal([StagedRows(0, rows.num_rows, rows.num_rows)], change)


def addressed(rows: pa.Table) -> pa.Table:
    numbers = pa.array(range(rows.num_rows), pa.uint64())
    return rows.append_column(pa.field(ROW_ID, pa.uint64(), nullable=False), row_ids(0, numbers))


def by_run(sealed: Sealed) -> dict[int, Fingerprint]:
    return {each.about_run: each.change for each in sealed.postings}
