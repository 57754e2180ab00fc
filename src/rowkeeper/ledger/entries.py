"""Entries that several steps of a run make alike, inside a transaction that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from rowkeeper.batch import Account, Partition
from rowkeeper.ledger.records import RunRecord, RunStatus
from rowkeeper.ledger.schema import batches, run_partitions, runs


def set_run(connection: Connection, run: int, **values: Any) -> None:
    """Changes columns of a run."""
    connection.execute(update(runs).where(runs.c.run == run).values(**values))


def account_columns(account: Account) -> dict[str, int]:
    """An account as the columns that hold it."""
    return {f"rows_{name}": count for name, count in account.as_dict().items()}


def insert_partitions(
    connection: Connection,
    run: int,
    partitions: Sequence[tuple[Partition, bool]],
    failed: Mapping[str, Mapping[str, Any]],
) -> None:
    """Notes what a run is to read (the flag: in the place of a former load), and what it goes without."""
    for ordinal, (partition, reload) in enumerate(partitions):
        connection.execute(insert(run_partitions).values(_partition_row(run, ordinal, partition, reload)))
    for ordinal, (key, error) in enumerate(failed.items(), len(partitions)):
        row = {**_partition_row(run, ordinal, Partition(key, identity=""), False), "error": dict(error)}
        connection.execute(insert(run_partitions).values(row))


def add_partitions(connection: Connection, run: int, more: Sequence[Partition]) -> None:
    """Notes what a run is to read after what it has already."""
    if not more:
        return
    last = select(func.coalesce(func.max(run_partitions.c.ordinal), -1)).where(run_partitions.c.run == run)
    first = connection.execute(last).scalar_one() + 1
    for ordinal, partition in enumerate(more, first):
        connection.execute(insert(run_partitions).values(_partition_row(run, ordinal, partition, False)))


def _partition_row(run: int, ordinal: int, partition: Partition, reload: bool) -> dict[str, Any]:
    return {
        "run": run,
        "ordinal": ordinal,
        "key": partition.key,
        "identity": partition.identity,
        "size_bytes": partition.size_bytes,
        "detail": dict(partition.detail),
        "reload": reload,
        "complete": False,
        "next_row": 0,
    }


def put_down(connection: Connection, run: RunRecord, error: Mapping[str, Any] | None) -> None:
    """Where a run stands that stopped before it was published: to be gone on with; or, wholly in the spool, to be
    drained, with its account so far.
    """
    if not run.in_spool or not _is_wholly_read(connection, run.run):
        set_run(connection, run.run, status=RunStatus.INTERRUPTED.value, error=error)
        return
    accounts = _accounts_so_far(connection, run.run)
    for ordinal, account in accounts.items():
        own = (run_partitions.c.run == run.run, run_partitions.c.ordinal == ordinal)
        connection.execute(update(run_partitions).where(*own).values(**account_columns(account)))
    whole = account_columns(sum(accounts.values(), Account()))
    set_run(connection, run.run, status=RunStatus.SPOOLED.value, error=error, **whole)


def _is_wholly_read(connection: Connection, run: int) -> bool:
    """Whether each partition was read to its end, or failed, and not all of them failed."""
    own = select(run_partitions.c.complete, run_partitions.c.error).where(run_partitions.c.run == run)
    parts = connection.execute(own).all()
    return all(part.complete or part.error is not None for part in parts) and any(part.complete for part in parts)


def _accounts_so_far(connection: Connection, run: int) -> dict[int, Account]:
    """By partition; `committed` are the rows that wait."""
    accounts: dict[int, Account] = {}
    own = select(batches).where(batches.c.run == run, batches.c.of_duplicates.is_(False))
    for row in connection.execute(own):
        batch = Account(row.next_row - row.first_row, row.staged, row.quarantined, row.duplicate, row.filtered)
        accounts[row.partition_ordinal] = accounts.get(row.partition_ordinal, Account()) + batch
    return accounts


def published_detail(run: RunRecord) -> list[tuple[str, Any]]:
    """What the audit trail vouches for of a run that is published."""
    fingerprint = None if run.fingerprint is None else f"{run.fingerprint.rows}:{run.fingerprint.hash_sum:016x}"
    return [("account", run.account.as_dict()), ("fingerprint", fingerprint)]
