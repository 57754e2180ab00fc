"""Tables and their columns, for `rowkeeper init`."""

from __future__ import annotations

import contextlib
import dataclasses

import pyarrow as pa

from rowkeeper.databases import place_of
from rowkeeper.errors import TableMissing
from rowkeeper.protocols import Site
from rowkeeper.sources.database.access import Access
from rowkeeper.sources.database.described import Asked, Relation
from rowkeeper.sources.database.opening import opened
from rowkeeper.sources.database.telling import telling


@dataclasses.dataclass(frozen=True, slots=True)
class Described:
    """A table as the database describes it.

    Attributes:
        table: its name, with its schema where it needs one.
        columns: no rows, but what values of each column are; Arrow's nullability is the column's.
        key: what tells its rows apart.
    """

    table: str
    columns: pa.Table
    key: tuple[str, ...]


def described(url: str, pattern: str, password: str | None, site: Site) -> list[Described]:
    """The tables and views that fit a pattern. Raises SourceError, and what the way out raises."""
    access = Access(place_of(url, "rowkeeper init"), password)
    name = access.place.name
    with telling(name), contextlib.closing(opened(access, site, 1)) as snapshot:
        found = snapshot.relations(pattern)
        if not found:
            raise TableMissing(
                f"{name} has no table that fits {pattern}",
                hint='--tables "schema.*"; tables that we may not see are not there for us',
            )
        relations = [snapshot.describe(Asked(schema, table)) for schema, table in found]
    return [_described(schema, table, each) for (schema, table), each in zip(found, relations, strict=True)]


def _described(schema: str, table: str, relation: Relation) -> Described:
    fields = [pa.field(each.name, each.meaning or pa.string(), each.nullable) for each in relation.columns]
    key = relation.key if relation.key_is_sure else ()
    return Described(f"{schema}.{table}" if schema else table, pa.schema(fields).empty_table(), key)
