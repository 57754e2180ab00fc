"""Compressed files are read to their end, or it is said why not: never a silent end."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from rowkeeper.errors import SourceError
from rowkeeper.sources import files
from tests.sources.reading import batches, rows

CSV = b"p,q\n" + b"".join(b"%d,%s\n" % (number, os.urandom(8).hex().encode()) for number in range(20_000))
PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstd.compress}


def zipped(*members: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", PACK)
def test_members_one_after_another_are_one_file(tmp_path: Path, kind: str):
    """Concatenated gz members and zst frames are read wholly."""
    pack = PACK[kind]
    path = written(tmp_path / f"a.csv.{kind}", pack(CSV) + pack(b"7,8\n") + pack(b"9,10\n"))
    assert len(rows(path)) == 20_002


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9, 1.0])
def test_a_stream_that_ends_too_soon_is_an_error(tmp_path: Path, kind: str, share: float):
    """Cut anywhere, by one byte too: the error says that it is truncated, and after which row, where any came."""
    packed = PACK[kind](CSV)
    path = written(tmp_path / f"a.csv.{kind}", packed[: int((len(packed) - 1) * share)])
    with pytest.raises(SourceError, match=r"is truncated|is empty") as caught:
        batches(path, batch_rows=100)
    assert "a.csv" in caught.value.what


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("tail", [b"garbage", b"\x1f", b"\x28\xb5"])
def test_whatever_follows_the_last_member_is_an_error(tmp_path: Path, kind: str, tail: bytes):
    """Garbage, or the first bytes of a member that was cut off."""
    with pytest.raises(SourceError, match=r"is truncated|is damaged"):
        batches(written(tmp_path / f"a.csv.{kind}", PACK[kind](CSV) + tail))


@pytest.mark.parametrize("kind", [*PACK, "zip"])
def test_a_flipped_byte_is_an_error(tmp_path: Path, kind: str):
    """Checksums are verified, gz, zst and zip alike (zst has one only if its writer asked for it)."""
    checked = {zstd.CompressionParameter.checksum_flag: 1}
    packers = {"gz": gzip.compress, "zst": lambda data: zstd.compress(data, options=checked)}
    packed = bytearray(packers.get(kind, lambda data: zipped(("a.csv", data)))(CSV))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises(SourceError):
        batches(written(tmp_path / (f"a.csv.{kind}" if kind != "zip" else "a.zip"), bytes(packed)))


def test_each_member_of_a_zip_is_a_partition(tmp_path: Path):
    """Of a known format, in any folder; what macOS packs beside them is no data."""
    path = written(
        tmp_path / "a.zip", zipped(("x.csv", CSV), ("d/y.csv", CSV), ("READ.md", b"hi"), ("__MACOSX/._x.csv", b"\0"))
    )
    plan = files("a.zip").located(tmp_path).plan({}, whole=False)
    assert [each.key for each in plan.load] == ["a.zip!d/y.csv", "a.zip!x.csv"]
    assert len(rows(path)) == 40_000


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_name_twice_is_refused(tmp_path: Path):
    """A zip may hold two files of one name; zipfile opens the last and hides the other."""
    with pytest.raises(SourceError, match=r"x\.csv 2 times"):
        batches(written(tmp_path / "a.zip", zipped(("x.csv", CSV), ("x.csv", CSV))))


def test_zips_that_cannot_be_read_are_named(tmp_path: Path):
    """Encrypted, truncated, or with nothing of a known format."""
    encrypted = bytearray(zipped(("x.csv", CSV)))
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(SourceError, match="is encrypted"):
        batches(written(tmp_path / "a.zip", bytes(encrypted)))
    with pytest.raises(SourceError, match="damaged or truncated"):
        batches(written(tmp_path / "a.zip", zipped(("x.csv", CSV))[:-30]))
    with pytest.raises(SourceError, match="no file of a known format"):
        batches(written(tmp_path / "a.zip", zipped(("x.md", CSV))))
