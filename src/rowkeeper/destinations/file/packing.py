"""What is around a file of a format: compression of the whole, and encryption for age recipients."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import DeclarationError, SecretUnavailable
from rowkeeper.extras import library
from rowkeeper.security.references import resolve

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EXTENSIONS = {"gzip": ".gz", "zstd": ".zst"}
AGE = ".age"
GZIP_LEVEL = 6


def compressed(out: IO[bytes], compression: str) -> IO[bytes]:
    """A stream that compresses what is written, to be closed before `out` is; `out` itself for `none`."""
    match compression:
        case "gzip":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=out, mode="wb", compresslevel=GZIP_LEVEL, mtime=0))
        case "zstd":
            return cast("IO[bytes]", zstd.ZstdFile(out, "wb"))
        case _:
            return out


def decompressed(file: IO[bytes], compression: str) -> IO[bytes]:
    """A stream of what was compressed."""
    match compression:
        case "gzip":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
        case "zstd":
            return cast("IO[bytes]", zstd.ZstdFile(file, "rb"))
        case _:
            return file


def check_recipients(recipients: Sequence[str]) -> None:
    """Raises DeclarationError for what is no public key of age's (`age1...`)."""
    for recipient in recipients:
        try:
            _age().x25519.Recipient.from_str(recipient)
        except _age().RecipientError:
            raise DeclarationError(
                "encrypt_for has something in it that is no age recipient", hint="age1..., as age-keygen prints it"
            ) from None


def encrypted(plain: IO[bytes], out: IO[bytes], recipients: Sequence[str]) -> None:
    """Writes what one stream has into another, so that only the recipients can read it."""
    age = _age()
    age.encrypt_io(plain, out, [age.x25519.Recipient.from_str(each) for each in recipients])


def decrypted(file: IO[bytes], identity: str) -> IO[bytes]:
    """What was encrypted, in memory that has no name.

    Args:
        identity: a reference to the private key (`AGE-SECRET-KEY-1...`).

    Raises SecretUnavailable for what is none, and ValueError if it is not for this file, or the file was changed.
    """
    age = _age()
    try:
        key = age.x25519.Identity.from_str(_line_of(resolve(identity).reveal()))
    except age.IdentityError:
        raise SecretUnavailable(
            f"{identity} is no identity of age", hint="a line AGE-SECRET-KEY-1..., as age-keygen prints it"
        ) from None
    plain = memory_file()
    try:
        age.decrypt_io(file, plain, [key])
    except age.DecryptError as error:
        plain.close()
        raise ValueError("it cannot be decrypted with this identity, or was changed") from error
    plain.seek(0)
    return plain


def _line_of(text: str) -> str:
    """The key in a file as age-keygen writes it, with comments before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return lines[0] if lines else ""


def memory_file() -> IO[bytes]:
    """A file in memory, which no disk ever sees."""
    return os.fdopen(os.memfd_create("rowkeeper-file", os.MFD_CLOEXEC), "w+b")


def _age() -> Any:
    return library("pyrage", "age", "files are encrypted with a library")


def check_reference(identity: str) -> None:
    """Raises SecretLiteral, or DeclarationError, for what is no reference to a secret."""
    parse(identity, "identity=")


def compression_of(path: str) -> str:
    """What a file's name says is around the whole of it."""
    plain = path.removesuffix(AGE)
    return next((name for name, ending in EXTENSIONS.items() if plain.endswith(ending)), "none")
