"""A server for tests: a real process over a state folder in which pipelines have run, with a member for each role."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from rowkeeper.operations.configuring import read_settings
from rowkeeper.runs.workspace import Workspace
from tests.arena import Arena, Running

ROLES = ("viewer", "operator", "steward", "security-officer", "admin", "none")
BATCHES = 400

PIPELINES = """
import time
from typing import Annotated
import pyarrow as pa
import rowkeeper as rk
from pydantic import BaseModel, Field

class Order(BaseModel):
    id: int
    pieces: Annotated[int, Field(gt=0)]
    email: Annotated[str, rk.Classified("pii.email"), rk.Pseudonymise()]

def slowly(rows: pa.Table) -> pa.Table:
    time.sleep(0.05)
    return rows

orders = rk.Pipeline("orders", source=rk.sources.files("orders*.csv"), contract=Order,
    destination=rk.destinations.clickhouse("orders", order_by=["id"]))
held = rk.Pipeline("held", source=rk.sources.files("orders*.csv"), contract=Order,
    gates=[rk.volume(at_least=1_000_000)], destination=rk.destinations.clickhouse("held", order_by=["id"]))
slow = rk.Pipeline("slow", source=rk.sources.files("long.csv"), contract=Order, transform=slowly,
    destination=rk.destinations.clickhouse("slow", order_by=["id"]))
"""


@dataclasses.dataclass
class Site:
    """A state folder, its server, and who may ask it."""

    arena: Arena
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    tokens: dict[str, str] = dataclasses.field(default_factory=dict)
    url: str = ""
    running: Running | None = None

    def prepare(self) -> None:
        """Pipelines that ran: one with rejected rows, one that its gate holds."""
        self.arena.write("pipes.py", PIPELINES)
        rows = [f"{number},{number % 5},ann{number}@example.org" for number in range(40)]
        self.arena.write("orders.csv", "id,pieces,email\n" + "\n".join(rows) + "\n")
        many = [f"{number},1,ann@example.org" for number in range(BATCHES * 30)]
        self.arena.write("long.csv", "id,pieces,email\n" + "\n".join(many) + "\n")
        self.arena.together(("run", "pipes.py:orders"), ("run", "pipes.py:held"))

    def admit(self, roles: tuple[str, ...] = ROLES) -> None:
        """A user for each role, of the same name, with a token."""
        with self.opened() as space:
            for role in roles:
                space.ledger.users.add(role, roles=frozenset() if role == "none" else frozenset({role}))
                made = space.authentication.accounts.make_token(role, "tests", timedelta(days=1))
                self.tokens[role] = made.text

    @contextlib.contextmanager
    def opened(self) -> Iterator[Workspace]:
        """The workspace, in this process, as its owner."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.arena.env.items():
                patch.setenv(name, value)
            patch.chdir(self.arena.folder)
            with Workspace.open(read_settings()) as space:
                yield space

    def start(self, *files: str) -> None:
        env = {"ROWKEEPER_SERVER_ADDRESS": "127.0.0.1:0", "ROWKEEPER_BATCH_ROWS": "30", **self.env}
        self.running = self.arena.start("serve", *(files or ("pipes.py",)), "--json", env=env)
        self.url = self.heard()["url"]

    def heard(self, seconds: float = 180) -> Any:
        """The line that the server prints when it listens."""
        assert self.running is not None
        until = time.monotonic() + seconds
        while not (told := self.running._read("out")).endswith("\n"):
            assert time.monotonic() < until, self.running._read("err")
            assert self.running.process.exitcode is None, self.running._read("err")
            self.running.process.join(0.02)
        return json.loads(told.splitlines()[0])

    def stop(self) -> float:
        """Tells it to stop; the seconds that it took."""
        assert self.running is not None
        begun = time.monotonic()
        if self.running.process.exitcode is None:
            self.running.signal(signal.SIGTERM)
        self.running.wait(30)
        return time.monotonic() - begun

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def ca(self) -> Path:
        return self.arena.home / "certs" / "ca.pem"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    def client(self, member: str | None = None, **options: Any) -> httpx.Client:
        """A client that asks as this member; None: as nobody."""
        headers = {} if member is None else {"authorization": f"Bearer {self.tokens[member]}"}
        verify: Any = self.context() if self.url.startswith("https") else True
        return httpx.Client(base_url=self.url, headers=headers, verify=verify, timeout=30, **options)

    def settled(self, client: httpx.Client, job: Mapping[str, Any]) -> Any:
        """A job that has ended, by what it tells."""
        with client.stream("GET", f"/api/v1/jobs/{job['id']}/events", timeout=60) as answer:
            assert answer.status_code == 200, answer.read()
            for _ in answer.iter_lines():
                pass
        return client.get(f"/api/v1/jobs/{job['id']}").json()
