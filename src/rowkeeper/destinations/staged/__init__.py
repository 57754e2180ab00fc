"""The first half of a run for destinations that have no staging area of their own: files, APIs, streams.

Accepted rows wait in tables of the embedded ClickHouse, on its encrypted disk, as those of its own tables do; so
resuming, withdrawing, duplicates, quality gates in SQL and the seal are the same wherever rows go in the end. What
remains for the destination is to hand the sealed rows over, in order, and to say afterwards whether it did.

area.py       the staging area of a run, and the rows out of it
delivered.py  rows as they are handed over: which Arrow types, and how they are hashed again when they are read back
session.py    what the sessions of such destinations share
record.py     the commit record of a destination that cannot keep one
"""

from rowkeeper.destinations.staged.area import StagingArea
from rowkeeper.destinations.staged.record import LocalRecord
from rowkeeper.destinations.staged.session import StagedInEngine

__all__ = ["LocalRecord", "StagedInEngine", "StagingArea"]
