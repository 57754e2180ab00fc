"""Double-entry bookkeeping for data pipelines.

import rowkeeper as rk

flights = rk.Pipeline(
    "flights",
    source=rk.sources.files("data/flights*.csv.zip"),
    contract=Flight,  # any Pydantic v2 model
    destination=rk.destinations.clickhouse("flights", order_by=["carrier", "time_hour"]),
)
"""

from rowkeeper import destinations, errors, sources
from rowkeeper.batch import Account, Fingerprint
from rowkeeper.pipeline import Pipeline
from rowkeeper.runs.loading import run_pipeline as run
from rowkeeper.runs.report import RunReport
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

__all__ = [
    "Account",
    "Fingerprint",
    "Pipeline",
    "RunReport",
    "Settings",
    "Workspace",
    "destinations",
    "errors",
    "run",
    "sources",
]
