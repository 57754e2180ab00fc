"""docs/sources-files.md: its examples run, against a real S3, and its tests are there."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq

from rowkeeper.stores.objects import ObjectStore
from tests.arena import Arena
from tests.stores.seaweed import Seaweed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sources-files.md").read_text()
BLOCKS = re.findall(r"```(\w+)(?: file=(\S+))?\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs(own_arena: Arena, s3: Seaweed, store: ObjectStore, bucket: str, ca: Path) -> None:
    """Files and commands, in order, with the host and the bucket of the server that runs here."""
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "name": ["a", "b"]}), out)
    store.put("trips/a.parquet", out.getvalue())
    keys = {"TRIPS_ACCESS_KEY": s3.environment["TEST_S3_ID"], "TRIPS_SECRET_KEY": s3.environment["TEST_S3_KEY"]}
    own_arena.env |= {"ROWKEEPER_TLS_CA": str(ca), **keys}
    ran = {}
    for kind, name, text in BLOCKS:
        if name == "trips.py":
            here = text.replace("https://minio.example:9000", f"https://localhost:{s3.tls_port}")
            own_arena.write(name, here.replace("city-data", bucket))
        elif kind == "console":
            for line in text.splitlines():
                words = shlex.split(line.removeprefix("$ rowkeeper "))
                ran[words[0]] = own_arena.ok(*words)
    assert ran["run"]["account"]["committed"] == 2
    assert "localhost" in str(ran["endpoints"])


def test_the_declarations_are_valid() -> None:
    """Those that no pipeline is made of."""
    text = next(text for _, name, text in BLOCKS if name == "places.py")
    names = vars(ModuleType("places"))
    exec(text, names)
    assert {each.host for each in names["google"].endpoints()} == {"storage.googleapis.com", "oauth2.googleapis.com"}
    assert names["azure"].endpoints()[0].host == "ours.blob.core.windows.net"
