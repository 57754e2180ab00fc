"""Where rows come from: each source in a room of its own."""

from rowkeeper.sources.file import FilesSource, Sample, files, sample

__all__ = ["FilesSource", "Sample", "files", "sample"]
