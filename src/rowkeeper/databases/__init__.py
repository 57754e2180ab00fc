"""Databases of others: where they are, and the way to them.

place.py       a URL by SQLAlchemy's names, taken apart
postgresql.py  a connection by psycopg: checked addresses, TLS that checks who answers
mysql.py       a connection by PyMySQL, over the one way out
"""

from rowkeeper.databases.place import Place, place_of

__all__ = ["Place", "place_of"]
