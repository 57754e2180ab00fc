"""Tables of PostgreSQL and SQLite: staged in the database, published in one transaction with the commit record."""

from rowkeeper.destinations.relational.declaring import DatabaseDestination, database

__all__ = ["DatabaseDestination", "database"]
