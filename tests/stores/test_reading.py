"""Files of object stores and web servers as a source: every format, what is new, and what goes wrong."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

import rowkeeper as rk
from rowkeeper.batch import RAW_LINE, Batch, Partition
from rowkeeper.errors import (
    DeclarationError,
    ObjectChanged,
    SourceError,
    SourceMissing,
    StoreError,
    StoreUnauthorised,
    StoreUnavailable,
)
from rowkeeper.protocols import Site
from rowkeeper.sources import files
from rowkeeper.stores import S3
from rowkeeper.stores.objects import ObjectStore
from rowkeeper.testing import Cutter
from tests.sources.reading import ANY
from tests.stores.seaweed import Seaweed
from tests.stores.serving import Web, served

TABLE = pa.table({"id": range(20_000), "name": [f"name {number}" for number in range(20_000)]})
FEW = rk.Resilience(retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.05), breaker=None)


def csv_of(table: pa.Table) -> bytes:
    lines = [",".join(table.column_names)]
    lines += [",".join(map(str, row.values())) for row in table.to_pylist()]
    return ("\n".join(lines) + "\n").encode()


def parquet_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=3000)
    return out.getvalue()


def avro_of(table: pa.Table) -> bytes:
    schema = {
        "type": "record",
        "name": "Row",
        "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}],
    }
    out = io.BytesIO()
    fastavro.writer(out, schema, table.to_pylist(), codec="deflate")
    return out.getvalue()


def zip_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", csv_of(table))
    return out.getvalue()


def lines_of(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def document_of(table: pa.Table) -> bytes:
    return json.dumps({"data": table.to_pylist()}, indent=1).encode()


FORMATS: dict[str, tuple[Callable[[pa.Table], bytes], dict[str, Any]]] = {
    "rows.csv": (csv_of, {}),
    "rows.csv.gz": (lambda table: gzip.compress(csv_of(table)), {}),
    "rows.csv.zst": (lambda table: zstd.compress(csv_of(table)), {}),
    "rows.zip": (zip_of, {"format": "csv"}),
    "rows.ndjson": (lines_of, {}),
    "rows.json": (document_of, {"records": "$.data[*]"}),
    "rows.parquet": (parquet_of, {}),
    "rows.avro": (avro_of, {}),
}


@dataclasses.dataclass
class Reader:
    """Reads a source as runs do."""

    site: Site

    def partitions(self, source: Any, loaded: dict[str, Partition] | None = None) -> tuple[Partition, ...]:
        plan = source.at(self.site).plan(loaded or {}, whole=False)
        for error in plan.failed.values():
            raise error
        return tuple(plan.to_read)

    def batches(self, source: Any, partition: Partition, start_row: int = 0) -> Iterator[Batch]:
        working = source.at(self.site)
        yield from working.read(partition, start_row=start_row, batch_rows=1000, columns=ANY)

    def rows(self, source: Any, start_row: int = 0) -> list[Any]:
        found: list[Any] = []
        for partition in self.partitions(source):
            for batch in self.batches(source, partition, start_row):
                found += [_row(batch, row) for row in batch.table.to_pylist()]
        return found


def _row(batch: Batch, row: dict[str, Any]) -> tuple[int, str]:
    row = json.loads(row[RAW_LINE]) if RAW_LINE in row else row
    return int(row["id"]), row["name"]


EXPECTED = [(row["id"], row["name"]) for row in TABLE.to_pylist()]


@pytest.fixture
def reader(site: Site) -> Reader:
    return Reader(site)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_from_a_bucket(
    reader: Reader, store: ObjectStore, access: S3, bucket: str, name: str
) -> None:
    """The same rows as were written, and from any row on."""
    make, options = FORMATS[name]
    store.put(f"in/{name}", make(TABLE))
    source = files(f"s3://{bucket}/in/*", access=access, **{"format": _format(name), **options})
    assert reader.rows(source) == EXPECTED
    assert reader.rows(source, start_row=12_345) == EXPECTED[12_345:]


def _format(name: str) -> str:
    return {"gz": "csv", "zst": "csv", "zip": "csv"}.get(name.rpartition(".")[2], name.rpartition(".")[2])


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_from_a_web_server(reader: Reader, name: str, ranges: bool) -> None:
    """With ranges and without; what is read from its end says that it needs them."""
    make, options = FORMATS[name]
    with served(Web({f"/{name}": make(TABLE)}, ranges=ranges)) as web:
        source = files(f"{web.url}/{name}", **options)
        if not ranges and name in ("rows.zip", "rows.parquet"):
            with pytest.raises(StoreError) as caught:
                reader.rows(source)
            assert caught.value.code == "RK-2148"
        else:
            assert reader.rows(source) == EXPECTED


def test_what_was_loaded_is_known_without_being_read(
    reader: Reader, store: ObjectStore, access: S3, bucket: str
) -> None:
    """By size and ETag: an unchanged file is told from a listing and a HEAD, a changed one is another."""
    store.put("in/a.csv", b"id\n1\n")
    store.put("in/b.csv", b"id\n2\n")
    source = files(f"s3://{bucket}/in/*.csv", access=access, on_change="reload")
    first = {each.key: each for each in reader.partitions(source)}
    assert sorted(first) == [f"s3://{bucket}/in/a.csv", f"s3://{bucket}/in/b.csv"]
    assert all("etag:" in each.identity for each in first.values())
    assert not reader.partitions(source, first)
    store.put("in/b.csv", b"id\n3\n")
    store.put("in/deep/c.csv", b"id\n4\n")
    assert [each.key for each in reader.partitions(source, first)] == [f"s3://{bucket}/in/b.csv"]
    deep = files(f"s3://{bucket}/in/**/*.csv", access=access)
    assert len(reader.partitions(deep)) == 3


@pytest.mark.parametrize("kind", ["etags", "dates", "nothing"])
def test_a_web_server_is_asked_what_it_can_say(reader: Reader, kind: str) -> None:
    """An ETag, else the date; where it says neither, the content itself is looked at."""
    web = Web({"/a.csv": b"id\n1\n"}, etags=kind == "etags", dates=kind == "dates")
    with served(web):
        source = files(f"{web.url}/a.csv", on_change="reload")
        (first,) = reader.partitions(source)
        assert {"etags": "etag:", "dates": "modified:", "nothing": "sha256:"}[kind] in first.identity
        web.asked.clear()
        assert not reader.partitions(source, {first.key: first})
        assert ("GET" in {method for method, *_ in web.asked}) == (kind == "nothing")
        web.files["/a.csv"] = b"id\n2\n"
        assert bool(reader.partitions(source, {first.key: first})) == (kind != "dates")


def test_a_file_that_changes_while_it_is_read_is_noticed(
    reader: Reader, store: ObjectStore, access: S3, bucket: str
) -> None:
    """Rows of the one and of the other are never mixed."""
    store.put("a.csv", b"id\n" + b"1234567\n" * 6_000_000)
    source = files(f"s3://{bucket}/a.csv", access=access)
    (partition,) = reader.partitions(source)
    batches = reader.batches(source, partition)
    next(batches)
    store.put("a.csv", b"id\n" + b"7654321\n" * 6_000_000)
    with pytest.raises((ObjectChanged, SourceError)) as caught:
        for _ in batches:
            pass
    assert caught.value.code in ("RK-2146", "RK-2103")


def test_listing_may_be_forbidden(reader: Reader, store: ObjectStore, s3: Seaweed, bucket: str) -> None:
    """A pattern is one clear error then; a file that is named is read all the same."""
    store.put("in/a.csv", b"id,name\n1,x\n")
    own = S3(access_key="env:TEST_S3_READER_ID", secret_key="env:TEST_S3_READER_KEY", endpoint=s3.url)
    with pytest.raises(StoreError) as caught:
        reader.rows(files(f"s3://{bucket}/in/*.csv", access=own))
    assert caught.value.code == "RK-2143"
    assert reader.rows(files(f"s3://{bucket}/in/a.csv", access=own)) == [(1, "x")]


def test_wrong_credentials_and_missing_things_are_told(reader: Reader, s3: Seaweed, access: S3, bucket: str) -> None:
    """Each by its own code, without a secret."""
    wrong = dataclasses.replace(access, secret_key="env:TEST_S3_WRONG_KEY")
    for source, code in (
        (files(f"s3://{bucket}/a.csv", access=wrong), "RK-2142"),
        (files(f"s3://{bucket}/*.csv", access=wrong), "RK-2142"),
        (files("s3://no-such-bucket/*.csv", access=access), "RK-2144"),
        (files("s3://no-such-bucket/a.csv", access=access), "RK-2144"),
        (files(f"s3://{bucket}/*.csv", access=access), "RK-2101"),
        (files(f"s3://{bucket}/a.csv", access=access), "RK-2101"),
    ):
        with pytest.raises((StoreError, SourceError)) as caught:
            reader.rows(source)
        assert caught.value.code == code, caught.value
        assert not any(secret in str(caught.value) for secret in s3.environment.values())


def test_a_cut_connection_is_survived(reader: Reader, store: ObjectStore, s3: Seaweed, access: S3, bucket: str) -> None:
    """In the middle of a body: the range is asked for again, and nothing is lost or doubled."""
    store.put("a.csv", b"id,name\n" + b"1234567,a name that is neither short nor long\n" * 400_000)
    with Cutter(s3.port) as cutter:
        source = files(
            f"s3://{bucket}/a.csv", access=dataclasses.replace(access, endpoint=f"http://127.0.0.1:{cutter.port}")
        )
        (partition,) = reader.partitions(source)
        cutter.cut_after = 9_000_000
        count = sum(batch.rows_read for batch in reader.batches(source, partition))
    assert (count, cutter.cuts) == (400_000, 1)


def test_a_server_that_says_slow_down_is_asked_again(reader: Reader) -> None:
    """503 and 429 pass; a 500 that stays is told."""
    with served(Web({"/a.csv": b"id,name\n1,x\n"})) as web:
        source = files(f"{web.url}/a.csv", resilience=FEW)
        web.faults[:] = [503, 429]
        assert reader.rows(source) == [(1, "x")]
        web.faults[:] = [500] * 50
        with pytest.raises(StoreUnavailable) as caught:
            reader.rows(source)
        assert "500" in str(caught.value)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_truncated_body_is_read_on(reader: Reader, ranges: bool) -> None:
    """A connection that ends before the body does is no end of the file."""
    with served(Web({"/a.csv": csv_of(TABLE)}, ranges=ranges)) as web:
        source = files(f"{web.url}/a.csv", resilience=FEW)
        (partition,) = reader.partitions(source)
        web.cut_after = 100_000
        assert sum(batch.rows_read for batch in reader.batches(source, partition)) == 20_000
        assert web.cut_after is None


def test_a_web_server_may_want_to_know_us(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token by reference is sent; without it, one clear error."""
    monkeypatch.setenv("TEST_TOKEN", "the-token-of-the-test")
    with served(Web({"/a.csv": b"id,name\n1,x\n"}, token="Bearer the-token-of-the-test")) as web:
        with pytest.raises(StoreUnauthorised):
            reader.rows(files(f"{web.url}/a.csv"))
        own = rk.Download(auth=rk.sources.Bearer("env:TEST_TOKEN"))
        assert reader.rows(files(f"{web.url}/a.csv", access=own)) == [(1, "x")]


