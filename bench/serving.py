"""The server under mixed reads: how long answers take at a steady rate, and what one costs in processor time.

Two callers ask for lists and for each of 20 runs in turn, while another process commits to the ledger every second.

.venv/bin/python -m bench.serving                500 requests a second for 10 s, over 16 connections by TLS
.venv/bin/python -m bench.serving --rate 100 --seconds 2
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import psutil

from rowkeeper.operations.configuring import read_settings
from rowkeeper.runs.workspace import Workspace

CONNECTIONS = 16
PIPELINES = 20
CALLERS = ("ann", "bob")
# What a console and some programs ask for: lists again and again, and each run now and then.
PATHS = (
    "/api/v1/runs?limit=20",
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}/account",
    "/api/v1/pipelines",
    "/api/v1/quarantine",
    "/api/v1/whoami",
    "/health/ready",
)
COMMIT_SECONDS = 1.0
PIPELINE_FILE = """
import rowkeeper as rk
from pydantic import BaseModel, PositiveInt

class Order(BaseModel):
    id: int
    pieces: PositiveInt

def orders(name: str) -> rk.Pipeline:
    return rk.Pipeline(name, source=rk.sources.files("orders.csv"), contract=Order,
        destination=rk.destinations.clickhouse(name, order_by=["id"]))
"""


async def one(port: int, context: ssl.SSLContext, token: str, due: list[tuple[int, float]], took: list[float]) -> None:
    """One connection: each request is sent when it is due, or as soon as the one before was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    for number, at in due:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        path = PATHS[number % len(PATHS)].format(run=number // len(PATHS) % PIPELINES + 1)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head[:20], head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        took.append(time.monotonic() - at)  # with the time that it waited to be sent
    writer.close()


async def asked(port: int, context: ssl.SSLContext, tokens: list[str], rate: int, seconds: float) -> list[float]:
    """The seconds that each took."""
    took: list[float] = []
    begin = time.monotonic() + 0.5
    dues = [(number, begin + number / rate) for number in range(int(seconds * rate))]
    each = (
        one(port, context, tokens[place % len(tokens)], dues[place::CONNECTIONS], took) for place in range(CONNECTIONS)
    )
    await asyncio.gather(*each)
    return sorted(took)


def committing(space: Workspace, done: threading.Event) -> None:
    """Commits something to the ledger now and then, as runs do: answers that were kept count no more."""
    while not done.wait(COMMIT_SECONDS):
        space.ledger.release_lease(space.ledger.acquire_lease("bench", 60))


def prepared(folder: Path) -> Path:
    """A file with pipelines that have all run, and rejected some rows."""
    rows = [f"{number},{number % 5}" for number in range(100)]
    (folder / "orders.csv").write_text("\n".join(["id,pieces", *rows]) + "\n")
    made = [f'orders_{number} = orders("orders_{number}")' for number in range(PIPELINES)]
    file = folder / "pipelines.py"
    file.write_text("\n".join([PIPELINE_FILE, *made]) + "\n")
    subprocess.run([sys.executable, "-m", "rowkeeper.cli", "run", str(file)], check=True, capture_output=True)
    return file


def main() -> None:
    """Starts a server over a new state folder, asks it, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ROWKEEPER_HOME": f"{folder}/state", "XDG_CONFIG_HOME": f"{folder}/config"}
        os.environ |= {"ROWKEEPER_SERVER_ADDRESS": "127.0.0.1:0", "ROWKEEPER_SERVER_ADDRESS_RATE": "100000"}
        os.environ["ROWKEEPER_SERVER_CALLER_RATE"] = "100000"
        pipelines = prepared(Path(folder))
        with Workspace.open(read_settings()) as space:
            for name in CALLERS:
                space.ledger.users.add(name, roles=frozenset({"viewer"}))
            make = space.authentication.accounts.make_token
            tokens = [make(name, "bench", timedelta(hours=1)).text for name in CALLERS]
        server = subprocess.Popen(
            [sys.executable, "-m", "rowkeeper.cli", "serve", str(pipelines), "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            port = int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])
            context = ssl.create_default_context(cafile=Path(folder) / "state" / "certs" / "ca.pem")
            asyncio.run(asked(port, context, tokens, options.rate, 1))  # warm
            process, done = psutil.Process(server.pid), threading.Event()
            with Workspace.open(read_settings()) as space:
                writer = threading.Thread(target=committing, args=(space, done))
                writer.start()
                before = sum(process.cpu_times()[:2])
                took = asyncio.run(asked(port, context, tokens, options.rate, options.seconds))
                spent = sum(process.cpu_times()[:2]) - before
                done.set()
                writer.join()
        finally:
            server.terminate()
            server.wait()
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(f"{len(took):,} reads at {options.rate}/s: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms (at most 100)")
    print(f"processor time of the server: {spent / len(took) * 1e3:.2f} ms a read")


if __name__ == "__main__":
    main()
