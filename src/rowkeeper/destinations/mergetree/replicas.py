"""Replicas: whether all that are up hold the same, asked where it matters.

Before the publish every replica must have the parts of what will be live: a reader of one that lags would see a table
with holes in it. After a crash every replica must say the same of who published last.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import ReplicasDiffer
from rowkeeper.resilience.deadline import seconds_left

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

LAG_SECONDS_MAX = 120.0
PAUSE_SECONDS = 0.2


def wait_for_replicas(table: TableSession, name: str) -> None:
    """Returns when every replica that is up has as many rows of a table as the one that is asked.

    Args:
        name: without its database.

    Raises ReplicasDiffer if that takes too long.
    """
    cluster = table.ddl.layout.every_replica
    if cluster is None:
        return
    query = rows_by_replica(cluster, table.names.database, name)
    own = table.statements.number(own_rows(table.names.database, name))
    until = time.monotonic() + LAG_SECONDS_MAX
    while behind := [host for host, rows in table.statements.ask(query) if int(rows) != own]:
        if time.monotonic() > until:
            raise ReplicasDiffer(
                f"{', '.join(map(str, behind))} did not catch up within {LAG_SECONDS_MAX:.0f} s",
                hint="nothing was published; see system.replicas there, and run again",
            )
        time.sleep(min(PAUSE_SECONDS, seconds_left(PAUSE_SECONDS) or 0))


def check_comments(table: TableSession, name: str) -> None:
    """Whether every replica that is up has the same table under a name. Raises ReplicasDiffer."""
    cluster = table.ddl.layout.every_replica
    if cluster is None:
        return
    said = table.statements.ask(comments_by_replica(cluster, table.names.database, name))
    if len({comment for _, comment in said}) > 1:
        raise ReplicasDiffer(
            f"the replicas of {table.names.live} do not agree on who published last: "
            + ", ".join(sorted(str(host) for host, _ in said)),
            hint="one of them has not yet run what was said to the cluster: see system.distributed_ddl_queue there",
        )


def own_rows(database: str, name: str) -> str:
    """A query for the rows of a table's parts at the replica that is asked, with those that a DELETE has hidden."""
    return f"SELECT sum(rows) FROM system.parts WHERE active AND {_named(database, name)}"


def rows_by_replica(cluster: str, database: str, name: str) -> str:
    """A query for host and rows of a table's parts, counted as `own_rows` does, at each replica that is up."""
    return (
        f"SELECT tables.host, sum(parts.rows) FROM (SELECT hostName() AS host FROM {_all(cluster, 'one')}) AS tables "
        f"LEFT JOIN (SELECT hostName() AS host, rows FROM {_all(cluster, 'parts')} WHERE active "
        f"AND {_named(database, name)}) AS parts ON tables.host = parts.host "
        "GROUP BY tables.host SETTINGS skip_unavailable_shards = 1"
    )


def comments_by_replica(cluster: str, database: str, name: str) -> str:
    """A query for host and comment of a table, at each replica that is up."""
    return (
        f"SELECT hostName(), any(comment) FROM {_all(cluster, 'tables')} WHERE database = {literal(database)} "
        f"AND name = {literal(name)} GROUP BY 1 SETTINGS skip_unavailable_shards = 1"
    )


def _named(database: str, name: str) -> str:
    return f"database = {literal(database)} AND table = {literal(name)}"


def _all(cluster: str, table: str) -> str:
    return f"clusterAllReplicas({literal(cluster)}, system, {table})"
