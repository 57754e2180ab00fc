"""A table of files, in a folder or an object store, in which a run appears at once, through a manifest.

declaring.py   rk.destinations.files
session.py     a run's steps
manifest.py    what a manifest holds
log.py         the manifests one after the other: the newest, the next, which are kept
writing.py     the rows of a run, as data files, each read back
formats.py     Parquet, Arrow, CSV, NDJSON: writing, and reading back exactly
values.py      values as text, and back
packing.py     compression and age around a file
reading.py     what a reader needs: the files of the table as it is now
verifying.py   files against the manifest
"""

from rowkeeper.destinations.file.declaring import FilesDestination, files

__all__ = ["FilesDestination", "files"]
