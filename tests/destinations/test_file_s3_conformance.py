"""A table of files in an object store keeps what every destination must: SeaweedFS, behind a proxy that cuts."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
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
from tests.sources.rigs import InArena
from tests.stores.seaweed import ADMIN, Seaweed, seaweed


@dataclasses.dataclass
class BucketRig:
    """A bucket of its own for all tests of the class; read by a client that knows nothing of Rowkeeper."""

    runner: InArena
    server: Seaweed
    bucket: str
    cutter: Cutter
    authority: Path
    keys: tuple[str, str] = ("TEST_S3_ID", "TEST_S3_KEY")
    port: int | None = None
    secure: bool = False

    def declare(self, name: str, options: str = "") -> str:
        scheme = "https" if self.secure else "http"
        port = self.port or self.cutter.port
        tls = f', tls=rk.TLS(ca="{self.authority}")' if self.secure else ""
        access = (
            f'rk.S3(access_key="env:{self.keys[0]}", secret_key="env:{self.keys[1]}", '
            f'endpoint="{scheme}://127.0.0.1:{port}"{tls})'
        )
        return f'rk.destinations.files("s3://{self.bucket}/lake/{name}", access={access}, {options})'

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
        return (
            *(
                Fault(f"an answer cut after {bytes_passed} bytes", self._cut(bytes_passed))
                for bytes_passed in (0, 700, 4_000)
            ),
            Fault("a wrong key", self._with(keys=("TEST_S3_ID", "TEST_S3_WRONG_KEY")), ("RK-2142", "RK-2143")),
            Fault("a store that is down", self._with(port=1), ("RK-3121",)),
        )

    @contextlib.contextmanager
    def _cut(self, bytes_passed: int) -> Iterator[None]:
        self.cutter.cut_after = bytes_passed
        yield
        self.cutter.cut_after = None

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


class TestObjectStore(DestinationConformance):
    own_failpoints = r"^files\."
    kill_every = 1000

    @pytest.fixture(scope="class")
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Seaweed]:
        with seaweed(tmp_path_factory.mktemp("seaweed"), authority) as made:
            yield made

    @pytest.fixture(scope="class")
    def bucket(self, server: Seaweed) -> str:
        return server.bucket()

    @pytest.fixture
    def rig(
        self, class_arena: Arena, server: Seaweed, bucket: str, authority: trustme.CA, tmp_path: Path
    ) -> Iterator[BucketRig]:
        class_arena.env |= server.environment
        pem = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(pem)
        with Cutter(server.port) as cutter:
            yield BucketRig(InArena(class_arena), server, bucket, cutter, pem)
