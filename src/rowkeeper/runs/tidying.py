"""What dead processes left of a run's sealed files: drafts, and files that they sealed and never noted."""

from __future__ import annotations

from rowkeeper.resilience.degrading import optional
from rowkeeper.runs.hold import Hold


def tidy(held: Hold, run: int) -> None:
    """Removes the files of a run that the ledger does not know. For whoever holds the lease, once the run is over."""
    with optional("the removal of what a dead process had sealed"):
        known = held.ledger.sealed_files(run)
        for seal in (held.workspace.quarantine, held.workspace.samples):
            seal.keep_only(str(run), known)
