"""Debian's own Alertmanager: it takes what fires, keeps it alive while it is told, and hears when it is over."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.alerts import acknowledge, list_alerts
from tests.operations.alerts.conftest import MINUTE, Bench
from tests.operations.alerts.receiving import Hook, hook
from tests.operations.metrics.prometheus import needed

SECONDS_MAX = 60.0
TEMPLATES = "/usr/share/prometheus/alertmanager/default.tmpl"
CONFIGURATION = """
route: {{receiver: here, group_wait: 0s, group_interval: 1s, group_by: [alertname]}}
receivers: [{{name: here, webhook_configs: [{{url: "http://127.0.0.1:{port}/", send_resolved: true}}]}}]
"""
FILE = """
disable = ["no-success", "health-bad", "health-warning"]
[[rule]]
name = "flights-late"
no_success = {{ pipeline = "flights", within = "26h" }}
severity = "critical"
[[route]]
name = "am"
to = "alertmanager+http://127.0.0.1:{port}"
"""


@dataclasses.dataclass
class Alertmanager:
    """A process, a client of it, and the receiver that it tells."""

    port: int
    client: httpx.Client
    told: Hook

    def alerts(self) -> list[dict[str, Any]]:
        return self.client.get("/api/v2/alerts").json()


def command(binary: Path) -> list[str]:
    """Debian's reads its templates from /usr/share: where they are not installed it is shown them there, it alone."""
    if Path(TEMPLATES).exists():
        return [str(binary)]
    share = binary.parent.parent / "share"
    mount = f'mount -t overlay overlay -o lowerdir="{share}":/usr/share /usr/share && exec "$@"'
    wrapped = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    tried = subprocess.run([*wrapped, "test", "-e", TEMPLATES], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"Alertmanager's templates cannot be shown in /usr/share here: {tried.stderr.strip()}")
    return [*wrapped, str(binary)]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    begun = command(needed("prometheus-alertmanager"))
    folder = tmp_path_factory.mktemp("alertmanager")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", "--cluster.listen-address="]
    where = f"--web.listen-address=127.0.0.1:{port}"
    with hook() as told, (folder / "log").open("w") as log:
        (folder / "config.yml").write_text(CONFIGURATION.format(port=told.port))
        process = subprocess.Popen([*begun, *words, where], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                wait_until_ready(client, process, folder / "log")
                yield Alertmanager(port, client, told)
        finally:
            process.terminate()
            process.wait(20)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)  # it says by nothing but its port that it is up


def test_an_alert_lives_in_alertmanager_as_long_as_it_is_told(bench: Bench, alertmanager: Alertmanager):
    """With its labels; told again every five minutes, also when it is acknowledged here; then it is over at once."""
    bench.declare(FILE.format(port=alertmanager.port))
    bench.founded(timedelta(days=2))
    bench.now = datetime.now(UTC)  # Alertmanager has a clock of its own
    bench.look()
    (alert,) = alertmanager.alerts()
    assert alert["labels"]["alertname"] == "flights-late"
    assert alert["labels"]["severity"] == "critical"
    assert alert["labels"]["pipeline"] == "flights"
    assert "it has never succeeded" in alert["annotations"]["summary"]
    alertmanager.told.wait_for(lambda: said(alertmanager) == ["firing"])
    (here,) = list_alerts(bench.space).alerts
    acknowledge(bench.space, here.id)
    bench.look(6 * MINUTE)
    (again,) = alertmanager.alerts()
    assert again["endsAt"] > alert["endsAt"]
    bench.now = datetime.now(UTC)
    bench.run("flights", RunStatus.PUBLISHED)
    bench.look()
    assert alertmanager.alerts() == []
    alertmanager.told.wait_for(lambda: said(alertmanager) == ["firing", "resolved"])


def said(alertmanager: Alertmanager) -> list[str]:
    return [each["status"] for each in alertmanager.told.documents]
