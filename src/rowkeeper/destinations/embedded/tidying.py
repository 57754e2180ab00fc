"""What a full disk leaves behind that would keep the engine from opening any table.

A DELETE notes itself in `mutation_N.txt` beside the table's parts. Where there is no room for it, the file stays empty
and is taken for written; at its next start ClickHouse cannot read it, refuses to attach the table, and gives up
altogether. Nothing is lost with the file: which parts the DELETE has gone through is in their names, and whoever asked
for it reads from disk what it left before anything is published.
"""

from __future__ import annotations

from rowkeeper.destinations.embedded.places import EnginePlaces

ENCRYPTED_HEADER_BYTES = 64  # an encrypted file with nothing in it


def drop_torn_mutations(places: EnginePlaces) -> list[str]:
    """Removes notes of mutations that hold nothing. To be called while no engine is up.

    Returns their places, for the host's log. Raises OSError.
    """
    torn = [
        path
        for path in places.disk.glob("enc/store/*/*/mutation_*.txt")
        if path.stat().st_size <= ENCRYPTED_HEADER_BYTES
    ]
    for path in torn:
        path.unlink()
    return [str(path.relative_to(places.disk)) for path in torn]
