"""The pipeline that is measured: the 12-column trips through a contract into the embedded ClickHouse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

import rowkeeper as rk


class Trip(BaseModel):
    """A taxi trip."""

    trip_id: int
    vendor: Literal["CMT", "VTS", "DDS"]
    pickup_at: datetime
    dropoff_at: datetime
    passengers: Annotated[int, Field(ge=1, le=8)]
    distance_km: Annotated[float, Field(ge=0)]
    pickup_zone: Annotated[str, Field(pattern="^zone [0-9]{3}$")]
    dropoff_zone: str
    payment: Literal["card", "cash", "none"]
    fare: Annotated[float, Field(ge=0)]
    tip: Annotated[float, Field(ge=0)]
    total: Annotated[float, Field(ge=0)]


def pipeline(pattern: str, table: str) -> rk.Pipeline:
    """Loads the files of this pattern into this table."""
    return rk.Pipeline(
        table,
        source=rk.sources.files(pattern),
        contract=Trip,
        destination=rk.destinations.clickhouse(table, order_by=["pickup_at", "trip_id"]),
    )


# What a person would write by hand for the same table.
RAW_DDL = """
CREATE TABLE raw (
    trip_id Int64, vendor LowCardinality(String), pickup_at DateTime64(6, 'UTC'), dropoff_at DateTime64(6, 'UTC'),
    passengers Int64, distance_km Float64, pickup_zone LowCardinality(String), dropoff_zone LowCardinality(String),
    payment LowCardinality(String), fare Float64, tip Float64, total Float64
) ENGINE = MergeTree ORDER BY (pickup_at, trip_id)
"""
RAW_FORMATS = {"parquet": "Parquet", "csv": "CSVWithNames", "ndjson": "JSONEachRow"}
