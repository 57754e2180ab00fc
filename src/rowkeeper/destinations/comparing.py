"""What a destination holds against what the books say, run by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rowkeeper.batch import Fingerprint
from rowkeeper.protocols import RunRows


def compared(
    expected: Mapping[int, Fingerprint],
    found: Mapping[int, tuple[Fingerprint, int]],
    doubled_of: Callable[[int], int],
) -> list[RunRows]:
    """The report of a destination that adds up its rows by run.

    Args:
        found: by run, its rows, hashed anew, and how many of them no longer have the hash that was stored with them.
        doubled_of: how many rows of a run share their address with another; asked only where rows differ.
    """
    report = []
    for run in sorted({*expected, *found}):
        held, (there, changed) = expected.get(run, Fingerprint()), found.get(run, (Fingerprint(), 0))
        if run not in expected:
            changed = 0  # all of them are added: there is nothing that they could have been changed from
        report.append(judged(run, held, there, changed, 0 if there == held else doubled_of(run)))
    return report


def judged(run: int, held: Fingerprint, there: Fingerprint, changed: int = 0, doubled: int = 0) -> RunRows:
    """One run: what is missing, added and changed.

    Args:
        held, there: by the books, and as found.
        changed: rows that are known to be others than they were.
        doubled: rows that share their address with another.
    """
    present = there.rows - doubled
    missing = max(0, held.rows - present)
    added = doubled + max(0, present - held.rows)
    if not (missing or added or changed) and held != there:
        changed = 1  # values and stored hash were both changed: at least one row is not what was published
    return RunRows(run, held, there, missing, added, changed)
