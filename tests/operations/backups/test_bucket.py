"""Backups in a bucket of a real S3: made, gone on from, listed, verified, and restorable."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rowkeeper.operations.backups.creating import create_backup
from rowkeeper.operations.backups.listing import list_backups
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.operations.backups.verifying import verify_backups
from rowkeeper.runs.reaching import settled_endpoints
from tests.arena import Arena
from tests.operations.backups.furnished import furnish, load, opened, points_of, settings
from tests.stores.seaweed import Seaweed, seaweed


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


def test_backups_in_a_bucket(arena: Arena, s3: Seaweed, monkeypatch: pytest.MonkeyPatch):
    """A full one and one on it: every point can be restored from the bucket alone, and a changed byte is found."""
    access = {"access_key": "env:TEST_S3_ID", "secret_key": "env:TEST_S3_KEY", "endpoint": s3.url}
    for name, text in s3.environment.items():
        monkeypatch.setenv(name, text)
    furnish(arena, f"s3://{s3.bucket()}/here/backups")
    arena.env |= {**s3.environment, "ROWKEEPER_BACKUP_ACCESS": json.dumps(access)}
    load(arena, 1)
    with opened(arena, backup_access=access) as space:
        full = create_backup(space)
        assert full.place.endswith("/here/backups")
        load(arena, 2, names=("merged",))
        made = create_backup(space)
        assert made.manifest.base == full.manifest.id
        assert made.manifest.size < full.manifest.size
        assert [each.state for each in list_backups(space).backups] == ["complete", "complete"]
        assert all(each.sound for each in verify_backups(space))
        found = points_of(space)
        history = space.ledger.history.published("clickhouse:embedded/default.merged")
        assert {run: each for (table, run), each in found.items() if table == "merged"} == {
            each.run: {str(each.after)} for each in history
        }
        with backup_store(space) as store:
            name = next(each.name for each in full.manifest.files if each.name.startswith("tables-"))
            data = bytearray(store.read(full.manifest.id, name))
            data[100] ^= 4
            store.put(full.manifest.id, name, bytes(data))
        checks = verify_backups(space)
        assert [each.sound for each in checks] == [False, False]
        assert f"{name} was changed since it was written" in checks[1].findings[0]
        with backup_store(space) as store:
            store.remove(full.manifest.id)
            assert store.files(full.manifest.id) == {}
        assert [each.state for each in list_backups(space).backups] == ["broken"]


def test_the_bucket_is_among_the_places_that_may_be_reached(arena: Arena, s3: Seaweed):
    """So that firewall rules let it out, and nothing else besides."""
    access = {"access_key": "env:TEST_S3_ID", "secret_key": "env:TEST_S3_KEY", "endpoint": s3.url}
    arena.env.setdefault("ROWKEEPER_BACKUP_TO", "s3://bucket/x")
    reached = settled_endpoints(settings(arena, backup_access=access))
    assert [(each.host, each.port) for each in reached] == [("127.0.0.1", s3.port)]
