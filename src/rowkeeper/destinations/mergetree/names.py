"""The table's own name and those of its temporary companions.

Run and token are in the names: a process that lost its lease finds its tables gone, and can neither attach nor
exchange. That is how the fencing token is enforced at the destination.
"""

from __future__ import annotations

import dataclasses
import re

from rowkeeper.destinations.mergetree.types import identifier

COMPANION = re.compile(
    r".+__rk_(staging|next|undo|fenced|fenced_next|wanted|losers|uncut|kept|saved|refilling|restored|aside)_(\d+)(?:_(\d+))?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """Quoted names, with the database."""

    database: str
    table: str

    @property
    def live(self) -> str:
        """What readers read."""
        return self.quoted(self.table)

    def staging(self, run: int, token: int) -> str:
        """The rows of a run that is not published yet."""
        return self.quoted(f"{self.table}__rk_staging_{run}_{token}")

    def next(self, run: int, token: int) -> str:
        """What the live table is exchanged with."""
        return self.quoted(f"{self.table}__rk_next_{run}_{token}")

    def undo(self, run: int) -> str:
        """The table as it was before this run."""
        return self.quoted(f"{self.table}__rk_undo_{run}")

    def fenced(self, run: int) -> str:
        """The staging of a dead run, out of its reach."""
        return self.quoted(f"{self.table}__rk_fenced_{run}")

    def fenced_next(self, run: int) -> str:
        """The next table of a dead run, out of its reach."""
        return self.quoted(f"{self.table}__rk_fenced_next_{run}")

    def losers(self, run: int, token: int) -> str:
        """The addresses of staged rows that are duplicates."""
        return self.quoted(f"{self.table}__rk_losers_{run}_{token}")

    def uncut(self, run: int, token: int) -> str:
        """The staging as it was before its duplicates were taken out, from which a run that died can go on."""
        return self.quoted(f"{self.table}__rk_uncut_{run}_{token}")

    def kept(self, run: int) -> str:
        """The table as it was before this run, kept until a backup has it."""
        return self.quoted(f"{self.table}__rk_kept_{run}")

    def saved(self, run: int) -> str:
        """The table as it is after this run, while a backup is made of it."""
        return self.quoted(f"{self.table}__rk_saved_{run}")

    def refilling(self, run: int, token: int) -> str:
        """What a restore fills with rows out of a backup."""
        return self.quoted(f"{self.table}__rk_refilling_{run}_{token}")

    def restored(self, run: int, token: int) -> str:
        """What a restore will exchange the live table with; afterwards the former one, until it is set aside."""
        return self.quoted(f"{self.table}__rk_restored_{run}_{token}")

    def aside(self, run: int, second: int) -> str:
        """What was there before a restore, which nobody but a person removes."""
        return self.quoted(f"{self.table}__rk_aside_{run}_{second}")

    def wanted(self, run: int) -> str:
        """An empty table as the contract would have it, to compare with."""
        return self.quoted(f"{self.table}__rk_wanted_{run}")

    def quoted(self, table: str) -> str:
        """Database and table, quoted."""
        return f"{identifier(self.database)}.{identifier(table)}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Companion:
    """A temporary table that is there; ordered by age: what was fenced is older than any token."""

    token: int
    kind: str
    run: int
    name: str

    @classmethod
    def parse(cls, name: str) -> Companion | None:
        """A table's name as a companion, if it is one."""
        match = COMPANION.fullmatch(name)
        return None if match is None else cls(int(match[3] or 0), match[1], int(match[2]), name)


def bare(name: str) -> str:
    """A table's name without database and quotes, as the system tables have it."""
    return name.split(".")[1].strip("`")