def test_a_server_without_head_and_a_file_without_size(reader: Reader) -> None:
    """What HEAD does not tell is told by the beginning of the file."""
    with served(Web({"/a.csv": b"id,name\n1,x\n"}, no_head=True)) as web:
        assert reader.rows(files(f"{web.url}/a.csv")) == [(1, "x")]
    with served(Web({"/a.csv": b"id,name\n1,x\n"}, sized=False, ranges=False)) as web:
        assert reader.rows(files(f"{web.url}/a.csv")) == [(1, "x")]


def test_a_store_that_is_silent_or_not_there_is_told(reader: Reader, s3: Seaweed, access: S3, bucket: str) -> None:
    """A deadline ends a request that hangs; a port where nobody listens is one clear error."""
    with Cutter(s3.port) as cutter:
        cutter.fall_silent()
        here = dataclasses.replace(access, endpoint=f"http://127.0.0.1:{cutter.port}")
        hasty = rk.Resilience(retry=rk.Retry(attempts=1), breaker=None, deadline_seconds=1.0)
        with pytest.raises(rk.errors.DeadlineExceeded) as late:
            reader.rows(files(f"s3://{bucket}/a.csv", access=here, resilience=hasty))
        assert late.value.code == "RK-4003"
    nobody = dataclasses.replace(access, endpoint="http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable):
        reader.rows(files(f"s3://{bucket}/a.csv", access=nobody, resilience=FEW))


def test_empty_objects(reader: Reader, store: ObjectStore, access: S3, bucket: str) -> None:
    """An empty NDJSON has no rows; an empty CSV has not even a header."""
    store.put("a.ndjson", b"")
    store.put("a.csv", b"")
    assert reader.rows(files(f"s3://{bucket}/a.ndjson", access=access)) == []
    with pytest.raises(SourceError):
        reader.rows(files(f"s3://{bucket}/a.csv", access=access))


def test_what_cannot_be_is_refused_when_it_is_declared(access: S3) -> None:
    """Places of several kinds, a format nobody can tell, a store without access, a secret in a URL."""
    for patterns, options in (
        (("s3://bucket/a.csv",), {}),
        (("s3://bucket/a.csv", "b.csv"), {"access": access}),
        (("s3://bucket/*",), {"access": access}),
        (("a.csv",), {"access": access}),
        (("ftp://host/a.csv",), {}),
        (("s3://bucket",), {"access": access, "format": "csv"}),
        (("https://a.example/x.csv", "https://b.example/x.csv"), {}),
    ):
        with pytest.raises(DeclarationError):
            files(*patterns, **options)
    with pytest.raises(rk.errors.SecretLiteral) as caught:
        files("https://a.example/x.csv?sig=c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)
    assert isinstance(SourceMissing("x"), SourceError)


def test_the_stores_of_a_source_are_declared(access: S3) -> None:
    """`endpoints` names what it connects to, for firewalls; a folder has none."""
    source = files("s3://bucket/a.csv", access=rk.S3(anonymous=True, region="eu-central-1"))
    assert [str(each) for each in source.endpoints()] == ["s3.eu-central-1.amazonaws.com:443"]
    azure = files("az://box/a.csv", access=rk.Azure(account="acc", account_key="env:KEY"))
    assert [str(each) for each in azure.endpoints()] == ["acc.blob.core.windows.net:443"]
    google = files("gs://bucket/a.csv", access=rk.GCS(service_account="file:/key.json"))
    assert [str(each) for each in google.endpoints()] == ["storage.googleapis.com:443", "oauth2.googleapis.com:443"]
    assert list(files("a.csv").endpoints()) == []
