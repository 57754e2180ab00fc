"""Taxi trips with 12 columns and 1% bad rows: the same rows as Parquet, CSV and NDJSON, from one seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

SEED = 20261123
CHUNK_ROWS = 500_000
BAD_EVERY = 100
FORMATS = ("parquet", "csv", "ndjson")
ZONES = [f"zone {number:03d}" for number in range(265)]


def chunk(first: int, rows: int) -> pl.DataFrame:
    """Rows `first` to `first + rows`; one in a hundred has a negative distance, which the contract refuses."""
    random = np.random.default_rng([SEED, first])
    pickup = 1_700_000_000_000_000 + (first + np.arange(rows)) * 1_000_000 + random.integers(0, 900_000, rows)
    distance = np.round(random.gamma(2.0, 1.8, rows) + 0.1, 2)
    distance[BAD_EVERY - 1 :: BAD_EVERY] *= -1
    fare = np.round(3.0 + distance.__abs__() * 2.6, 2)
    tip = np.round(fare * random.random(rows) * 0.3, 2)
    return pl.DataFrame(
        {
            "trip_id": first + np.arange(rows),
            "vendor": np.array(["CMT", "VTS", "DDS"])[random.integers(0, 3, rows)],
            "pickup_at": pl.Series(pickup).cast(pl.Datetime("us", "UTC")),
            "dropoff_at": pl.Series(pickup + random.integers(60, 3600, rows) * 1_000_000).cast(
                pl.Datetime("us", "UTC")
            ),
            "passengers": random.integers(1, 7, rows),
            "distance_km": distance,
            "pickup_zone": np.array(ZONES)[random.integers(0, 265, rows)],
            "dropoff_zone": np.array(ZONES)[random.integers(0, 265, rows)],
            "payment": np.array(["card", "cash", "none"])[random.integers(0, 3, rows)],
            "fare": fare,
            "tip": tip,
            "total": np.round(fare + tip, 2),
        }
    )


def files(folder: Path, rows: int, kind: str) -> list[Path]:
    """Writes the rows as files of `CHUNK_ROWS` rows each, unless they are there, and returns them in order."""
    folder = folder / f"{kind}-{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for first in range(0, rows, CHUNK_ROWS):
        path = folder / f"trips-{first // CHUNK_ROWS:04d}.{kind}"
        if not path.exists():
            draft = path.with_suffix(".draft")
            _write(chunk(first, min(CHUNK_ROWS, rows - first)), draft, kind)
            draft.rename(path)
        paths.append(path)
    return paths


def _write(frame: pl.DataFrame, path: Path, kind: str) -> None:
    if kind == "parquet":
        frame.write_parquet(path, compression="zstd")
    elif kind == "csv":
        frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    else:
        text = pl.col(pl.Datetime("us", "UTC")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        frame.with_columns(text).write_ndjson(path)
