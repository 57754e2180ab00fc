"""The stream source keeps what every source must: against real servers, by TLS, through what cuts connections."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.testing import Fault, SourceConformance
from rowkeeper.testing.sources import Row
from tests.arena import Arena
from tests.brokers.front import Front
from tests.brokers.servers import KafkaMock, NatsServer, Server, ValkeyServer, server_tls
from tests.extent import Sampled
from tests.sources.rigs import InArena

LOGIN = {"user": "loader", "password": "sesame"}
DECLARED = """rk.sources.stream(
        "{scheme}://localhost:{port}/{stream}",
        auth={auth},
        tls=rk.TLS(ca="{ca}"),
        group="loaders",
        max_rows={max_rows},
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=3, wait_seconds_initial=0.05, wait_seconds_max=0.1, attempt_seconds_max=2.0),
            breaker=None,
            deadline_seconds=20,
        ),
    )"""


@dataclasses.dataclass
class StreamRig:
    """A broker behind a front, with a stream of a new name for each offer."""

    runner: InArena
    front: Front
    ca: Path
    names: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    stream: str = ""
    scheme = ""
    auth = ""

    def declare(self) -> str:
        return DECLARED.format(
            scheme=self.scheme,
            port=self.front.port,
            stream=self.stream,
            auth=self.auth,
            ca=self.ca,
            max_rows=20_000,
        )

    def offer(self, rows: Sequence[Row]) -> None:
        self.stream = f"S{next(self.names)}"
        self.make()
        self.add(rows)

    def make(self) -> None:
        raise NotImplementedError

    def add(self, rows: Sequence[Row]) -> None:
        self.publish([json.dumps(row).encode() for row in rows])

    def publish(self, messages: Sequence[bytes]) -> None:
        raise NotImplementedError

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self._cut(size)) for size in self.cuts),
            Fault("every connection dropped once", self._dropping()),
            Fault("wrong credentials", self._wrong_credentials(), ("RK-2161",)),
            Fault("a peer that says nothing", self._silent(), ("RK-2160", "RK-4003")),
            Fault("an expired certificate", self._expired(), ("RK-6041",)),
            *self.more_faults(),
        )

    cuts = (0, 200, 1_500)

    def more_faults(self) -> Sequence[Fault]:
        return ()

    @contextlib.contextmanager
    def _cut(self, size: int) -> Iterator[None]:
        before = self.front.cuts
        self.front.cut_after = size
        yield
        self.front.cut_after = None
        assert self.front.cuts == before + 1, f"nothing was cut after {size}"

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        self.front.drop_next = True
        yield
        assert not self.front.drop_next, "nothing was dropped"

    @contextlib.contextmanager
    def _wrong_credentials(self) -> Iterator[None]:
        self.runner.arena.env["BROKER_PASSWORD"] = "another"
        yield
        self.runner.arena.env["BROKER_PASSWORD"] = "sesame"

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        self.front.silent = True
        yield
        self.front.silent = False
        self.front.drop()

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        ca, context, _ = server_tls(self.runner.folder / "expired", not_after=past)
        with self.fronted(context) as other:
            changes = {f":{self.front.port}/": f":{other.port}/", str(self.ca): str(ca)}
            file = max(self.runner.folder.glob("fault_*.py"), key=os.path.getmtime)
            text = changed = file.read_text()
            for former, new in changes.items():
                changed = changed.replace(former, new)
            file.write_text(changed)
            yield
            file.write_text(text)

    def fronted(self, context: Any) -> Front:
        raise NotImplementedError


@contextlib.contextmanager
def restarting(server: Server) -> Iterator[None]:
    """Killed, and up again before the run: what was acknowledged to publishers is there."""
    server.kill()
    server.start()
    yield


@dataclasses.dataclass
class ValkeyRig(StreamRig):
    server: ValkeyServer | None = None
    scheme = "valkeys"
    auth = 'rk.sources.Basic("default", password="env:BROKER_PASSWORD")'

    def make(self) -> None:
        assert self.server is not None
        with self.server.client as client:
            client.xgroup_create(self.stream, "others", mkstream=True)

    def publish(self, messages: Sequence[bytes]) -> None:
        assert self.server is not None
        self.server.publish(self.stream, messages)

    def fronted(self, context: Any) -> Front:
        assert self.server is not None
        return Front(self.server.port, context)

    def more_faults(self) -> Sequence[Fault]:
        assert self.server is not None
        return (Fault("the server was killed and came back", restarting(self.server)),)


@dataclasses.dataclass
class NatsRig(StreamRig):
    server: NatsServer | None = None
    scheme = "nats"
    auth = 'rk.sources.Basic("loader", password="env:BROKER_PASSWORD")'

    def make(self) -> None:
        assert self.server is not None
        self.server.publish(self.stream, [], **LOGIN)

    def publish(self, messages: Sequence[bytes]) -> None:
        assert self.server is not None
        self.server.publish(self.stream, messages, **LOGIN)

    def more_faults(self) -> Sequence[Fault]:
        assert self.server is not None
        return (Fault("the server was killed and came back", restarting(self.server)),)

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        """TLS is nats-server's own: it begins after a first line in the clear."""
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        ca, _, (cert, key) = server_tls(self.runner.folder / "expired", not_after=past)
        tls = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
        with NatsServer(self.runner.folder / "nats-expired", tls) as other:
            file = max(self.runner.folder.glob("fault_*.py"), key=os.path.getmtime)
            text = file.read_text()
            changed = text.replace(f"nats://localhost:{self.front.port}/", f"natss://localhost:{other.port}/")
            file.write_text(changed.replace(str(self.ca), str(ca)))
            yield
            file.write_text(text)


