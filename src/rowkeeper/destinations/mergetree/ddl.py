"""Statements that make, change and drop tables: on one host, or on all hosts of a cluster.

Each is a line of SQL; names are quoted, with their database. tests/destinations/server/test_cluster_sql.py has each of
them parsed by the engine.
"""

from __future__ import annotations

import dataclasses

from rowkeeper.destinations.mergetree.engine import Layout
from rowkeeper.destinations.mergetree.types import identifier, literal

UNMERGED = ("max_bytes_to_merge_at_max_space_in_pool", "max_bytes_to_merge_at_min_space_in_pool")


@dataclasses.dataclass(frozen=True, slots=True)
class Ddl:
    """The statements of a layout."""

    layout: Layout

    @property
    def everywhere(self) -> str:
        """What follows a table's name: on which hosts."""
        return f" ON CLUSTER {identifier(self.layout.cluster)}" if self.layout.cluster else ""

    def create_database(self, database: str) -> str:
        """One whose tables can be exchanged, if there is none of that name."""
        return f"CREATE DATABASE IF NOT EXISTS {identifier(database)}{self.everywhere} ENGINE = Atomic"

    def create(self, name: str, definition: str) -> str:
        """A table by its definition: columns, engine, keys, settings."""
        return f"CREATE TABLE {name}{self.everywhere} {definition}"

    def create_as(self, name: str, other: str, *, engine: str = "", comment: str = "", lenient: bool = False) -> str:
        """An empty table like another.

        Args:
            engine: with its keys and settings, in the place of the other's.
            lenient: if it is not there.
        """
        absent = "IF NOT EXISTS " if lenient else ""
        ending = (f" ENGINE = {engine}" if engine else "") + _commented(comment)
        return f"CREATE TABLE {absent}{name}{self.everywhere} AS {other}{ending}"

    def clone(self, name: str, other: str, comment: str = "") -> tuple[str, ...]:
        """A table like another, with its parts: linked, not copied."""
        if self.layout.clones:
            return (f"CREATE TABLE {name} CLONE AS {other}{_commented(comment)}",)
        return (self.create_as(name, other, comment=comment), self.attach_all(name, other))

    def attach_all(self, name: str, other: str) -> str:
        """The parts of another table, linked and not copied. Of replicated tables one replica does it for all."""
        return f"ALTER TABLE {name} ATTACH PARTITION ALL FROM {other}"

    def add_column(self, name: str, column: str, kind: str) -> str:
        """A column more, if it is not there. Of replicated tables one replica adds it for all."""
        return f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {identifier(column)} {kind}"

    def delete(self, name: str, condition: str) -> str:
        """Rows out of a table. Of replicated tables one replica takes them out of all."""
        return f"DELETE FROM {name} WHERE {condition}"

    def drop(self, name: str) -> str:
        """A table, if it is there."""
        return f"DROP TABLE IF EXISTS {name}{self.everywhere}"

    def rename(self, name: str, to: str) -> str:
        """A table under another name."""
        return f"RENAME TABLE {name} TO {to}{self.everywhere}"

    def exchange(self, one: str, other: str) -> str:
        """Two tables, each under the other's name."""
        return f"EXCHANGE TABLES {one} AND {other}{self.everywhere}"

    def hold_still(self, name: str) -> str:
        """Parts are never merged, also when the engine has been started anew: so they stay those of other tables."""
        return f"ALTER TABLE {name}{self.everywhere} MODIFY SETTING {', '.join(f'{each} = 1' for each in UNMERGED)}"

    @property
    def still(self) -> str:
        """The settings of a table whose parts are never merged, for its engine, behind others."""
        return "".join(f", {each} = 1" for each in UNMERGED)

    def let_merge(self, name: str) -> str:
        """Takes `hold_still` back."""
        return f"ALTER TABLE {name}{self.everywhere} RESET SETTING {', '.join(UNMERGED)}"

    def stop_merges(self, name: str) -> str:
        """Parts stay as they are."""
        return f"SYSTEM STOP MERGES{self.everywhere} {name}"

    def start_merges(self, name: str) -> str:
        """Parts are merged again."""
        return f"SYSTEM START MERGES{self.everywhere} {name}"

    def kill(self, condition: str) -> str:
        """Ends statements that are running, and waits until they have ended."""
        return f"KILL QUERY{self.everywhere} WHERE {condition} SYNC"

    def catch_up(self, name: str) -> str:
        """Lets this replica fetch all that the others have."""
        return f"SYSTEM SYNC REPLICA {name} STRICT"


def _commented(comment: str) -> str:
    return f" COMMENT {literal(comment)}" if comment else ""
