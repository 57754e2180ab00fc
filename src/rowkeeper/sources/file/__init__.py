"""Files as a source: CSV, NDJSON, JSON, Parquet and Avro; plain, .gz, .zst, or inside a .zip; wherever they lie.

declaring.py  `files()`: what a person writes, checked
source.py     FilesSource: the plan
fallback.py   FallbackSource: another place where the same files are, or what was loaded last
store.py      the seam: where files lie; those of this machine
remote.py     those of others
finding.py    which files and zip members there are
identity.py   how a file is known again
persisting.py what is tried again, and read on
reading.py    one partition, from its first byte to its last batch
opening.py    through compression, with truncation and damage found out
text.py       any encoding as UTF-8, checked
pacing.py     how far a reader may run ahead
delimited.py  CSV
lines.py      NDJSON
documents.py  JSON documents; skeleton.py: their structure
columnar.py   Parquet
avro.py       Avro
sampling.py   the first rows, for `rowkeeper init`
"""

from rowkeeper.sources.file.declaring import files
from rowkeeper.sources.file.fallback import FallbackSource
from rowkeeper.sources.file.sampling import Sample, sample
from rowkeeper.sources.file.source import FilesSource

__all__ = ["FallbackSource", "FilesSource", "Sample", "files", "sample"]
