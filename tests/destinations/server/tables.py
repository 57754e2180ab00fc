"""A table at the front, worked on in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.mergetree.destination import clickhouse
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.protocols import Change, CommitRecord, Site, StagedRows
from rowkeeper.resilience.policy import Resilience, Retry

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])
QUICK = Resilience(retry=Retry(attempts=4, wait_seconds_initial=0.01, wait_seconds_max=0.05), deadline_seconds=60)


def rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table({"id": pa.array(numbers, pa.int64()), ROW_ID: pa.array(numbers, pa.uint64())})


@contextmanager
def session(site: Site, url: str, table: str, **options: Any) -> Iterator[TableSession]:
    made = clickhouse(
        table, order_by=["id"], url=url, **{"password": "env:CH_PASSWORD", "resilience": QUICK, **options}
    ).connect(site, SCHEMA)
    try:
        yield made
    finally:
        made.close()


def staged(table: TableSession) -> int:
    return table.rows(table.names.staging(table.run, table.token))


def load(table: TableSession, run: int, first: int, count: int) -> CommitRecord:
    """Stages and seals; what is left to do is to publish this record."""
    table.prepare()
    table.stage_open(run, run)
    table.stage(rows(first, count))
    sealed = table.seal([StagedRows(0, first + count, count)], Change())
    return CommitRecord("the ledger", run, run, sealed.fingerprint)


EMPTY = Fingerprint()
