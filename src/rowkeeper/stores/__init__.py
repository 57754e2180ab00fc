"""Where files lie: folders of this machine, object stores, web servers; for sources, destinations and backups.

address.py    how a place is written: `s3://bucket/folder`
declaring.py  how it is reached, and who we are there: S3, GCS, Azure, Download
opening.py    the store of an address
store.py      what every store can do
folder.py     folders
objects.py    object stores, by obstore; transfers.py: listings, ranges, uploads under way
downloads.py  web servers
access.py     obstore's clients, with the credentials that were declared and no others
google.py     tokens for service accounts
relay.py      the one way out, for a client that makes its own connections
loop.py       its requests, within deadlines
faults.py     what its errors mean
ranged.py     files as streams of ranges, fetched ahead
"""

from rowkeeper.stores.address import Address, address_of
from rowkeeper.stores.declaring import GCS, S3, Azure, Download, StoreAccess, check_access
from rowkeeper.stores.folder import Folder
from rowkeeper.stores.opening import endpoints_of, open_store
from rowkeeper.stores.store import FileStore, Item, ReadableStore, Writing

__all__ = [
    "GCS",
    "S3",
    "Address",
    "Azure",
    "Download",
    "FileStore",
    "Folder",
    "Item",
    "ReadableStore",
    "StoreAccess",
    "Writing",
    "address_of",
    "check_access",
    "endpoints_of",
    "open_store",
]
