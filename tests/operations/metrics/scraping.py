"""A real Prometheus that scrapes a real server, and how it is asked."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from tools.metrics import TARGET

from tests.operations.metrics.prometheus import needed
from tests.web.site import Site

SECONDS_MAX = 180.0  # the machine may be busy with other tests
LOOK_SECONDS = 0.2  # there is nothing to wait on but Prometheus' own clock


@contextlib.contextmanager
def scraping(site: Site) -> Iterator[httpx.Client]:
    """A client of Prometheus, which scrapes the site's server as docs/metrics.md has it, in a hurry."""
    binary = needed("prometheus")
    if site.running is None:
        site.start()
    folder = site.arena.folder / "prometheus"
    folder.mkdir()
    with site.opened() as space:
        made = space.authentication.accounts.make_token(
            "viewer", "scraping", timedelta(days=1), actions=frozenset({"metrics.show", "health.show"})
        )
    (folder / "token").write_text(made.text)
    site.arena.ok("metrics", "rules", "--out", str(folder / "rules.yml"))
    rules = (folder / "rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"for: \w+", "for: 0s", rules))  # how long is for promtool to test
    (folder / "prometheus.yml").write_text(configuration(site, folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    where = f"--web.listen-address=127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, *options, where], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            until(lambda: ready(client), process, folder / "log")
            yield client
    finally:
        process.terminate()
        process.wait(20)


def configuration(site: Site, folder: Path) -> str:
    """That of the page: its token, authority and target are put in, and it scrapes once a second."""
    (text,) = re.findall(r"```yaml\n(.*?)```", TARGET.read_text(), re.DOTALL)
    document = yaml.safe_load(text)
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["rule_files"] = [str(folder / "rules.yml")]
    (job,) = document["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["tls_config"]["ca_file"] = str(site.ca)
    job["static_configs"] = [{"targets": [f"127.0.0.1:{site.port}"]}]
    return yaml.safe_dump(document)


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def until(true: Callable[[], Any], process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> Any:
    """What it gives as soon as it gives something."""
    end = time.monotonic() + SECONDS_MAX
    while not (found := true()):
        assert process is None or process.poll() is None, log.read_text() if log else ""
        assert time.monotonic() < end, log.read_text() if log else "not in time"
        time.sleep(LOOK_SECONDS)
    return found


def asked(client: httpx.Client, query: str) -> list[tuple[dict[str, str], float]]:
    """What Prometheus answers to a query: labels and value of each."""
    found = client.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
    return [(each["metric"], float(each["value"][1])) for each in found]
