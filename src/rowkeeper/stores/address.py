"""Where files lie, as it is written: `s3://bucket/x/*.csv`, `gs://`, `az://`, `https://`, `file://`, a path."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import unquote, urlsplit

from rowkeeper.configuration.literal import is_named_like_a_secret, refuse_url
from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import DeclarationError, SecretLiteral

CLOUDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}
WEB = ("https", "http")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{0,254}")
PARTS_FORBIDDEN = ("", ".", "..")


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A place and what is meant in it.

    Attributes:
        scheme: `s3`, `gs`, `az`, `https`, `http`, or `file`.
        bucket: of an object store; otherwise empty.
        path: below the bucket, or of this machine, or the whole URL; it may hold a pattern.
    """

    scheme: str
    bucket: str
    path: str

    @property
    def is_remote(self) -> bool:
        """Whether it is on another machine."""
        return self.scheme != "file"

    @property
    def is_cloud(self) -> bool:
        """Whether it is in an object store."""
        return bool(self.bucket)


def address_of(text: str) -> Address:
    """Takes an address apart. What has no scheme is a path of this machine.

    Raises DeclarationError for a scheme that nobody knows, or a bucket that has no name; SecretLiteral for a URL with a
    secret in it.
    """
    match = SCHEME.fullmatch(text)
    if match is None:
        return Address("file", "", text)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        host, stroke, path = rest.partition("/")
        if not stroke or host not in ("", "localhost"):
            raise DeclarationError("a file URL names another machine, or no path", hint="such as file:///data/in.csv")
        return Address("file", "", unquote(stroke + path))
    if scheme in WEB:
        return Address(scheme, "", _checked(text))
    if scheme not in CLOUDS:
        refuse_url(text, "a URL of files", hint="give credentials beside it, by reference: access=")
        raise DeclarationError(
            f"{scheme}:// is no place for files that is known", hint="s3://, gs://, az://, https://, or a path"
        )
    bucket, _, path = rest.partition("/")
    if not BUCKET.fullmatch(bucket):
        raise DeclarationError(
            f"a {scheme}:// URL names no bucket that there can be",
            hint=f"such as {scheme}://bucket/folder/*.parquet; credentials are given beside it, by reference",
        )
    for part in path.rstrip("/").split("/") if path else ():
        if part in PARTS_FORBIDDEN:
            raise DeclarationError(
                f"a {scheme}:// URL has a part that is empty, or only dots", hint="write the name as the store has it"
            )
    return Address(CLOUDS[scheme], bucket, path)


def _checked(url: str) -> str:
    place_of_url(url)
    for pair in urlsplit(url).query.split("&"):
        name = unquote(pair.partition("=")[0])
        if is_named_like_a_secret(name):
            raise SecretLiteral(
                "a URL of a file holds what looks like a secret in its query",
                hint="give it by reference: access=rk.Download(auth=rk.sources.HeaderKey(...))",
            )
    return url
