"""Pseudonymise: HMAC-SHA256 under the key of a purpose."""

from __future__ import annotations

import dataclasses
import functools
import hmac
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.logs.native import withheld
from rowkeeper.security.protection.method import Method, Use, as_text, checked_purpose
from rowkeeper.security.protection.values import Values, bytes_of, is_one_value

DIGITS = 32  # of 64: 128 bits tell 10^15 values apart but for one chance in a hundred million
FEW = 512  # for which the plugin is not worth being loaded


@dataclasses.dataclass(frozen=True)
class Pseudonymise(Method):
    """Replaces a value by 32 hexadecimal digits of its HMAC-SHA256 under a secret key.

    Equal values have equal pseudonyms in all tables and pipelines of one purpose, so they still join; those of another
    purpose have nothing in common. There is no way back. Null stays null.

    Args:
        purpose: what the key is for. By default the field's classification: all `pii.email` columns join.
    """

    purpose: str | None = None
    word: ClassVar[str] = "pseudonymise"
    keyed: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_purpose("Pseudonymise", self.purpose)

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes what identifies something."""
        return refused_identity(field)

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """Text."""
        return as_text(field)

    def protect(self, values: Values, use: Use) -> Values:
        """The pseudonyms."""
        key = use.lasting_key.derive("pseudonym hmac-sha256").hex()
        return hmac_digits(bytes_of(values, use.field), key)


def refused_identity(field: pa.Field[Any]) -> str:
    """Why equal values of a column cannot be told by equal results; empty if they can."""
    if not is_one_value(field):
        return "it holds several values in a cell"
    if pa.types.is_boolean(field.type):
        return "of two values anybody can tell which is which by how often they are met"
    return "floating point numbers identify nothing" if pa.types.is_floating(field.type) else ""


def hmac_digits(values: Values, key: str) -> Values:
    """The first `DIGITS` hexadecimal digits of each value's HMAC-SHA256.

    Args:
        values: binary.
        key: 64 hexadecimal digits, which are the key as they stand: the plugin takes text.
    """
    if len(values) < FEW or not _has_plugin():
        secret = key.encode()
        digests = [hmac.digest(secret, each, "sha256").hex()[:DIGITS] for each in values.to_pylist()]
        return pa.array(digests, pa.string())
    digits = pl.col("value").chash.hmac_sha256(key=key).str.head(DIGITS)  # type: ignore[attr-defined]
    part = -(-len(values) // pl.thread_pool_size())
    parts = [pl.LazyFrame({"value": pl.from_arrow(values.slice(at, part))}) for at in range(0, len(values), part)]
    with withheld():  # the plugin works in one thread; the parts are made side by side
        made = pl.collect_all([each.select(digits) for each in parts])
    return pc.cast(pl.concat(made).to_series().to_arrow(), pa.string())


@functools.cache
def _has_plugin() -> bool:
    """Whether `rowkeeper[fast]` is installed: the same digits, several times as fast, for 29 MB more."""
    try:
        import polars_hash  # noqa: PLC0415, F401 - it adds itself to Polars' expressions
    except ImportError:
        return False
    return True
