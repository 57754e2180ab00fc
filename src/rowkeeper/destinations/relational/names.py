"""The table's own name and those of its temporary companions, which lie beside it in the same schema.

Run and token are in the names: a process that lost its lease finds its staging area gone, and cannot publish. The name
of the table is in it in short only: PostgreSQL takes 63 bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

COMMITS = "_rowkeeper_commits"
COMPANION = re.compile(r"_rk_(staging|fenced|losers|undo)_(\d+)(?:_(\d+))?__(.+)")
SHORT = 16  # characters of the table's name


def identifier(name: str) -> str:
    """A quoted name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted string, where backslashes are letters like others (`standard_conforming_strings`)."""
    return "'" + text.replace("'", "''") + "'"


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """Quoted names, with the schema."""

    schema: str
    table: str

    @property
    def tail(self) -> str:
        """What the names of all companions of this table end in."""
        digest = hashlib.blake2b(self.table.encode(), digest_size=4).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_]', '_', self.table)[:SHORT]}_{digest}"

    @property
    def live(self) -> str:
        """What readers read."""
        return self.quoted(self.table)

    @property
    def commits(self) -> str:
        """Who published last to each table of the schema."""
        return self.quoted(COMMITS)

    def staging(self, run: int, token: int) -> str:
        """The rows of a run that is not published yet."""
        return self.quoted(f"_rk_staging_{run}_{token}__{self.tail}")

    def fenced(self, run: int) -> str:
        """The staging of a dead run, out of its reach; bare, to be renamed to."""
        return f"_rk_fenced_{run}__{self.tail}"

    def losers(self, run: int, token: int) -> str:
        """The addresses of staged rows that are duplicates."""
        return self.quoted(f"_rk_losers_{run}_{token}__{self.tail}")

    def undo(self, run: int) -> str:
        """The rows that this run took away."""
        return self.quoted(f"_rk_undo_{run}__{self.tail}")

    def quoted(self, table: str) -> str:
        """Schema and table, quoted."""
        return f"{identifier(self.schema)}.{identifier(table)}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Companion:
    """A temporary table that is there; ordered by age: what was fenced is older than any token."""

    token: int
    kind: str
    run: int
    name: str

    @classmethod
    def parse(cls, name: str, names: Names) -> Companion | None:
        """A table's name as a companion of this table, if it is one."""
        match = COMPANION.fullmatch(name)
        if match is None or match[4] != names.tail:
            return None
        return cls(int(match[3] or 0), match[1], int(match[2]), name)
