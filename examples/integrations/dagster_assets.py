"""Orders by day, as an asset of Dagster with a partition for each day: each partition is the slot of one run.

Rowkeeper runs in a process of its own, out of an environment of its own (ROWKEEPER). A partition that is materialised
again loads nothing twice.
"""

import json
import os
import subprocess
from datetime import datetime

from dagster import (
    AssetExecutionContext,
    DailyPartitionsDefinition,
    Definitions,
    Failure,
    MaterializeResult,
    asset,
    build_schedule_from_partitioned_job,
    define_asset_job,
)

ROWKEEPER = os.environ.get("ROWKEEPER", "/srv/orders/.venv/bin/rowkeeper")
FOLDER = os.environ.get("ORDERS", "/srv/orders")
DONE_IN_PART = 3


def command(since: datetime, until: datetime) -> list[str]:
    return [ROWKEEPER, "run", "orders.py", "--slot", f"{since.isoformat()}/{until.isoformat()}", "--json"]


@asset(partitions_def=DailyPartitionsDefinition(start_date="2025-11-01", timezone="UTC"))
def orders(context: AssetExecutionContext) -> MaterializeResult:
    day = context.partition_time_window
    done = subprocess.run(command(day.start, day.end), cwd=FOLDER, capture_output=True, text=True, check=False)
    document = json.loads(done.stdout or "{}")
    if done.returncode not in (0, DONE_IN_PART):
        raise Failure(f"{document.get('error', {}).get('what')} (rowkeeper run: {done.returncode})")
    account = document["account"]
    return MaterializeResult(metadata={"run": document["run"], "status": document["status"], **account})


defs = Definitions(
    assets=[orders],
    schedules=[build_schedule_from_partitioned_job(define_asset_job("orders_by_day", selection=[orders]))],
)
