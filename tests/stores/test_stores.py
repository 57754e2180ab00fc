"""What every store does, whether it is a folder or a bucket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.errors import ObjectChanged, ObjectExists, ObjectMissing
from rowkeeper.stores import S3, FileStore, Folder
from rowkeeper.stores.objects import ObjectStore

ODD = "odd/ä b#1%2 +&=.csv"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    if request.param == "folder":
        with Folder(tmp_path / "store") as folder:
            yield folder
    else:
        store: ObjectStore = request.getfixturevalue("store")
        yield store


def test_what_was_put_is_read_and_listed(place: FileStore) -> None:
    """Bytes come back, whole and by range; names with any letters; listings have size and version."""
    place.put("a/one.csv", b"0123456789")
    place.put(ODD, b"x")
    place.put("a/empty", b"")
    assert place.read("a/one.csv") == b"0123456789"
    assert place.read("a/one.csv", start=3, size=4) == b"3456"
    assert place.read("a/empty") == b""
    assert [(item.name, item.size) for item in place.list()] == [("a/empty", 0), ("a/one.csv", 10), (ODD, 1)]
    assert [item.name for item in place.list("a/")] == ["a/empty", "a/one.csv"]
    assert place.read(ODD) == b"x"
    found = next(item for item in place.list("a/") if item.size)
    assert found.is_same(place.head("a/one.csv"))


def test_a_file_is_made_only_once(place: FileStore) -> None:
    """Of two that make a file if there is none, one is told that there is."""
    place.put("manifest", b"first", if_absent=True)
    with pytest.raises(ObjectExists) as caught:
        place.put("manifest", b"second", if_absent=True)
    assert caught.value.code == "RK-2147"
    assert place.read("manifest") == b"first"


def test_a_file_is_replaced_only_if_it_is_the_same(place: FileStore) -> None:
    """A write on condition of a version fails once somebody else was there."""
    place.put("manifest", b"first")
    seen = place.head("manifest")
    place.put("manifest", b"second", if_same=seen)
    with pytest.raises(ObjectChanged):
        place.put("manifest", b"third", if_same=seen)
    assert place.read("manifest") == b"second"


def test_a_reader_notices_that_a_file_changed(place: FileStore) -> None:
    """What is read of a file that was looked at is of that file, or an error."""
    place.put("data", b"a" * 100)
    seen = place.head("data")
    place.put("data", b"b" * 100)
    with pytest.raises(ObjectChanged):
        place.read("data", same=seen)


def test_written_in_pieces_it_appears_whole_or_not_at_all(place: FileStore) -> None:
    """A file is there when the writing is over; one whose writing fails is not."""
    with place.writing("big/one.bin") as out:
        for number in range(20):
            out.write(bytes([number]) * 1_000_000)
        assert not list(place.list("big/"))
    assert out.item.size == 20_000_000
    with place.open("big/one.bin", same=out.item) as file:
        assert all(file.read(1_000_000) == bytes([number]) * 1_000_000 for number in range(20))
        assert file.read(1) == b""
        file.seek(-3, 2)
        assert file.read() == bytes([19]) * 3
    with contextlib.suppress(ZeroDivisionError), place.writing("big/two.bin") as out:
        out.write(b"x" * 20_000_000)
        raise ZeroDivisionError
    assert [item.name for item in place.list("big/")] == ["big/one.bin"]


def test_copied_and_deleted(place: FileStore) -> None:
    """A copy is the same; what is deleted is gone, and deleting it again is no error."""
    place.put("one", b"content")
    place.copy("one", "two")
    place.delete("one")
    place.delete("one")
    assert place.read("two") == b"content"
    with pytest.raises(ObjectMissing) as caught:
        place.head("one")
    assert caught.value.code == "RK-2145"


def test_nothing_is_taken_from_the_environment(
    store: ObjectStore, access: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that AWS's own tools read change nothing: neither who we are, nor where we go."""
    for name, text in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "else",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_REGION": "mars-1",
        "AWS_SKIP_SIGNATURE": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "*",
    }.items():
        monkeypatch.setenv(name, text)
    store.put("a", b"1")
    assert store.read("a") == b"1"
