"""How it stands now: open runs, leases, breakers, the spool, quarantine, disk, audit trail, keys, backups."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.backups.due import BACKUP
from rowkeeper.operations.keys import former_keys
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Family, families, family
from rowkeeper.runs.workspace import Workspace

UNDER_WAY = (RunStatus.STAGING, RunStatus.PREPARED)


def of_build(workspace: Workspace) -> Iterator[Family]:
    """Which version this is."""
    del workspace
    yield family(catalogue.BUILD, ((version("rowkeeper"),), 1))


def of_runs(workspace: Workspace) -> Iterator[Family]:
    """Runs that are neither published nor closed, and which of them somebody is at."""
    ledger = workspace.ledger
    left = ledger.open_runs()
    by_status = Counter((run.pipeline, run.status.value) for run in left)
    begun = [run for run in left if run.status in UNDER_WAY]
    alive = {lease.name for lease in ledger.leases() if not lease.is_dead}
    in_flight = Counter({(run.pipeline,): 0 for run in left})
    in_flight.update((run.pipeline,) for run in begun if run.target in alive)
    yield families(catalogue.RUNS_OPEN, by_status.items())
    yield families(catalogue.IN_FLIGHT, in_flight.items())
    yield family(catalogue.SPOOLED, ((), sum(run.in_spool for run in left)))


def of_shared(workspace: Workspace) -> Iterator[Family]:
    """What processes share: leases and breakers."""
    ledger = workspace.ledger
    yield family(catalogue.LEASES, ((), len(ledger.leases())))
    breakers = ledger.breakers.read()
    opened = [((each.name.host, each.name.operation), int(each.open_seconds is not None)) for each in breakers]
    yield families(catalogue.BREAKER, opened)
    yield family(catalogue.BREAKERS_OPEN, ((), sum(is_open for _, is_open in opened)))


def of_backups(workspace: Workspace) -> Iterator[Family]:
    """When one was made last, and when one was restored; nothing where that never was."""
    found, drill = workspace.ledger.appointments.find(BACKUP), workspace.ledger.drills.newest(sound=True)
    made = None if found is None else found.kept_at
    yield families(catalogue.BACKUP, [] if made is None else [((), made.timestamp())])
    yield families(catalogue.DRILL, [] if drill is None else [((), drill.started_at.timestamp())])


def of_kept(workspace: Workspace) -> Iterator[Family]:
    """What is kept: rejected rows, entries of the audit trail, and the room that is left."""
    rejected = workspace.ledger.quarantined_rows()
    yield families(catalogue.QUARANTINE, (((pipeline,), rows) for pipeline, rows in rejected.items()))
    yield family(catalogue.AUDIT, ((), workspace.ledger.audit.head()[0]))
    yield family(catalogue.DISK_FREE, ((), shutil.disk_usage(workspace.folder.path).free))


def of_keys(workspace: Workspace) -> Iterator[Family]:
    """Keys that were rotated away, and what is left that is sealed with them, where that can be counted."""
    found = list(former_keys(workspace))
    yield families(catalogue.FORMER_KEYS, (((each.purpose,), len(each.numbers)) for each in found))
    counted = [((each.purpose,), each.left) for each in found if each.left is not None]
    yield families(catalogue.FORMER_KEY_THINGS, counted)
