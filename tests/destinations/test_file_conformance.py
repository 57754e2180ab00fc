"""A table of files keeps what every destination must, in each format, in a folder and in an object store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rowkeeper.destinations.file import formats, packing
from rowkeeper.destinations.file.manifest import Manifest
from rowkeeper.testing import DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.rigs import InArena


@dataclasses.dataclass
class FolderRig:
    """Folders beside the pipeline files."""

    runner: InArena
    options: str
    identity: str | None = None

    def declare(self, name: str, options: str = "") -> str:
        both = ", ".join(filter(None, (self.options, options)))
        return f'rk.destinations.files("out/{name}", {both})'

    def folder(self, name: str) -> Path:
        return self.runner.folder / "out" / name

    def rows(self, name: str) -> Sequence[Row]:
        pointer = self.folder(name) / "_rowkeeper/current.json"
        if not pointer.exists():
            return []
        data = (self.folder(name) / json.loads(pointer.read_text())["manifest"]).read_bytes()
        manifest = Manifest.decoded(data, name)
        return [row for file in manifest.files for row in self._rows_of(name, manifest, file)]

    def _rows_of(self, name: str, manifest: Manifest, file: Any) -> list[Mapping[str, Any]]:
        path = self.folder(name) / file.path
        with path.open("rb") as stored:
            plain = packing.decrypted(stored, self.identity) if self.identity else stored
            outer = packing.decompressed(plain, packing.compression_of(file.path))
            tables = list(formats.read_back(manifest.settings["format"], outer, manifest.layout_of(file).schema))
        return pa.concat_tables(tables).to_pylist() if tables else []

    def damage(self, name: str) -> None:
        path = next(each for each in self.folder(name).rglob("run-*"))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    def faults(self) -> Sequence[Fault]:
        return ()


@pytest.mark.in_turns("tables of files", 2)
class _InFolder(Sampled, DestinationConformance):
    own_failpoints = r"^files\."
    kill_every = 25  # tests/runs/test_failpoints.py tries the others
    options = ""

    @pytest.fixture
    def rig(self, class_arena: Arena) -> FolderRig:
        return FolderRig(InArena(class_arena), self.options)


class TestParquet(_InFolder):
    pass


class TestArrow(_InFolder):
    options = 'format="arrow"'
    kill_every = 1000


class TestCsv(_InFolder):
    options = 'format="csv", compression="gzip", rows_per_file=1_500'
    kill_every = 1000


class TestLines(_InFolder):
    options = 'format="ndjson", compression="zstd", partition_by=["open"]'
    kill_every = 1000


@pytest.fixture(scope="module")
def identity() -> Any:
    import pyrage

    return pyrage.x25519.Identity.generate()


class TestEncrypted(_InFolder):
    """With an identity at hand, rows are verified; what is stored is nothing but ciphertext."""

    kill_every = 1000

    @pytest.fixture
    def rig(self, class_arena: Arena, identity: Any, monkeypatch: pytest.MonkeyPatch) -> FolderRig:
        monkeypatch.setenv("AGE_IDENTITY", str(identity))
        class_arena.env["AGE_IDENTITY"] = str(identity)
        options = f'encrypt_for=["{identity.to_public()}"], identity="env:AGE_IDENTITY"'
        return FolderRig(InArena(class_arena), options, "env:AGE_IDENTITY")

    def test_nothing_is_stored_in_the_clear(self, rig: FolderRig) -> None:
        """No file has a value of a row; what is in the clear are names of columns, numbers of rows, and hashes."""
        bench = self._bench(rig, "unreadable", [{"id": 424242, "name": "Zanzibar"}])
        bench.done()
        stored = b"".join(path.read_bytes() for path in rig.folder("unreadable").rglob("*") if path.is_file())
        assert b"Zanzibar" not in stored
        assert b"424242" not in stored
        assert b"age-encryption.org" in stored
