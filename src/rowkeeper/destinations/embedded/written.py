"""Whether a table that was just made is on the disk as it should be.

chDB does not notice when writing a table's metadata fails: it goes on with what it has in memory, and cannot start
again. The two small files of a table are looked at before anything depends on it.
"""

from __future__ import annotations

from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces

ENCRYPTION_HEADER_BYTES = 64


def is_written(places: EnginePlaces, database: str, table: str, data: Path) -> bool:
    """Whether the definition and the format version of a table are whole.

    Args:
        data: the table's folder on the encrypted disk, named after the UUID by which the definition knows it.
    """
    definition = places.data / "metadata" / _file_name(database) / f"{_file_name(table)}.sql"
    try:
        text = definition.read_text()
        version_bytes = (data / "format_version.txt").stat().st_size
    except OSError:
        return False
    return data.name in text and text.endswith("\n") and version_bytes > ENCRYPTION_HEADER_BYTES


def _file_name(name: str) -> str:
    """A name as ClickHouse makes it fit for a file system."""
    return "".join(
        chr(byte) if byte < 128 and (chr(byte).isalnum() or byte == ord("_")) else f"%{byte:02X}"
        for byte in name.encode()
    )