@dataclasses.dataclass
class KafkaRig(StreamRig):
    mock: KafkaMock | None = None
    scheme = "kafkas"
    auth = 'rk.sources.Sasl("loader", password="env:BROKER_PASSWORD", mechanism="PLAIN")'

    def make(self) -> None:
        assert self.mock is not None
        self.mock.producer.list_topics(self.stream, timeout=20)

    def publish(self, messages: Sequence[bytes]) -> None:
        assert self.mock is not None
        for partition in range(4):
            self.mock.publish(self.stream, messages[partition::4], partition)

    def fronted(self, context: Any) -> Front:
        assert self.mock is not None
        return Front(self.mock.ports[0], context, kafka=True, sasl=True)


@pytest.fixture(scope="module")
def closed_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One that asks who is there."""
    rules = "authorization { users: [{user: loader, password: sesame}] }\n"
    with NatsServer(tmp_path_factory.mktemp("nats"), rules) as server:
        yield server


@pytest.fixture(scope="module")
def closed_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One that asks who is there."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey"), {"requirepass": "sesame"}) as server:
        yield server


@pytest.mark.in_turns("streams as sources", 1)
class Streams(Sampled, SourceConformance):
    """What is common to the three."""

    own_failpoints = r"^stream\.|acknowledge$"
    kill_every = 60


class TestKafka(Streams):
    """librdkafka's mock cluster, with TLS and SASL before it, and four partitions."""

    @pytest.fixture
    def rig(self, class_arena: Arena, authority: Any, kafka: KafkaMock) -> Iterator[KafkaRig]:
        class_arena.env["BROKER_PASSWORD"] = "sesame"
        with Front(kafka.ports[0], authority[1], kafka=True, sasl=True) as front:
            yield KafkaRig(InArena(class_arena), front, authority[0], COUNT, mock=kafka)


class TestNats(Streams):
    """nats-server with JetStream."""

    @pytest.fixture
    def rig(self, class_arena: Arena, authority: Any, closed_nats: NatsServer) -> Iterator[NatsRig]:
        class_arena.env["BROKER_PASSWORD"] = "sesame"
        with Front(closed_nats.port) as front:
            yield NatsRig(InArena(class_arena), front, authority[0], COUNT, server=closed_nats)


class TestValkey(Streams):
    """Valkey, with TLS before it."""

    @pytest.fixture
    def rig(self, class_arena: Arena, authority: Any, closed_valkey: ValkeyServer) -> Iterator[ValkeyRig]:
        class_arena.env["BROKER_PASSWORD"] = "sesame"
        with Front(closed_valkey.port, authority[1]) as front:
            yield ValkeyRig(InArena(class_arena), front, authority[0], COUNT, server=closed_valkey)


COUNT = itertools.count()
