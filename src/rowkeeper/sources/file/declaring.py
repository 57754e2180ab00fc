"""`rk.sources.files`: what a person writes, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.sources.file.documents import path_of
from rowkeeper.sources.file.fallback import LAST_GOOD, FallbackSource
from rowkeeper.sources.file.finding import format_of
from rowkeeper.sources.file.reading import MODES
from rowkeeper.sources.file.source import ChangePolicy, FilesSource
from rowkeeper.stores import StoreAccess, address_of, check_access

Format = Literal["auto", "csv", "ndjson", "json", "parquet", "avro"]


def files(
    *patterns: str,
    format: Format = "auto",
    null_values: Sequence[str] = ("",),
    encoding: str = "utf-8",
    delimiter: str = ",",
    records: str | None = None,
    access: StoreAccess | None = None,
    on_change: ChangePolicy = "reject",
    fallback: FilesSource | Literal["last_good"] | None = None,
    resilience: Resilience | None = None,
) -> FilesSource | FallbackSource:
    """Files: CSV, NDJSON, JSON, Parquet or Avro; plain, `.gz`, `.zst`, or inside a `.zip`; wherever they lie.

    Each file (and each member of a zip) is a partition: one that was loaded is not loaded again. It is known by its
    size and the SHA-256 of its bytes; in an object store or on a web server by its size and its ETag (without one, when
    it was modified; without that, by its bytes as well).

    Args:
        patterns: paths, with `*`, `?`, `[...]` and `**`; relative ones start from the pipeline file's folder. Or URLs:
            `s3://`, `gs://` or `az://` with a bucket and a pattern, `https://` of one file each.
        format: "auto" goes by the files' names; a `.json` holds lines, or a document if it begins with `[`.
        null_values: what stands for null in a CSV, where it is not quoted.
        encoding: of a CSV.
        delimiter: of a CSV.
        records: where the array of records is in a JSON document: `$.data.items[*]`. None is the document itself.
        access: how another machine is reached, and who we are there: `rk.S3(...)`, `rk.GCS(...)`, `rk.Azure(...)`,
            `rk.Download(...)`.
        on_change: what to do with a file that changed since it was loaded: `reject` fails the run, `reload` loads it in
            the place of its former rows, `ignore` leaves it.
        fallback: what to do where the files cannot be read: another source of the same files in another place is read
            instead (a file that is in both is known by its content, and loaded once); `last_good` leaves what was
            loaded last, and the run finds nothing new. Either is told with the run's report.
        resilience: how reading survives errors of the disk or the mount that may pass (an I/O error, a stale handle, a
            time-out): `rk.Resilience(...)`. A file that breaks off is opened anew, and read on from the row where it
            did. None tries three times within some seconds, has no breaker, and sets no time. On other machines it is
            for each request; None is six tries within ten minutes, and a breaker.

    Raises:
        DeclarationError: an argument is not possible.
    """
    if not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise DeclarationError("a files source needs a path or pattern", hint='rk.sources.files("data/*.csv")')
    if on_change not in ("reject", "reload", "ignore"):
        raise DeclarationError(
            f"on_change={on_change!r} is no policy", hint=one_of(on_change, ("reject", "reload", "ignore"))
        )
    if format not in ("auto", *MODES):
        raise DeclarationError(f"format={format!r} is not known", hint=one_of(format, ("auto", *MODES)))
    format = _format_of_records(format, records)
    access, patterns = _placed(patterns, format, access)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise DeclarationError(f"delimiter={delimiter!r} is no delimiter", hint='one ASCII character, such as ";"')
    try:
        "".encode(encoding)
    except LookupError as error:
        raise DeclarationError(f"encoding={encoding!r} is not known", hint='such as "latin-1"') from error
    if isinstance(null_values, str):
        raise DeclarationError("null_values is one string", hint=f"give a list: null_values=[{null_values!r}]")
    check_resilience(resilience, hedges=False)
    source = FilesSource(
        tuple(patterns),
        format,
        tuple(null_values),
        encoding,
        delimiter,
        on_change,
        records=records,
        access=access,
        resilience=resilience,
    )
    return source if fallback is None else _with_fallback(source, fallback)


def _with_fallback(source: FilesSource, fallback: FilesSource | Literal["last_good"]) -> FallbackSource:
    if fallback != LAST_GOOD and not isinstance(fallback, FilesSource):
        raise DeclarationError(
            f"fallback={fallback!r} is no source to fall back on",
            hint='fallback=rk.sources.files("replica/*.csv"), or fallback="last_good"',
        )
    if not isinstance(fallback, FilesSource):
        return FallbackSource(source, "last_good")
    if source.is_remote or fallback.is_remote:
        raise DeclarationError(
            "files on other machines are known by what their store says, so none elsewhere can be told to be the same",
            hint='fallback="last_good"',
        )
    return FallbackSource(source, fallback.named_like(source))


def _format_of_records(format: Format, records: str | None) -> Format:
    """A path to records is for JSON documents, and makes documents of `.json` files."""
    if records is None:
        return format
    path_of(records)
    if format not in ("auto", "json"):
        raise DeclarationError(f"records= is for JSON documents, and format={format!r} has none", hint='format="json"')
    return "json"


def _placed(
    patterns: Sequence[str], format: Format, access: StoreAccess | None
) -> tuple[StoreAccess | None, tuple[str, ...]]:
    """Who we are where the files lie, and their addresses, which are all of one kind."""
    addresses = [address_of(each) for each in patterns]
    if len({each.scheme for each in addresses}) > 1:
        raise DeclarationError(
            "the files are in places of several kinds", hint="a source has one kind: make a pipeline of each"
        )
    checked = check_access(addresses[0], access)
    if checked is None:
        return None, tuple(each.path for each in addresses)
    if any(not each.path for each in addresses):
        raise DeclarationError("a bucket alone names no files", hint='such as "s3://bucket/folder/*.csv"')
    if len({place_of_url(each.path) for each in addresses if not each.is_cloud}) > 1:
        raise DeclarationError("the files are on several web servers", hint="make a pipeline of each")
    if format == "auto":
        format_of(patterns)
    return checked, tuple(patterns)
