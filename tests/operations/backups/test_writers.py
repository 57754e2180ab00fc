"""A writer that cannot delete, and a bucket that keeps what it has: on a real S3 with rights and object lock."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator, Mapping

import pytest

from rowkeeper.errors import StoreForbidden
from rowkeeper.operations.backups.creating import create_backup
from rowkeeper.operations.backups.listing import list_backups
from rowkeeper.operations.backups.manifest import Kind
from rowkeeper.operations.backups.pruning import prune_backups
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.operations.backups.verifying import verify_backups
from rowkeeper.runs.workspace import Workspace
from tests.arena import Arena
from tests.operations.backups.furnished import furnish, load, opened
from tests.operations.backups.made import begin, id_of, make
from tests.stores.seaweed import ADMIN, Seaweed, seaweed

LONG_AGO = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LOCKED = (
    b'<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days>"
    b"</DefaultRetention></Rule></ObjectLockConfiguration>"
)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(autouse=True)
def references(s3: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in s3.environment.items():
        monkeypatch.setenv(name, text)


def access(s3: Seaweed, who: str = "") -> dict[str, str]:
    """Who we are there: `WRITER_`, or the administrator."""
    return {"access_key": f"env:TEST_S3_{who}ID", "secret_key": f"env:TEST_S3_{who}KEY", "endpoint": s3.url}


@pytest.fixture
def space(arena: Arena, s3: Seaweed) -> Iterator[Workspace]:
    """Backups are made by the writer and pruned by the administrator."""
    furnish(arena, f"s3://{s3.bucket()}/backups")
    arena.env |= {**s3.environment, "ROWKEEPER_BACKUP_ACCESS": json.dumps(access(s3, "WRITER_"))}
    arena.ok("runs")
    with opened(arena, backup_access=access(s3, "WRITER_"), backup_prune_access=access(s3)) as space:
        yield space


def asked(
    s3: Seaweed, method: str, path: str, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """A request of the administrator's that stores have no word for, signed by AWS's fourth version."""
    at = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    own = {"host": f"127.0.0.1:{s3.port}", "x-amz-content-sha256": digest, "x-amz-date": at, **(headers or {})}
    names = ";".join(sorted(own))
    canonical = query if "=" in query or not query else f"{query}="
    lines = [method, path, canonical, "".join(f"{name}:{own[name]}\n" for name in sorted(own)), names, digest]
    scope = f"{at[:8]}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = f"AWS4{ADMIN[1]}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    own["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ADMIN[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    line = http.client.HTTPConnection("127.0.0.1", s3.port, timeout=20)
    try:
        line.request(method, f"{path}?{query}" if query else path, body, own)
        answer = line.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        line.close()


def test_backups_need_no_right_to_delete(arena: Arena, space: Workspace):
    """A full one, one on it, and one after a process that died: made and verified by who may only put, get and list."""
    load(arena, 1, names=("added",))
    full = create_backup(space)
    begin(space, str(space.settings.backup_to), id_of(LONG_AGO, Kind.FULL))
    load(arena, 2, names=("added",))
    made = create_backup(space)
    assert (made.manifest.base, made.removed) == (full.manifest.id, ())
    assert all(each.sound for each in verify_backups(space))
    with backup_store(space) as store, pytest.raises(StoreForbidden):
        store.remove(full.manifest.id)
    assert [each.state for each in list_backups(space).backups] == ["begun", "complete", "complete"]


def test_whoever_prunes_has_credentials_of_their_own(space: Workspace, arena: Arena, s3: Seaweed):
    """The writer is refused, told so, and nothing is touched; with the other credentials the same command does it."""
    place = str(space.settings.backup_to)
    ids = [id_of(LONG_AGO + datetime.timedelta(days=day), Kind.FULL) for day in range(3)]
    for id in ids[:2]:
        make(space, place, id)
    make(space, place, id_of(LONG_AGO + datetime.timedelta(days=1, hours=1), Kind.INCREMENTAL), (ids[1],))
    make(space, place, ids[2])
    with opened(arena, backup_access=access(s3, "WRITER_")) as writer:
        refused = prune_backups(writer, keep="1 last", place=place)
        assert (refused.removed, {each["type"] for each in refused.refused.values()}) == ((), {"StoreForbidden"})
        assert refused.as_dict()["status"] == "refused"
        assert refused.kept[ids[1]] == ("needed by one that the store keeps",)
        assert {each.state for each in list_backups(writer, place=place).backups} == {"complete"}
    pruned = prune_backups(space, keep="1 last", place=place)
    assert (len(pruned.removed), list(pruned.kept), dict(pruned.refused)) == (3, [ids[2]], {})


def test_a_bucket_with_object_lock_keeps_what_was_removed(arena: Arena, space: Workspace, s3: Seaweed):
    """Backups are made there as anywhere; a pruned one is hidden, and its versions stay until their time is over."""
    bucket = f"locked-{arena.folder.parent.name[-4:]}-{id(space) % 1000}"
    assert asked(s3, "PUT", f"/{bucket}", headers={"x-amz-bucket-object-lock-enabled": "true"})[0] == 200
    assert asked(s3, "PUT", f"/{bucket}", "object-lock", LOCKED)[0] == 200
    place = f"s3://{bucket}/backups"
    load(arena, 3, names=("added",))
    made = create_backup(space, place=place)
    assert verify_backups(space, place=place)[0].sound
    path = f"/{bucket}/backups/manifests/{made.manifest.id}.json"
    status, headers = asked(s3, "HEAD", path)
    version = headers["x-amz-version-id"]
    assert (status, headers["x-amz-object-lock-mode"]) == (200, "COMPLIANCE")
    make(space, place, id_of(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1), Kind.FULL))
    pruned = prune_backups(space, keep="1 last", place=place)
    assert pruned.removed == (made.manifest.id,)
    assert made.manifest.id not in [each.id for each in list_backups(space, place=place).backups]
    assert asked(s3, "DELETE", path, f"versionId={version}")[0] == 403
    assert asked(s3, "GET", path, f"versionId={version}")[0] == 200
