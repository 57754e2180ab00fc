"""One S3 for all tests of stores and of what reads from them, with a bucket for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from rowkeeper.protocols import DiskKeys, Site
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.tls import TLS
from rowkeeper.stores import S3
from rowkeeper.stores.objects import ObjectStore
from tests.authority import authority, ca
from tests.stores.seaweed import Seaweed, seaweed

__all__ = ["authority", "ca"]


@pytest.fixture(scope="session")
def s3(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed"), authority) as server:
        yield server


@pytest.fixture(autouse=True)
def references(s3: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the references in declarations lead to; and what must not be taken from the environment."""
    for name, text in s3.environment.items():
        monkeypatch.setenv(name, text)


@pytest.fixture
def site(tmp_path: Path, ca: Path) -> Site:
    return Site(
        home=tmp_path,
        disk_keys=lambda: DiskKeys(1, {}),
        ledger_id="tests",
        way_out=Gateway(Egress()),
        default_tls=TLS(ca=ca),
    )


@pytest.fixture
def bucket(s3: Seaweed) -> str:
    return s3.bucket()


@pytest.fixture
def access(s3: Seaweed) -> S3:
    return S3(access_key="env:TEST_S3_ID", secret_key="env:TEST_S3_KEY", endpoint=s3.url)


@pytest.fixture
def store(access: S3, bucket: str, site: Site) -> Iterator[ObjectStore]:
    with ObjectStore(access, bucket, site) as opened:
        yield opened
