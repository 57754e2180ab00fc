"""What the ledger and the sealed files have of old runs of a destination: for whoever holds its lease."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from rowkeeper.ledger import Lease
from rowkeeper.ledger.retention import Limits, Old
from rowkeeper.operations.maintenance.task import Task
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

SEALED = ("quarantine", "samples")


def limits_of(settings: Settings, now: datetime) -> Limits:
    """What is set, as moments."""

    def before(days: float | None) -> datetime | None:
        return None if days is None else now - timedelta(days=days)

    restorable = settings.backup_to is not None
    return Limits(before(settings.history_keep_days), before(settings.quarantine_keep_days), restorable)


def find_old(space: Workspace, target: str, lease: Lease | None, now: datetime) -> Iterator[Task]:
    """What can go of the destination's runs: first from the ledger, then from the disk.

    Args:
        lease: None only to look.
    """
    old = space.ledger.retention.old(target, limits_of(space.settings, now))
    freed = sum(_bytes(space, name, run) for run in (*old.rejected, *old.whole) for name in SEALED)
    if old:
        yield Task("history", target, _told(old), partial(_remove, space, target, lease, old), freed)


def _told(old: Old) -> str:
    counts = {
        "the rejected rows and samples of {} runs": len(old.rejected),
        "how {} runs came about": len(old.details),
        "{} partitions that others took the place of": len(old.partitions),
        "{} runs that published nothing": len(old.whole),
    }
    return "remove " + ", ".join(words.format(f"{count:,}") for words, count in counts.items() if count)


def _remove(space: Workspace, target: str, lease: Lease | None, old: Old) -> None:
    assert lease is not None, "a dry run only looks"
    space.ledger.retention.remove(lease, target, old)
    failpoint("maintain.after_ledger")
    for run in old.runs:
        _keep_known(space, run)


def find_orphans(space: Workspace, target: str) -> Iterator[Task]:
    """Sealed files of runs that are over, which the ledger does not name: of processes that died, or of maintenance."""
    waiting = {run.run for run in (*space.ledger.unfinished(target), *space.ledger.spooled(target))}
    for number in _folders(space):
        run = space.ledger.find_run(number)
        if run is not None and run.target == target and number not in waiting:
            yield from _orphans(space, number, target)


def find_strangers(space: Workspace) -> Iterator[Task]:
    """Sealed files of runs that the ledger removed altogether: their numbers are below its newest, and not in it.

    A number above is of a ledger that was put back from an older copy: not for us to say.
    """
    newest = max((run.run for run in space.ledger.runs(limit=1)), default=0)
    for number in _folders(space):
        if number < newest and space.ledger.find_run(number) is None:
            yield from _orphans(space, number, f"run {number}")


def _orphans(space: Workspace, number: int, subject: str) -> Iterator[Task]:
    known = space.ledger.sealed_files(number)
    paths = [path for name in SEALED for path in _files(space, name, number) if f"{number}/{path.name}" not in known]
    if paths:
        told = f"remove {len(paths):,} sealed files of run {number} that the ledger does not name"
        yield Task("files", subject, told, partial(_keep_known, space, number), _size(paths))


def _keep_known(space: Workspace, number: int) -> None:
    known = space.ledger.sealed_files(number)
    for seal in (space.quarantine, space.samples):
        seal.keep_only(str(number), known)
        failpoint("maintain.after_files")


def _folders(space: Workspace) -> list[int]:
    """Numbers of runs that have folders of sealed files."""
    roots = [space.folder.path / name for name in SEALED]
    return sorted({int(each.name) for root in roots if root.is_dir() for each in root.iterdir() if each.name.isdigit()})


def _files(space: Workspace, name: str, number: int) -> list[Path]:
    folder = space.folder.path / name / str(number)
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _bytes(space: Workspace, name: str, number: int) -> int:
    return _size(_files(space, name, number))


def _size(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
