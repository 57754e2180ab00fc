"""Local files as a source: CSV, NDJSON and Parquet; plain, .gz, .zst, or inside a .zip.

source.py     FilesSource: the declaration, the plan, and the reading of one partition
finding.py    which files and zip members there are
identity.py   how a file is known again
opening.py    through compression, with truncation and damage found out
delimited.py  CSV
lines.py      NDJSON
columnar.py   Parquet
sampling.py   the first rows, for `rowkeeper init`
"""

from rowkeeper.sources.file.sampling import Sample, sample
from rowkeeper.sources.file.source import FilesSource, files

__all__ = ["FilesSource", "Sample", "files", "sample"]
