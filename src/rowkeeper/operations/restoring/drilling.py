"""`rowkeeper backup drill`: a backup restored into an empty place, proved, and taken away again.

Nothing else shows that a backup can be restored. What came of it is in the ledger, and how long ago the last good one
was is part of health.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError, StateInUse
from rowkeeper.ledger.drills import DrillRecord
from rowkeeper.logs import failure, logger
from rowkeeper.operations.appointments import noting
from rowkeeper.operations.restoring.proving import prove_sealed
from rowkeeper.operations.restoring.restoring import Built, Tell, Wanted, build, told_in_our_words
from rowkeeper.operations.restoring.source import open_source, place_opened
from rowkeeper.runs.swapping import Swap
from rowkeeper.runs.workspace import Workspace

log = logger("backup")


@dataclasses.dataclass(frozen=True, slots=True)
class Drilled:
    """A drill that went well."""

    built: Built
    record: DrillRecord

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        record = self.record
        figures = {"seconds": round(record.seconds, 3), "rows": record.rows, "sealed_files": record.files}
        return {"status": "sound", "started_at": record.started_at.isoformat(), **figures, **self.built.as_dict()}


def drill(workspace: Workspace, wanted: Wanted, tell: Tell = lambda _: None) -> Drilled:
    """Restores beside the state folder, from the backup's own ledger and keys, as an empty machine would.

    Every fingerprint is compared, every part and sealed file is read, every keyset is opened. The place is removed
    however it ends.

    Raises:
        AccessDenied: the caller may not.
        StateInUse: another drill is under way; nothing is noted.
        FrameworkError: what keeps the backup from being restored; that is noted as a drill that failed.
    """
    workspace.access.require("backup.drill", of_installation())
    started_at, started = datetime.now(UTC), time.monotonic()
    home, files = workspace.folder.path, 0

    def look(space: Workspace) -> None:
        nonlocal files
        tell("opening sealed files and keysets")
        files = prove_sealed(space)

    try:
        with (
            Swap(home.with_name(f"{home.name}.drill")).building() as draft,
            told_in_our_words(draft),
            place_opened(workspace.settings, draft) as (store, vault),
        ):
            source = open_source(store, workspace.settings, vault, draft=draft, home=home, id=wanted.backup)
            built = build(workspace.settings, source, draft, wanted, tell, action=None, look=look)
    except StateInUse:
        raise  # another drill is under way: of the backup nothing is known
    except FrameworkError as error:
        seconds = time.monotonic() - started
        failed = DrillRecord(wanted.backup or "", 0, started_at, seconds, 0, 0, 0, sound=False, told=error.what)
        with noting():
            workspace.ledger.drills.note(failed)
        log.error("drill failed", seconds=seconds, **failure(error))
        raise
    record = DrillRecord(
        backup=built.backup,
        run=built.point.run,
        started_at=started_at,
        seconds=time.monotonic() - started,
        tables=len(built.tables),
        rows=sum(each.fingerprint.rows for each in built.tables),
        files=files,
        sound=True,
    )
    workspace.ledger.drills.note(record)
    log.info("drill passed", seconds=record.seconds, rows=record.rows)
    return Drilled(built, record)
