"""Messages read back, and compared with the books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.staged import StagingArea
from rowkeeper.destinations.staged.delivered import from_text
from rowkeeper.destinations.streams import jsontext
from rowkeeper.destinations.streams.carrying import Stored
from rowkeeper.destinations.streams.control import Layout
from rowkeeper.protocols import RunRows

ROWS_AT_A_TIME = 20_000


class _Found:
    """What is there of one run."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.doubled = 0
        self.unreadable = 0
        self.fingerprint = Fingerprint()
        self.waiting: list[bytes] = []

    def take(self, message: Stored) -> None:
        if message.row in self.seen:
            self.doubled += 1
        self.seen.add(message.row)
        self.waiting.append(message.value)


def verified(
    pages: Iterable[Sequence[Stored]], area: StagingArea, layout: Layout, expected: Mapping[int, Fingerprint]
) -> list[RunRows]:
    """Hashes what was read back, run by run.

    A row is *missing* if no message has its address, *added* if two have, or if no run of the books sent it, *changed*
    if the hashes of a run's rows do not add up although all are there. Addresses are kept in memory: about 100 bytes a
    row.
    """
    runs: dict[int, _Found] = {}
    for page in pages:
        for message in page:
            found = runs.setdefault(message.run, _Found())
            found.take(message)
            if len(found.waiting) >= ROWS_AT_A_TIME:
                _hash(found, area, layout)
    for found in runs.values():
        _hash(found, area, layout)
    return [
        _judged(run, expected.get(run, Fingerprint()), runs.get(run, _Found())) for run in sorted({*expected, *runs})
    ]


def _hash(found: _Found, area: StagingArea, layout: Layout) -> None:
    payloads, found.waiting = found.waiting, []
    schema = from_text(layout.schema)
    try:
        found.fingerprint += area.fingerprint(jsontext.table_of(payloads, schema), layout.columns)
    except ValueError:
        readable = []
        for payload in payloads:
            try:
                jsontext.table_of([payload], schema)
            except ValueError:
                found.unreadable += 1
            else:
                readable.append(payload)
        rows = jsontext.table_of(readable, schema)
        found.fingerprint += Fingerprint(found.unreadable, 0) + area.fingerprint(rows, layout.columns)


def _judged(run: int, held: Fingerprint, found: _Found) -> RunRows:
    present = len(found.seen)
    missing = max(0, held.rows - present)
    added = found.doubled + max(0, present - held.rows)
    changed = found.unreadable
    if not (missing or added or changed) and held != found.fingerprint:
        changed = 1  # at least one
    return RunRows(run, held, found.fingerprint, missing, added, changed)
