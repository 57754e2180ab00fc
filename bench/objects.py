"""Files through S3, within the memory limit: `python -m bench.objects`, or `--gigabytes 1` for a quick look.

The server is SeaweedFS on this machine, a process of its own on the same cores. The raw download is obstore by itself,
by TCP straight to the server, eight ranges of 8 MB at a time, thrown away. Rowkeeper does what a run does, into the
embedded ClickHouse. What is written is deleted again; while it runs it takes three times the size on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.stores.seaweed import ADMIN, Seaweed, seaweed

import rowkeeper as rk
from bench.generate import files
from bench.one import DATA, _end, peak_megabytes
from bench.trips import Trip
from rowkeeper.stores.objects import ObjectStore

ROWS_PER_FILE = 1_000_000
MEMORY_MAX = "900MB"
RANGE_BYTES = 8 << 20
AT_A_TIME = 8
ROOT = Path(__file__).parent.parent
BUCKET = "bench-trips"


def access(url: str) -> rk.S3:
    """Who we are in the server of the bench."""
    return rk.S3(endpoint=url, access_key="env:BENCH_S3_ID", secret_key="env:BENCH_S3_KEY")


def load(url: str) -> dict[str, object]:
    """A whole run from the bucket, in this process."""
    from rowkeeper.destinations import engine_status  # noqa: PLC0415

    trips = rk.Pipeline(
        "trips",
        source=rk.sources.files(f"s3://{BUCKET}/in/*.csv", access=access(url)),
        contract=Trip,
        destination=rk.destinations.clickhouse("trips", order_by=["pickup_at", "trip_id"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder + "/config"
        settings = rk.Settings(home=Path(folder) / "state", engine_idle_seconds=5, memory_max=MEMORY_MAX)
        with rk.Workspace.open(settings) as workspace:
            engine_status(workspace.site)
            run = rk.run
            started = time.perf_counter()
            report = run(trips, workspace)
            seconds = time.perf_counter() - started
            host = engine_status(workspace.site).pid
            memory = {"megabytes_own": peak_megabytes(), "megabytes_engine": peak_megabytes(host)}
        _end(host)
    return {"seconds": seconds, "rows": report.account.read, **memory}


def raw(url: str) -> dict[str, object]:
    """All of it, by obstore alone."""
    import obstore  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    store = S3Store(
        BUCKET,
        endpoint=url,
        region="us-east-1",
        access_key_id=ADMIN[0],
        secret_access_key=ADMIN[1],
        client_options={"allow_http": True},
    )
    ranges = [
        (meta["path"], start, min(RANGE_BYTES, meta["size"] - start))
        for chunk in obstore.list(store, "in")
        for meta in chunk
        for start in range(0, meta["size"], RANGE_BYTES)
    ]
    started = time.perf_counter()
    fetched = asyncio.run(_all(store, ranges))
    return {"seconds": time.perf_counter() - started, "bytes": fetched, "megabytes_own": peak_megabytes()}


async def _all(store: Any, ranges: list[tuple[str, int, int]]) -> int:
    import obstore  # noqa: PLC0415

    gate, fetched = asyncio.Semaphore(AT_A_TIME), 0

    async def one(path: str, start: int, size: int) -> int:
        async with gate:
            return len(await obstore.get_range_async(store, path, start=start, length=size))

    for at in range(0, len(ranges), 1000):
        fetched += sum(await asyncio.gather(*(one(*each) for each in ranges[at : at + 1000])))
    return fetched


def measured(what: str, url: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    env = {**os.environ, "BENCH_S3_ID": ADMIN[0], "BENCH_S3_KEY": ADMIN[1]}
    argv = [sys.executable, "-m", "bench.objects", f"--{what}", url]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT, env=env)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def fill(server: Seaweed, size: int, home: Path) -> int:
    """Puts a million trips into the bucket until there are so many bytes. Returns how often."""
    from rowkeeper.protocols import DiskKeys, Site  # noqa: PLC0415
    from rowkeeper.security.egress.gateway import Gateway  # noqa: PLC0415
    from rowkeeper.security.egress.policy import Egress  # noqa: PLC0415

    os.environ |= {"BENCH_S3_ID": ADMIN[0], "BENCH_S3_KEY": ADMIN[1]}
    site = Site(home=home, disk_keys=lambda: DiskKeys(1, {}), ledger_id="bench", way_out=Gateway(Egress()))
    paths = files(DATA, ROWS_PER_FILE, "csv")
    whole = sum(path.stat().st_size for path in paths)
    count = max(1, round(size / whole))
    with ObjectStore(access(server.url), BUCKET, site) as store:
        for number in range(count * len(paths)):
            with paths[number % len(paths)].open("rb") as file, store.writing(f"in/{number:04}.csv") as out:
                while piece := file.read(RANGE_BYTES):
                    out.write(piece)
    return count


def main() -> None:
    """Starts the server, fills it, measures, and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--load", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--raw", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load or options.raw:
        print(json.dumps(load(options.load) if options.load else raw(options.raw)))
        return
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder) / "seaweed") as server:
        server.make(BUCKET)
        count = fill(server, int(options.gigabytes * 1e9), Path(folder))
        bare, own = measured("raw", server.url), measured("load", server.url)
    assert own["rows"] == count * ROWS_PER_FILE, own
    print(
        json.dumps(
            {
                "gigabytes": round(bare["bytes"] / 1e9, 2),
                "raw_seconds": round(bare["seconds"], 1),
                "load_seconds": round(own["seconds"], 1),
                "megabytes_per_second": round(bare["bytes"] / own["seconds"] / 1e6, 1),
                "speed_to_raw_download": round(bare["seconds"] / own["seconds"], 3),
                "megabytes_peak_own": round(own["megabytes_own"]),
                "megabytes_peak_engine": round(own["megabytes_engine"]),
                "megabytes_peak_raw": round(bare["megabytes_own"]),
            }
        )
    )


if __name__ == "__main__":
    main()
