"""`rk.sources.files`: what a person writes, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.sources.file.fallback import LAST_GOOD, FallbackSource
from rowkeeper.sources.file.reading import MODES
from rowkeeper.sources.file.source import ChangePolicy, FilesSource


def files(
    *patterns: str,
    format: Literal["auto", "csv", "ndjson", "parquet"] = "auto",
    null_values: Sequence[str] = ("",),
    encoding: str = "utf-8",
    delimiter: str = ",",
    on_change: ChangePolicy = "reject",
    fallback: FilesSource | Literal["last_good"] | None = None,
    resilience: Resilience | None = None,
) -> FilesSource | FallbackSource:
    """Local files: CSV, NDJSON or Parquet; plain, `.gz`, `.zst`, or inside a `.zip`.

    Each file (and each member of a zip) is a partition, known by its size and the SHA-256 of its bytes: one that was
    loaded is not loaded again.

    Args:
        patterns: paths, with `*`, `?`, `[...]` and `**`; relative ones start from the pipeline file's folder.
        format: "auto" goes by the files' names.
        null_values: what stands for null in a CSV, where it is not quoted.
        encoding: of a CSV.
        delimiter: of a CSV.
        on_change: what to do with a file that changed since it was loaded: `reject` fails the run, `reload` loads it in
            the place of its former rows, `ignore` leaves it.
        fallback: what to do where the files cannot be read: another source of the same files in another place is read
            instead (a file that is in both is known by its content, and loaded once); `last_good` leaves what was
            loaded last, and the run finds nothing new. Either is told with the run's report.
        resilience: how reading survives errors of the disk or the mount that may pass (an I/O error, a stale handle, a
            time-out): `rk.Resilience(...)`. A file that breaks off is opened anew, and read on from the row where it
            did. None tries three times within some seconds, has no breaker, and sets no time.

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
        raise DeclarationError(
            f"format={format!r} is not known", hint=one_of(format, ("auto", "csv", "ndjson", "parquet"))
        )
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
        tuple(patterns), format, tuple(null_values), encoding, delimiter, on_change, resilience=resilience
    )
    if fallback is None:
        return source
    if fallback != LAST_GOOD and not isinstance(fallback, FilesSource):
        raise DeclarationError(
            f"fallback={fallback!r} is no source to fall back on",
            hint='fallback=rk.sources.files("replica/*.csv"), or fallback="last_good"',
        )
    return FallbackSource(source, fallback.named_like(source) if isinstance(fallback, FilesSource) else "last_good")
