"""The log: what happened in this process, line by line, for whoever has to find out later.

Rooms say `log = logger("run")`, then `log.info("run started", partitions=3)`; `about(run=7)` puts the run on every line
that follows, in whatever room and thread. Where lines go is decided once, by whoever opens a `Journal`; without one
nothing is written.
"""

from rowkeeper.logs.context import about
from rowkeeper.logs.failure import failure
from rowkeeper.logs.file import RotatingFile
from rowkeeper.logs.journal import Journal, file_outlet, keep, logger, stderr_outlet

__all__ = ["Journal", "RotatingFile", "about", "failure", "file_outlet", "keep", "logger", "stderr_outlet"]
