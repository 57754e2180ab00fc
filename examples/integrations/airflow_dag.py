"""Orders by day, started by Airflow 3: each data interval is the slot of one run.

Rowkeeper runs in a process of its own, out of an environment of its own (ROWKEEPER), so that neither has to fit the
other's dependencies. A task that Airflow tries again, clears or backfills loads nothing twice.
"""

import os
import subprocess
from datetime import datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import CronDataIntervalTimetable, dag, task

ROWKEEPER = os.environ.get("ROWKEEPER", "/srv/orders/.venv/bin/rowkeeper")
FOLDER = os.environ.get("ORDERS", "/srv/orders")
MISCONFIGURED, DONE_IN_PART = 2, 3


def command(since: datetime, until: datetime) -> list[str]:
    return [ROWKEEPER, "run", "orders.py", "--slot", f"{since.isoformat()}/{until.isoformat()}", "--json"]


# A bare cron text has no interval in Airflow 3: a run would not know which day it is for.
BY_DAY = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")


@dag(schedule=BY_DAY, start_date=datetime(2025, 11, 1), catchup=True, max_active_runs=1)
def orders_by_day():
    @task(retries=3, retry_delay=timedelta(minutes=1), retry_exponential_backoff=True)
    def load(data_interval_start=None, data_interval_end=None):
        done = subprocess.run(command(data_interval_start, data_interval_end), cwd=FOLDER, check=False)
        if done.returncode == MISCONFIGURED:
            raise AirflowFailException("a person has to mend the pipeline or its settings: no try helps")
        if done.returncode not in (0, DONE_IN_PART):
            raise RuntimeError(f"rowkeeper run ended with status {done.returncode}")

    load()


orders_by_day()
