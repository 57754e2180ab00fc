"""The declaration of a ClickHouse table in a pipeline."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from rowkeeper.destinations.embedded.client import ENGINE
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean, one_of
from rowkeeper.protocols import DuplicatePolicy, Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience, check_resilience

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclasses.dataclass(frozen=True)
class ClickHouseDestination:
    """A ClickHouse table, embedded. Guarantee: exactly once.

    Made by `clickhouse()`, which says what each attribute means.
    """

    table: str
    database: str
    order_by: tuple[str, ...]
    partition_by: str | None
    write_mode: WriteMode
    key: tuple[str, ...]
    version: str | None
    duplicates: DuplicatePolicy | None
    codecs: Mapping[str, str]
    low_cardinality: tuple[str, ...]
    fallback: Fallback | None = None
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    guarantee = Guarantee.EXACTLY_ONCE

    @property
    def target(self) -> str:
        """Names the table over all pipelines."""
        return f"clickhouse:embedded/{self.database}.{self.table}"

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive, which no run depends on."""
        names = [name for name in _described(type(self)) if name != "fallback" or self.fallback is not None]
        return {"kind": "clickhouse", **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {name: description[name] for name in _described(cls) if name in description}
        lists = {name: tuple(values[name]) for name in ("order_by", "key", "low_cardinality")}
        return cls(**{**values, **lists})

    def connect(self, site: Site, schema: pa.Schema | None) -> TableSession:
        """Opens the table for one run, or for inspection where `schema` is None.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        if schema is not None:
            self._check_columns(schema.names)
        engine = EngineConnection(site, writes=True, policy=self.resilience or ENGINE)
        return TableSession(self, schema, engine)

    def _check_columns(self, columns: Sequence[str]) -> None:
        named = {
            "order_by": [each for each in self.order_by if PLAIN_NAME.fullmatch(each)],  # others are expressions
            "key": self.key,
            "version": [self.version] if self.version else [],
            "codecs": list(self.codecs),
            "low_cardinality": self.low_cardinality,
        }
        for argument, names in named.items():
            for name in names:
                if name not in columns and not name.startswith("_rk_"):
                    raise DeclarationError(
                        f"{argument} of the table {self.table} names a column {name} that the contract has not",
                        hint=did_you_mean(name, columns, f"it has {', '.join(columns)}"),
                    )


def _described(declared: type[ClickHouseDestination]) -> list[str]:
    return [field.name for field in dataclasses.fields(declared) if field.compare]


def clickhouse(
    table: str,
    *,
    database: str = "default",
    order_by: Sequence[str],
    partition_by: str | None = None,
    write: WriteMode = "append",
    key: Sequence[str] = (),
    version: str | None = None,
    duplicates: DuplicatePolicy | None = None,
    codecs: Mapping[str, str] | None = None,
    low_cardinality: Sequence[str] = (),
    resilience: Resilience | None = None,
    fallback: Fallback | None = None,
) -> ClickHouseDestination:
    """A table in the embedded ClickHouse, made from the contract if it is not there.

    Args:
        table: its name: letters, digits and `_`.
        database: its database, made if it is not there.
        order_by: the sorting key: columns or expressions.
        partition_by: an expression, such as `toYYYYMM(placed)`; None is one partition.
        write: `append` adds rows; `replace` makes the table exactly what the run reads; `merge` replaces rows of the
            same key.
        key: the columns that identify a row; they must not be optional.
        version: with `merge`, a column: a row replaces one of the same key only if its version is not lower.
        duplicates: what becomes of a row whose key was there before, in the run or in the table: `skip` drops it,
            `quarantine` sets it aside with its reason, `replace` lets it take the former one's place. None looks for
            no duplicates.
        codecs: column to compression codec, such as {"placed": "Delta, ZSTD"}.
        low_cardinality: text columns with few distinct values, to be stored as a dictionary.
        resilience: how statements survive an engine that goes away: `rk.Resilience(...)`. None tries three times within
            a second, opens the breaker for an engine that fails at every other of ten statements, and sets no time.
        fallback: what is done with a run when the table cannot be reached, or cannot take it for reasons of its own:
            None lets it fail; `spool` seals what it read into encrypted files under the state folder, and publishes it,
            in order and once, as soon as that is possible.

    Raises:
        ConfigurationError: the arguments do not fit together.
    """
    made = ClickHouseDestination(
        table=table,
        database=database,
        order_by=_names("order_by", order_by),
        partition_by=partition_by,
        write_mode=write,
        key=_names("key", key),
        version=version,
        duplicates=duplicates,
        codecs=dict(codecs or {}),
        low_cardinality=_names("low_cardinality", low_cardinality),
        resilience=resilience,
        fallback=fallback,
    )
    _check(made)
    if fallback not in (None, "spool"):
        raise DeclarationError(f"fallback={fallback!r} is no policy", hint=one_of(str(fallback), ("spool",)))
    return made


def _names(argument: str, value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise DeclarationError(f"{argument} is one string", hint=f'give a list: {argument}=["{value}"]')
    return tuple(value)


def _check(made: ClickHouseDestination) -> None:
    check_resilience(made.resilience, hedges=False)
    for name in (made.table, made.database):
        if not NAME.fullmatch(name) or "__rk_" in name:
            raise DeclarationError(
                f"{name!r} cannot name a table or database here",
                hint="a letter, then letters, digits or '_'; names with __rk_ are Rowkeeper's own",
            )
    if made.write_mode not in ("append", "replace", "merge"):
        raise DeclarationError(
            f"write={made.write_mode!r} is no mode", hint=one_of(made.write_mode, ("append", "replace", "merge"))
        )
    if made.duplicates not in (None, "skip", "quarantine", "replace"):
        raise DeclarationError(
            f"duplicates={made.duplicates!r} is no policy",
            hint=one_of(made.duplicates, ("skip", "quarantine", "replace")),
        )
    if made.write_mode == "merge" and not made.key:
        raise DeclarationError("a merge needs a key", hint='say which columns identify a row: key=["id"]')
    if made.write_mode == "merge" and made.duplicates is not None:
        raise DeclarationError("a merge replaces rows of the same key by itself", hint="leave out duplicates=")
    if made.duplicates is not None and not made.key:
        raise DeclarationError("duplicates are found by their key", hint='say which columns identify a row: key=["id"]')
    if made.key and made.write_mode != "merge" and made.duplicates is None:
        raise DeclarationError(
            "the key is not used", hint='say what becomes of duplicates: duplicates="skip", "quarantine" or "replace"'
        )
    if made.version is not None and made.write_mode != "merge":
        raise DeclarationError("a version column is for merges", hint='write="merge", or leave out version=')
