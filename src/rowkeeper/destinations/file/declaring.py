"""The declaration of a table of files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from rowkeeper.destinations.declared import check_columns, names_of
from rowkeeper.destinations.file import formats, packing
from rowkeeper.destinations.file.formats import FormatName
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of
from rowkeeper.protocols import DuplicatePolicy, Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.security.tls import TLS
from rowkeeper.stores import GCS, S3, Azure, StoreAccess, address_of, check_access, endpoints_of

if TYPE_CHECKING:
    from rowkeeper.destinations.file.session import FilesSession

EXTENSIONS = {"parquet": ".parquet", "arrow": ".arrow", "csv": ".csv", "ndjson": ".ndjson"}
CLOUDS: Mapping[str, type[S3 | GCS | Azure]] = {"S3": S3, "GCS": GCS, "Azure": Azure}
PATTERN = frozenset("*?[]")


@dataclasses.dataclass(frozen=True)
class FilesDestination:
    """A table of files. Guarantee: exactly once, for readers who go by its manifest.

    Made by `files()`, which says what each attribute means.
    """

    url: str
    format: FormatName
    write_mode: WriteMode
    partition_by: tuple[str, ...]
    key: tuple[str, ...]
    duplicates: DuplicatePolicy | None
    compression: str
    rows_per_file: int | None
    encrypt_for: tuple[str, ...]
    identity: str | None
    access: StoreAccess | None
    fallback: Fallback | None = None
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def target(self) -> str:
        """Names the table over all pipelines."""
        return f"files:{self.url}"

    @property
    def compresses_within(self) -> bool:
        """Whether the format compresses its own parts; otherwise the whole file is."""
        return self.format in formats.INNER

    @property
    def extension(self) -> str:
        """Of the names of its files."""
        outer = "" if self.compresses_within else packing.EXTENSIONS.get(self.compression, "")
        return EXTENSIONS[self.format] + outer + (packing.AGE if self.encrypt_for else "")

    def settings(self) -> Mapping[str, Any]:
        """What a manifest says of how its files are made."""
        return {
            "format": self.format,
            "compression": self.compression,
            "encrypted_for": list(self.encrypt_for),
            "partition_by": list(self.partition_by),
        }

    def located(self, base: Path) -> Self:
        """The same, with a path of this machine made absolute."""
        address = address_of(self.url)
        return self if address.is_remote else dataclasses.replace(self, url=str((base / address.path).absolute()))

    def endpoints(self) -> Sequence[Endpoint]:
        """The places that are connected to; none for a folder of this machine."""
        return endpoints_of(address_of(self.url), self.access)

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive; references stand in it, and no secrets."""
        names = [field.name for field in dataclasses.fields(self) if field.compare and field.name != "access"]
        found = {"kind": "files", **{name: getattr(self, name) for name in names}}
        if self.access is not None:
            access = {name: value for name, value in dataclasses.asdict(self.access).items() if value is not None}
            found["access"] = {"kind": type(self.access).__name__, **_as_json(access)}
        return found

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {field.name: description.get(field.name) for field in dataclasses.fields(cls) if field.compare}
        lists = {name: tuple(values[name] or ()) for name in ("partition_by", "key", "encrypt_for")}
        access = dict(values.pop("access") or {})
        kind = access.pop("kind", None)
        if "tls" in access:
            access["tls"] = TLS(**access["tls"])
        return cls(**{**values, **lists}, access=None if kind is None else CLOUDS[kind](**access))  # type: ignore[arg-type]

    def connect(self, site: Site, schema: pa.Schema | None) -> FilesSession:
        """Opens the table for one run, or for inspection where `schema` is None.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        from rowkeeper.destinations.file.session import FilesSession  # noqa: PLC0415 - the engine's client comes along

        if schema is not None:
            self._check_columns(schema)
        return FilesSession(self, site, schema)

    def _check_columns(self, schema: pa.Schema) -> None:
        check_columns(self.target, {"partition_by": self.partition_by, "key": self.key}, schema.names)
        for name in self.key:
            if schema.field(name).nullable:
                raise DeclarationError(
                    f"the key column {name} may be null, and null identifies nothing",
                    hint="make the field required in the contract",
                )


def _as_json(access: Mapping[str, Any]) -> dict[str, Any]:
    """Paths of certificates as text."""
    found = dict(access)
    if "tls" in found:
        found["tls"] = {
            name: list(value) if isinstance(value, (list, tuple)) else None if value is None else str(value)
            for name, value in found["tls"].items()
        }
    return found


def files(
    url: str,
    *,
    format: FormatName = "parquet",
    write: WriteMode = "append",
    partition_by: Sequence[str] = (),
    key: Sequence[str] = (),
    duplicates: DuplicatePolicy | None = None,
    compression: str | None = None,
    rows_per_file: int | None = None,
    encrypt_for: Sequence[str] = (),
    identity: str | None = None,
    access: StoreAccess | None = None,
    resilience: Resilience | None = None,
    fallback: Fallback | None = None,
) -> FilesDestination:
    """A table of files, in which a run appears at once.

    Args:
        url: the folder that is the table: a path (relative to the pipeline file), or `s3://bucket/folder`, `gs://`,
            `az://`.
        format: `parquet`, `arrow` (an IPC file), `csv` or `ndjson`.
        write: `append` adds rows; `replace` makes the table exactly what the run reads.
        partition_by: columns by whose values files are put into folders of their own: `country=no/`. The columns stay
            in the files as well.
        key: the columns that identify a row; they must not be optional.
        duplicates: what becomes of a row whose key an earlier row of the same run has: `skip` drops it, `quarantine`
            sets it aside. Rows of earlier runs are not compared. None looks for no duplicates.
        compression: of `parquet` `zstd` (the default), `snappy`, `gzip` or `none`; of `arrow` `zstd` (the default),
            `lz4` or `none`; of `csv` and `ndjson` `none` (the default), `gzip` or `zstd`.
        rows_per_file: how many rows a file has at most; None begins another file only where one gets larger than about
            64 MiB before it is compressed as a whole.
        encrypt_for: age recipients (`age1...`), public keys: files are encrypted for all of them. It
            needs `rowkeeper[age]`.
        identity: a reference to a private key of one of them, so that `rowkeeper verify` can look at the rows; without
            it, it looks at the encrypted files alone.
        access: who we are in an object store: `rk.S3(...)`, `rk.GCS(...)`, `rk.Azure(...)`. Needs `rowkeeper[objects]`.
        resilience: how requests to an object store survive: `rk.Resilience(...)`.
        fallback: what is done with a run when the place cannot be reached: None lets it fail; `spool` seals what it
            read into encrypted files under the state folder, and publishes it as soon as that is possible.

    Raises:
        ConfigurationError: the arguments do not fit together.
        SecretLiteral: a secret stands where a reference belongs.
    """
    made = FilesDestination(
        url=url,
        format=format,
        write_mode=write,
        partition_by=names_of("partition_by", partition_by),
        key=names_of("key", key),
        duplicates=duplicates,
        compression=compression if compression is not None else formats.compressions(format)[0],
        rows_per_file=rows_per_file,
        encrypt_for=names_of("encrypt_for", encrypt_for),
        identity=identity,
        access=check_access(address_of(url), access),
        resilience=resilience,
        fallback=fallback,
    )
    _check(made)
    return dataclasses.replace(made, url=_tidy(made.url))


def _tidy(url: str) -> str:
    """One name for one place."""
    address = address_of(url)
    return (
        f"{address.scheme}://{address.bucket}/{address.path.strip('/')}".rstrip("/")
        if address.is_remote
        else address.path
    )


def _check(made: FilesDestination) -> None:
    check_resilience(made.resilience, hedges=False)
    _check_choice("format", made.format, formats.FORMATS)
    _check_choice("compression", made.compression, formats.compressions(made.format))
    _check_choice("write", made.write_mode, ("append", "replace"))
    if made.duplicates is not None:
        _check_choice("duplicates", made.duplicates, ("skip", "quarantine"))
    if made.fallback is not None:
        _check_choice("fallback", made.fallback, ("spool",))
    if (made.duplicates is None) != (not made.key):
        raise DeclarationError(
            "key= and duplicates= go together", hint='such as key=["id"], duplicates="skip"; or leave out both'
        )
    if made.rows_per_file is not None and (isinstance(made.rows_per_file, bool) or made.rows_per_file < 1):
        raise DeclarationError(f"rows_per_file={made.rows_per_file!r} is no number of rows", hint="1 or more")
    if made.identity is not None and not made.encrypt_for:
        raise DeclarationError("identity= is for encrypted files", hint='give encrypt_for=["age1..."], or leave it out')
    _check_place(made.url)
    packing.check_recipients(made.encrypt_for)
    if made.identity is not None:
        packing.check_reference(made.identity)


def _check_choice(argument: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise DeclarationError(
            f"{argument}={given!r} is none that a table of files has", hint=one_of(str(given), known)
        )


def _check_place(url: str) -> None:
    address = address_of(url)
    if (address.is_remote and not address.is_cloud) or not address.path or PATTERN & set(address.path):
        raise DeclarationError(
            "the url of a table of files is no folder that can be written",
            hint="a path, or s3://, gs://, az:// with a bucket and a folder in it; no pattern",
        )
