"""S3 and HTTP keep what every source must, with what goes wrong on the way to them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from rowkeeper.protocols import Site
from rowkeeper.stores import S3
from rowkeeper.stores.objects import ObjectStore
from rowkeeper.testing import Cutter, Fault, SourceConformance
from rowkeeper.testing.sources import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.rigs import InArena
from tests.stores.seaweed import Seaweed, seaweed
from tests.stores.serving import Web, served

QUICK = "rk.Resilience(retry=rk.Retry(attempts=3, wait_seconds_initial=0.05), breaker=None)"


def lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@dataclasses.dataclass
class S3Rig:
    """A folder in a bucket for each pipeline, behind a proxy that can be told to misbehave."""

    runner: InArena
    store: ObjectStore
    bucket: str
    cutter: Cutter
    arena: Arena
    folders: int = 0
    files: int = 0

    def declare(self) -> str:
        keys = 'access_key="env:TEST_S3_ID", secret_key="env:RIG_SECRET"'
        access = f'rk.S3(endpoint="http://127.0.0.1:{self.cutter.port}", {keys})'
        return f'rk.sources.files("s3://{self.bucket}/in{self.folders}/*.ndjson", access={access}, resilience={QUICK})'

    def offer(self, rows: Sequence[Row]) -> None:
        self.folders += 1
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        self.files += 1
        self.store.put(f"in{self.folders}/{self.files}.ndjson", lines(rows))

    def faults(self) -> Sequence[Fault]:
        return (
            Fault("a connection that is cut", self._cut()),
            Fault("wrong credentials", self._secret("not-the-secret"), ("RK-2142",)),
        )

    @contextlib.contextmanager
    def _cut(self) -> Iterator[None]:
        self.cutter.cut_after = 600
        yield
        self.cutter.cut_after = None

    @contextlib.contextmanager
    def _secret(self, text: str) -> Iterator[None]:
        before = self.arena.env["RIG_SECRET"]
        self.arena.env["RIG_SECRET"] = text
        yield
        self.arena.env["RIG_SECRET"] = before


@pytest.mark.in_turns("files as sources", 1)
class TestS3(Sampled, SourceConformance):
    kill_every = 25  # tests/runs/test_failpoints.py tries the others

    @pytest.fixture
    def rig(self, class_arena: Arena, s3: Seaweed, site: Site, access: S3) -> Iterator[S3Rig]:
        bucket = s3.bucket()
        class_arena.env |= {**s3.environment, "RIG_SECRET": s3.environment["TEST_S3_KEY"]}
        with Cutter(s3.port) as cutter, ObjectStore(access, bucket, site) as store:
            yield S3Rig(InArena(class_arena), store, bucket, cutter, class_arena)


@dataclasses.dataclass
class WebRig:
    """A web server with one file for each batch of rows, which are named one by one."""

    runner: InArena
    web: Web
    names: list[str] = dataclasses.field(default_factory=list)
    number: int = 0

    def declare(self) -> str:
        urls = ", ".join(f'"{self.web.url}{name}"' for name in self.names)
        return f"rk.sources.files({urls}, resilience={QUICK})"

    def offer(self, rows: Sequence[Row]) -> None:
        self.names = []
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        if self.names:  # the pipeline names one file: it has more of them in it
            before = self.web.files[self.names[-1]]
            self.web.files[self.names[-1]] = before + lines(rows)
            return
        self.number += 1
        self.names.append(f"/in/{os.getpid()}-{self.number}.ndjson")
        self.web.files[self.names[-1]] = lines(rows)

    def faults(self) -> Sequence[Fault]:
        return (
            Fault("an answer that breaks off", self._broken()),
            Fault("slow down", self._said([503, 429])),
            Fault("an error that stays", self._said([500] * 100), ("RK-2141",)),
        )

    @contextlib.contextmanager
    def _broken(self) -> Iterator[None]:
        self.web.cut_after = 700
        yield
        self.web.cut_after = None

    @contextlib.contextmanager
    def _said(self, statuses: list[int]) -> Iterator[None]:
        self.web.faults[:] = statuses
        yield
        self.web.faults.clear()


@pytest.mark.in_turns("files as sources", 1)
class TestWeb(Sampled, SourceConformance):
    kill_every = 25

    @pytest.fixture
    def rig(self, class_arena: Arena) -> Iterator[WebRig]:
        with served(Web()) as web:
            yield ReloadingRig(InArena(class_arena), web)


class ReloadingRig(WebRig):
    """What is added changes the one file, which is loaded in the place of what it was."""

    def declare(self) -> str:
        return super().declare().removesuffix(")") + ', on_change="reload")'


LATE = """import rowkeeper as rk
from pydantic import BaseModel


class Row(BaseModel):
    id: int


late = rk.Pipeline("late", source=rk.sources.files({source}), contract=Row,
    destination=rk.destinations.clickhouse("late", order_by=["id"]))
"""


@pytest.fixture
def late(own_arena: Arena, tmp_path: Path) -> trustme.CA:
    """An authority that is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own_arena.env["ROWKEEPER_TLS_CA"] = str(tmp_path / "ca.pem")
    return authority


def is_told(arena: Arena) -> None:
    """The certificate ran out: a run says just that, and publishes nothing."""
    outcome = arena.run("run", "late.py", "--json")
    assert outcome.status == 1
    assert outcome.json["error"]["code"] == "RK-6041", outcome
    assert "expired" in outcome.stdout
    assert [each["status"] for each in arena.ok("runs")["runs"] if each["status"] == "published"] == []


def test_an_expired_certificate_is_one_clear_error(own_arena: Arena, late: trustme.CA) -> None:
    """Of a web server."""
    with _expired(late, datetime.datetime(2020, 1, 1)) as web:
        own_arena.write("late.py", LATE.format(source=f'"{web.url}/a.ndjson"'))
        is_told(own_arena)


def test_an_expired_certificate_of_an_object_store_is_one_clear_error(
    own_arena: Arena, late: trustme.CA, tmp_path: Path
) -> None:
    """SeaweedFS with TLS of its own, whose certificate was good until yesterday."""
    today = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    with seaweed(tmp_path / "late", late, (today - 30 * day, today - day)) as server:
        own_arena.env |= server.environment
        access = f'rk.S3(access_key="env:TEST_S3_ID", secret_key="env:TEST_S3_KEY", endpoint="{server.tls_url}")'
        own_arena.write("late.py", LATE.format(source=f'"s3://{server.bucket()}/*.ndjson", access={access}'))
        is_told(own_arena)


@contextlib.contextmanager
def _expired(authority: trustme.CA, until: datetime.datetime) -> Iterator[Web]:
    class Late(trustme.CA):
        def issue_cert(self, *names: str, **options: object) -> trustme.LeafCert:  # type: ignore[override]
            return authority.issue_cert(*names, not_after=until, not_before=until - datetime.timedelta(days=30))

    with served(Web({"/a.ndjson": b'{"id": 1}\n'}), Late()) as web:
        yield web
