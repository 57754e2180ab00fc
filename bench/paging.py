"""Pages per second from an API on this machine, by TLS, against the bare client: `python -m bench.paging`.

The server is a process of its own. The bare client is httpx, one connection, which decodes each page and follows its
token, and does nothing else. Rowkeeper does what a run does: limits, deadlines, checks, the hash over all records, and
batches of documents for the contract.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import trustme

import rowkeeper as rk
from rowkeeper.protocols import Columns, Site
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress

PAGES = 500
RECORDS = 100


def serve(certificate: str) -> None:
    """Answers with pages of records until the process is ended; prints its port."""
    records = [
        {
            "id": number,
            "name": f"customer {number}",
            "amount": number + 0.25,
            "at": "2026-11-26T10:00:00Z",
            "none": None,
        }
        for number in range(RECORDS)
    ]
    items = json.dumps(records)
    bodies = [
        f'{{"items": {items}, "next_page_token": {json.dumps(str(page + 1) if page + 1 < PAGES else None)}}}'.encode()
        for page in range(PAGES)
    ]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two pieces: neither waits for an acknowledgement

        def do_GET(self) -> None:
            page = int(parse_qs(urlsplit(self.path).query).get("page_token", ["0"])[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(bodies[page])))
            self.end_headers()
            self.wfile.write(bodies[page])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


def bare(url: str, ca: Path) -> float:
    """Seconds for all pages by httpx alone."""
    began = time.perf_counter()
    rows, token = 0, None
    with httpx.Client(verify=ssl.create_default_context(cafile=str(ca))) as client:
        while True:
            page = client.get(url, params={"page_token": token} if token else {}).json()
            rows += len(page["items"])
            token = page["next_page_token"]
            if token is None:
                break
    assert rows == PAGES * RECORDS
    return time.perf_counter() - began


def ours(url: str, ca: Path) -> float:
    """Seconds for all pages, as batches."""
    source = rk.sources.api(
        url, records="$.items[*]", pagination=rk.sources.Token(), tls=rk.TLS(ca=ca), resilience=rk.Resilience()
    )
    site = Site(Path(), _no_keys, "bench", way_out=Gateway(Egress(())))
    at_work = source.at(site)
    began = time.perf_counter()
    (partition,) = at_work.plan({}, whole=False).to_read
    columns = Columns(frozenset(), (), "ignore")
    batches = at_work.read(partition, start_row=0, batch_rows=100_000, columns=columns)
    rows = sum(batch.table.num_rows for batch in batches)
    assert rows == PAGES * RECORDS
    return time.perf_counter() - began


def _no_keys() -> Any:
    raise AssertionError("no engine is started here")


def main() -> None:
    """Three rounds of both in turn, the quickest of each; prints one JSON document."""
    with tempfile.TemporaryDirectory() as folder:
        authority, ca, certificate = trustme.CA(), Path(folder, "ca.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.paging", str(certificate)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = f"https://localhost:{int(server.stdout.readline())}/items"
            times = [(bare(url, ca), ours(url, ca)) for _ in range(3)]
        finally:
            server.terminate()
            server.wait()
    plain, whole = (min(column) for column in zip(*times, strict=True))
    rates = {"bare": PAGES / plain, "rowkeeper": PAGES / whole}
    print(json.dumps({"pages_per_second": rates, "ratio": plain / whole, "records_per_page": RECORDS}))


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
