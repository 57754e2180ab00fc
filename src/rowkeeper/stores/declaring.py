"""How a store is reached, and who we are there: declared with references to secrets and never with secrets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from rowkeeper.configuration.literal import is_named_like_a_secret
from rowkeeper.configuration.reference import is_reference, parse
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.security.httpauth import Authentication
from rowkeeper.security.tls import TLS
from rowkeeper.stores.address import Address

GOOGLE = "https://storage.googleapis.com"
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"


class Cloud(Protocol):
    """What is declared of an object store, whichever it is."""

    @property
    def tls(self) -> TLS | None:
        """How connections are secured; None is as the settings say."""
        ...

    @property
    def plaintext(self) -> bool:
        """Whether it may be reached without TLS off this machine."""
        ...

    def url(self, bucket: str) -> str:
        """Scheme, host and port of the requests for a bucket."""
        ...

    def endpoints(self, bucket: str) -> tuple[Endpoint, ...]:
        """The places that are connected to."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """JSON values, without secrets and without what has no part in which files are there."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """Amazon S3, or a store that speaks its protocol (MinIO, Ceph, SeaweedFS, R2, Google's with HMAC keys).

    Args:
        access_key, secret_key: references to the two halves of a key, such as `env:AWS_ACCESS_KEY_ID`.
        session_token: a reference to the third part of a temporary one.
        anonymous: no key at all, for what everybody may read.
        region: as the store names it.
        endpoint: its URL; None is Amazon's of the region.
        virtual_hosted: the bucket is part of the host's name, as in `https://BUCKET.s3.example.com`; otherwise it is
            the beginning of the path, which Amazon understands as well.
        tls: how connections are secured: `rk.TLS(...)`. None is as the settings say.
        plaintext: it may be reached without TLS off this machine.

    Nothing is taken from the environment, from files in the home folder, or from a metadata service.

    Raises DeclarationError, and SecretLiteral for what is no reference.
    """

    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    anonymous: bool = False
    region: str = "us-east-1"
    endpoint: str | None = None
    virtual_hosted: bool = False
    tls: TLS | None = None
    plaintext: bool = False

    def __post_init__(self) -> None:
        _check_references(self, "access_key", "secret_key", "session_token")
        if (self.access_key is None) != (self.secret_key is None):
            raise DeclarationError("S3: half a key", hint="give access_key= and secret_key=, both as references")
        _check_one(self, "access_key")
        _check_endpoint("S3", self.endpoint)

    def url(self, bucket: str) -> str:
        """Implements Cloud."""
        url = (self.endpoint or f"https://s3.{self.region}.amazonaws.com").rstrip("/")
        scheme, _, host = url.partition("://")
        return f"{scheme}://{bucket}.{host}" if self.virtual_hosted else url

    def endpoints(self, bucket: str) -> tuple[Endpoint, ...]:
        """Implements Cloud."""
        return (_endpoint(self.url(bucket)),)

    def describe(self) -> Mapping[str, Any]:
        """Implements Cloud."""
        return {"kind": "s3", "endpoint": self.endpoint, "region": self.region}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GCS:
    """Google Cloud Storage.

    Args:
        service_account: a reference to the JSON of a service account's key, such as `file:/run/secrets/key.json`.
        token: a reference to an access token, which is not renewed.
        anonymous: no credentials, for what everybody may read.
        endpoint: another URL than Google's.
        tls, plaintext: as for `S3`.

    Raises as `S3`.
    """

    service_account: str | None = None
    token: str | None = None
    anonymous: bool = False
    endpoint: str | None = None
    tls: TLS | None = None
    plaintext: bool = False

    def __post_init__(self) -> None:
        _check_references(self, "service_account", "token")
        _check_one(self, "service_account", "token")
        _check_endpoint("GCS", self.endpoint)

    def url(self, bucket: str) -> str:
        """Implements Cloud."""
        del bucket
        return (self.endpoint or GOOGLE).rstrip("/")

    def endpoints(self, bucket: str) -> tuple[Endpoint, ...]:
        """Implements Cloud."""
        tokens = () if self.service_account is None else (_endpoint(GOOGLE_TOKENS),)
        return (_endpoint(self.url(bucket)), *tokens)

    def describe(self) -> Mapping[str, Any]:
        """Implements Cloud."""
        return {"kind": "gcs", "endpoint": self.endpoint}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Azure:
    """Azure Blob Storage.

    Args:
        account: the name of the storage account.
        account_key: a reference to its key.
        sas_token: a reference to a shared access signature, as it stands behind the `?` of a URL.
        anonymous: no credentials, for what everybody may read.
        endpoint: another URL than `https://ACCOUNT.blob.core.windows.net`.
        tls, plaintext: as for `S3`.

    Raises as `S3`.
    """

    account: str
    account_key: str | None = None
    sas_token: str | None = None
    anonymous: bool = False
    endpoint: str | None = None
    tls: TLS | None = None
    plaintext: bool = False

    def __post_init__(self) -> None:
        _check_references(self, "account_key", "sas_token")
        _check_one(self, "account_key", "sas_token")
        _check_endpoint("Azure", self.endpoint)

    def url(self, bucket: str) -> str:
        """Implements Cloud."""
        del bucket
        return (self.endpoint or f"https://{self.account}.blob.core.windows.net").rstrip("/")

    def endpoints(self, bucket: str) -> tuple[Endpoint, ...]:
        """Implements Cloud."""
        return (_endpoint(self.url(bucket)),)

    def describe(self) -> Mapping[str, Any]:
        """Implements Cloud."""
        return {"kind": "azure", "account": self.account, "endpoint": self.endpoint}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Files that a server gives out by HTTP.

    Args:
        auth: how we say who we are: `rk.sources.Bearer(...)` and its like.
        headers: sent with each request; no secrets.
        tls, plaintext: as for `S3`.

    Raises as `S3`.
    """

    auth: Authentication | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tls: TLS | None = None
    plaintext: bool = False

    def __post_init__(self) -> None:
        for name, text in self.headers.items():
            if is_named_like_a_secret(name) or is_reference(text):
                raise DeclarationError(
                    f"Download: the header {name} looks like a secret",
                    hint="secrets are sent by auth=, such as rk.sources.HeaderKey",
                )

    def describe(self) -> Mapping[str, Any]:
        """JSON values, without secrets."""
        return {
            "kind": "download",
            "headers": dict(self.headers),
            "auth": None if self.auth is None else dict(self.auth.describe()),
        }


StoreAccess = S3 | GCS | Azure | Download
FOR = {"s3": S3, "gs": GCS, "az": Azure, "https": Download, "http": Download}


def check_access(address: Address, access: StoreAccess | None) -> StoreAccess | None:
    """What is declared of an address's store, if it fits.

    Returns None for files of this machine. Raises DeclarationError.
    """
    if not address.is_remote:
        if access is not None:
            raise DeclarationError("access= is for stores on other machines, and a path is of this one")
        return None
    fitting = FOR[address.scheme]
    if access is None and fitting is Download:
        return Download()
    if not isinstance(access, fitting):
        raise DeclarationError(
            f"{address.scheme}:// needs access=rk.{fitting.__name__}(...)",
            hint="it says who we are there, by references; anonymous=True is nobody. Nothing is taken from the "
            "environment by itself",
        )
    return access


def _endpoint(url: str) -> Endpoint:
    _, host, port = place_of_url(url)
    return Endpoint(host, port, why="files")


def _check_references(given: Any, *names: str) -> None:
    for name in names:
        text = getattr(given, name)
        if text is not None:
            parse(text, f"{type(given).__name__}({name}=)")


def _check_one(given: Any, *names: str) -> None:
    """Exactly one way to say who we are."""
    kind = type(given).__name__
    ways = [name for name in names if getattr(given, name) is not None]
    if len(ways) + given.anonymous != 1:
        several = len(ways) + given.anonymous > 1
        raise DeclarationError(
            f"{kind}: {'more than one way' if several else 'no way'} to say who we are",
            hint=f"one of {', '.join(f'{name}=' for name in names)}, a reference; or anonymous=True",
        )


def _check_endpoint(kind: str, url: str | None) -> None:
    if url is None:
        return
    scheme, _, _ = place_of_url(url)
    if scheme not in ("http", "https") or "?" in url or url.rstrip("/").count("/") != 2:
        raise DeclarationError(
            f"{kind}: endpoint= is a URL with scheme, host and port only", hint="https://minio.example:9000"
        )
