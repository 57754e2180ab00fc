"""Databases as a source: PostgreSQL, MySQL and MariaDB, SQLite.

declaring.py    `database()`: what a person writes, checked
source.py       DatabaseSource: the plan
reading.py      one load of one table, gone on with where it stopped
increments.py   what is new since the last load
access.py       how a database is reached, as it is declared
described.py    what is read, as values; Snapshot: what a kind of database must be able to do
opening.py      a snapshot of a database, whichever it is
postgresql.py   PostgreSQL: ranges of the key, side by side, in one snapshot
libpq.py        how it is asked; pgtypes.py (its types)
mysql.py        MySQL and MariaDB
sqlite.py       SQLite
ordered.py      readers side by side, their results in order
telling.py      what drivers raise, in our words
sampling.py     tables and their columns, for `rowkeeper init`
"""

from rowkeeper.sources.database.declaring import database
from rowkeeper.sources.database.increments import Increment
from rowkeeper.sources.database.source import DatabaseSource

__all__ = ["DatabaseSource", "Increment", "database"]
