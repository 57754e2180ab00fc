"""A table of files in an object store keeps what every destination must: SeaweedFS, behind a proxy that cuts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import obstore
import pyarrow as pa
import pytest
import trustme

from rowkeeper.destinations.file import formats
from rowkeeper.destinations.file.manifest import Manifest
from rowkeeper.testing import Cutter, DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.rigs import InArena
from tests.stores.seaweed import ADMIN, Seaweed, seaweed


@dataclasses.dataclass
class Bare:
    """A bucket of its own, reached as it is; read by a client that knows nothing of Rowkeeper."""

    runner: InArena
    server: Seaweed
    bucket: str
    keys: tuple[str, str] = ("TEST_S3_ID", "TEST_S3_KEY")
    port: int | None = None
    ca: str | None = None

    def declare(self, name: str, options: str = "") -> str:
        access = (
            f'rk.S3(access_key="env:{self.keys[0]}", secret_key="env:{self.keys[1]}", '
            f'endpoint="{"https" if self.ca else "http"}://127.0.0.1:{self.port or self.usual_port}", '
            f"tls={f'rk.TLS(ca={self.ca!r})' if self.ca else None})"
        )
        return f'rk.destinations.files("s3://{self.bucket}/lake/{name}", access={access}, {options})'

    @property
    def usual_port(self) -> int:
        return self.server.port

    @property
    def store(self) -> Any:
        return obstore.store.S3Store(
            self.bucket,
            endpoint=self.server.url,
            access_key_id=ADMIN[0],
            secret_access_key=ADMIN[1],
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def _read(self, name: str, path: str) -> bytes:
        return bytes(obstore.get(self.store, f"lake/{name}/{path}").bytes())

    def rows(self, name: str) -> Sequence[Row]:
        try:
            pointer = json.loads(self._read(name, "_rowkeeper/current.json"))
        except FileNotFoundError:
            return []
        manifest = Manifest.decoded(self._read(name, pointer["manifest"]), name)
        found: list[Row] = []
        for file in manifest.files:
            stored = io.BytesIO(self._read(name, file.path))
            tables = list(formats.read_back("parquet", stored, manifest.layout_of(file).schema))
            found += pa.concat_tables(tables).to_pylist()
        return found

    def damage(self, name: str) -> None:
        path = next(
            each["path"]
            for chunk in obstore.list(self.store, f"lake/{name}/")
            for each in chunk
            if "/run-" in each["path"]
        )
        data = bytearray(obstore.get(self.store, path).bytes())
        data[len(data) // 2] ^= 1
        obstore.put(self.store, path, bytes(data))

    def faults(self) -> Sequence[Fault]:
        return ()


@dataclasses.dataclass
class BucketRig(Bare):
    """Reached by a proxy that cuts what passes."""

    cutter: Cutter = dataclasses.field(kw_only=True)

    @property
    def usual_port(self) -> int:
        return self.cutter.port

    def faults(self) -> Sequence[Fault]:
        return (
            *(
                Fault(f"an answer cut after {bytes_passed} bytes", self._cut(bytes_passed))
                for bytes_passed in (0, 700, 4_000)
            ),
            Fault("a wrong key", self._with(keys=("TEST_S3_ID", "TEST_S3_WRONG_KEY")), ("RK-2142", "RK-2143")),
            Fault("a store that is down", self._with(port=1), ("RK-3121",)),
            Fault("an expired certificate", self._expired(), ("RK-6041",)),
        )

    @contextlib.contextmanager
    def _cut(self, bytes_passed: int) -> Iterator[None]:
        self.cutter.cut_after = bytes_passed
        yield
        self.cutter.cut_after = None

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        """A server whose certificate, of an authority that is trusted, was good until yesterday."""
        authority = trustme.CA()
        pem = self.runner.folder / "expired-ca.pem"
        authority.cert_pem.write_to_path(pem)
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_shake_hands, args=(listener, context), daemon=True).start()
            with self._with(port=listener.getsockname()[1], ca=str(pem)):
                yield

    @contextlib.contextmanager
    def _with(self, **changes: Any) -> Iterator[None]:
        """Pipelines that are written meanwhile declare something else; it is put right in the files afterwards."""
        before = {name: getattr(self, name) for name in changes}
        for name, value in changes.items():
            setattr(self, name, value)
        broken = self.declare("x").partition("access=")[2]
        for name, value in before.items():
            setattr(self, name, value)
        whole = self.declare("x").partition("access=")[2]
        files = [path for path in self.runner.folder.glob("fault_*.py") if whole in path.read_text()]
        for path in files:
            path.write_text(path.read_text().replace(whole, broken))
        yield
        for path in files:
            path.write_text(path.read_text().replace(broken, whole))


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Begins TLS with whoever comes, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                context.wrap_socket(line, server_side=True).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed"), trustme.CA()) as made:
        yield made


@pytest.fixture(scope="module")
def bucket(server: Seaweed) -> str:
    return server.bucket()


@pytest.mark.in_turns("tables of files", 2)
class TestObjectStore(Sampled, DestinationConformance):
    own_failpoints = r"^files\."
    kill_every = 1000

    @pytest.fixture
    def rig(self, class_arena: Arena, server: Seaweed, bucket: str) -> Iterator[BucketRig]:
        class_arena.env |= server.environment
        with Cutter(server.port) as cutter:
            yield BucketRig(InArena(class_arena), server, bucket, cutter=cutter)
