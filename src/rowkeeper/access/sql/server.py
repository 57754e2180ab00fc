"""The same decisions in the words of a ClickHouse server: roles, grants, row policies and masked views.

A role that sees all it sees of a table in the clear is granted those columns; its row filter becomes a row policy. One
that sees a column masked is granted a view in a database of its own, which holds the masks and the row filter, and not
the table. The view reads as its definer: whoever reads it needs no right to the table.

Row policies are added up: whoever has two roles sees what either lets be seen. A table with a row policy shows no rows
to those whom no policy names, so that everybody else is named by one that lets all pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from rowkeeper.access.sql.seen import SeenTable, quoted
from rowkeeper.access.sql.standing import condition, shown

PREFIX = "rk_"
DEFINER = f"{PREFIX}definer"
OTHERS = f"{PREFIX}others"
SOURCE = "_rk_table"


@dataclasses.dataclass(frozen=True, slots=True)
class ServerRole:
    """A role, what it sees, and who has it.

    Attributes:
        tables: those of which it sees something.
        members: names of accounts.
    """

    name: str
    tables: tuple[SeenTable, ...]
    members: tuple[str, ...] = ()

    @property
    def quoted(self) -> str:
        """Its name on the server, which is that of the database with its views too."""
        return quoted(PREFIX + self.name)


def statements(roles: Sequence[ServerRole]) -> tuple[str, ...]:
    """The SQL, statement by statement, in the order in which it is to be run.

    It can be run again: what an earlier export gave, and this one does not, is taken back.
    """
    return tuple(_statements(sorted(roles, key=lambda role: role.name)))


def _statements(roles: Sequence[ServerRole]) -> Iterator[str]:
    masked = [table for role in roles for table in role.tables if table.masked]
    if masked:
        yield f"CREATE USER IF NOT EXISTS {quoted(DEFINER)} HOST NONE"
        yield f"REVOKE ALL ON *.* FROM {quoted(DEFINER)}"
    for name in sorted({_full(table) for table in masked}):
        yield f"GRANT SELECT ON {name} TO {quoted(DEFINER)}"
    for role in roles:
        yield f"CREATE ROLE IF NOT EXISTS {role.quoted}"
        yield f"REVOKE ALL ON *.* FROM {role.quoted}"
    yield from _policies(roles)
    for role in roles:
        yield from _grants(role)
        if role.members:
            yield f"GRANT {role.quoted} TO {', '.join(map(quoted, sorted(role.members)))}"


def _policies(roles: Sequence[ServerRole]) -> Iterator[str]:
    """Row policies come before grants: nobody sees more rows in between."""
    tables = sorted({_full(table) for role in roles for table in role.tables})
    for name in tables:
        direct = [(role, table) for role in roles for table in role.tables if _full(table) == name and not table.masked]
        filtered = [role for role, table in direct if table.view.row_filter]
        if not filtered:
            for role in roles:
                yield f"DROP ROW POLICY IF EXISTS {role.quoted} ON {name}"
            yield f"DROP ROW POLICY IF EXISTS {quoted(OTHERS)} ON {name}"
            continue
        named = {role.name for role, _ in direct}
        for role in roles:
            if role.name not in named:
                yield f"DROP ROW POLICY IF EXISTS {role.quoted} ON {name}"
        for role, table in direct:
            yield _policy(role.quoted, name, _condition(table), role.quoted)
        yield _policy(quoted(OTHERS), name, "1", f"ALL EXCEPT {', '.join(role.quoted for role, _ in direct)}")


def _policy(policy: str, table: str, using: str, whom: str) -> str:
    return f"CREATE ROW POLICY OR REPLACE {policy} ON {table} FOR SELECT USING {using} AS PERMISSIVE TO {whom}"


def _condition(table: SeenTable) -> str:
    """The row filter by itself; a policy's columns are the table's."""
    where, _ = condition(table, None)
    return where.removeprefix(" WHERE ") or "1"


def _grants(role: ServerRole) -> Iterator[str]:
    yield f"DROP DATABASE IF EXISTS {role.quoted}"
    if any(table.masked for table in role.tables):
        yield f"CREATE DATABASE {role.quoted}"
    for table in sorted(role.tables, key=lambda each: each.name):
        if not table.masked:
            columns = ", ".join(quoted(column.name) for column in table.clear)
            yield f"GRANT SELECT({columns}) ON {_full(table)} TO {role.quoted}"
            continue
        view = f"{role.quoted}.{quoted(table.table if table.database == 'default' else table.name)}"
        where, _ = condition(table, SOURCE)
        yield (
            f"CREATE VIEW {view} DEFINER = {quoted(DEFINER)} SQL SECURITY DEFINER AS "
            f"SELECT {shown(table, SOURCE, plain=False)} FROM {_full(table)} AS {quoted(SOURCE)}{where}"
        )
        yield f"GRANT SELECT ON {view} TO {role.quoted}"


def _full(table: SeenTable) -> str:
    return f"{quoted(table.database)}.{quoted(table.table)}"
