"""What permissions are about: a pipeline, a run, a table, a column, a key, a user, a role, the installation."""

from __future__ import annotations

import dataclasses
import enum

from rowkeeper.keyed import Keyed


class ResourceKind(enum.StrEnum):
    """Kinds of things that somebody may do something to."""

    INSTALLATION = "installation"  # all of it: health, settings, what has no owner of its own
    PIPELINE = "pipeline"
    RUN = "run"
    TABLE = "table"
    COLUMN = "column"
    KEY = "key"
    USER = "user"
    ROLE = "role"


@dataclasses.dataclass(frozen=True, slots=True)
class Resource(Keyed):
    """One thing.

    Attributes:
        id: its name or number; of a table `database.table`, of a column `database.table.column`.
        within: what it is part of: a run of its pipeline, a column of its table. Who may do something to the whole may
            do it to the part.
        labels: classifications, such as `pii.email`; of columns alone.
        protected: whether the table holds something else than clear values; of columns alone.
    """

    kind: ResourceKind
    id: str
    _: dataclasses.KW_ONLY
    within: Resource | None = None
    labels: frozenset[str] = frozenset()
    protected: bool = False

    def __str__(self) -> str:
        """As people name it: `run 12`."""
        return self.kind.value if self.kind is ResourceKind.INSTALLATION else f"{self.kind} {self.id}"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as far as permissions see it.

    Attributes:
        labels: its classifications; empty if anybody who sees the table may see it.
        protected: whether the table holds something else than its clear values.
    """

    name: str
    labels: frozenset[str] = frozenset()
    protected: bool = False


def of_installation() -> Resource:
    """All of it."""
    return Resource(ResourceKind.INSTALLATION, "here")


def of_pipeline(name: str) -> Resource:
    """A pipeline by its name."""
    return Resource(ResourceKind.PIPELINE, name)


def of_run(run: int, pipeline: str) -> Resource:
    """A run, which belongs to its pipeline."""
    return Resource(ResourceKind.RUN, str(run), within=of_pipeline(pipeline))


def of_table(name: str) -> Resource:
    """A table: `database.table`."""
    return Resource(ResourceKind.TABLE, name)


def pipeline_of(resource: Resource) -> str | None:
    """The pipeline that something is, or is part of; None if it is neither."""
    each: Resource | None = resource
    while each is not None and each.kind is not ResourceKind.PIPELINE:
        each = each.within
    return None if each is None else each.id


def of_column(table: str, name: str, labels: frozenset[str] = frozenset(), protected: bool = False) -> Resource:
    """A column of a table: `database.table`."""
    return Resource(ResourceKind.COLUMN, f"{table}.{name}", within=of_table(table), labels=labels, protected=protected)


def of_keyset(purpose: str) -> Resource:
    """All keys of a purpose, such as `quarantine`."""
    return Resource(ResourceKind.KEY, purpose)


def of_key(number: str, purpose: str) -> Resource:
    """A key by its id, 8 hex digits, which belongs to its keyset."""
    return Resource(ResourceKind.KEY, number, within=of_keyset(purpose))


def of_user(name: str) -> Resource:
    """An account of a person or a service."""
    return Resource(ResourceKind.USER, name)


def of_role(name: str) -> Resource:
    """A role."""
    return Resource(ResourceKind.ROLE, name)
