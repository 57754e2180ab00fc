"""What `rowkeeper doctor` looks at in the ledger and beside it: its database, its times, leases, sealed files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rowkeeper.errors import FrameworkError, IntegrityError
from rowkeeper.ledger import RunRecord, RunStatus
from rowkeeper.operations.finding import Finding
from rowkeeper.runs.gating import open_profile, open_sample
from rowkeeper.runs.rejects import open_rejects
from rowkeeper.runs.spoolfiles import spool_bytes
from rowkeeper.runs.workspace import Workspace

RUNS_LOOKED_AT = 100
AHEAD_MAX = timedelta(seconds=5)
NAMES_TOLD = 3


def examine_books(workspace: Workspace) -> Iterator[Finding]:
    """Checks of the state folder and the ledger."""
    path = workspace.folder.key_path
    keep = "keep a copy of it elsewhere" if path else "see that it is kept there"
    yield Finding("key", True, f"{path or workspace.folder.keysets.reference}; {keep}")
    for name, check in CHECKS.items():
        try:
            yield check(workspace)
        except FrameworkError as error:
            yield Finding(name, False, error.what, error.hint)


def _permissions(workspace: Workspace) -> Finding:
    """Everything in the state folder, two floors deep, is ours; the folder itself lets nobody else in."""
    folder, me = workspace.folder.path, os.geteuid()
    key = workspace.folder.key_path
    entries = [*([key] if key else []), *folder.iterdir(), *(folder / "engine").glob("*")]
    foreign = [path for path in entries if _owner(path) not in (me, None)]
    if foreign:
        return Finding(
            "state folder",
            False,
            f"{_named(foreign)} belong to another user than the one who runs this ({me})",
            f"run as the user who made them, or: chown -R {me} {folder}",
        )
    drafts = [path for path in entries if path.name.startswith(".") or path.suffix == ".draft"]
    if drafts:
        return Finding("state folder", True, f"{folder}; {_named(drafts)} left by a process that died", "delete them")
    return Finding("state folder", True, f"{folder}, private, id {workspace.folder.id}")


def _owner(path: Path) -> int | None:
    """The user; None of a file that went away meanwhile, and of sockets, which a host makes anew."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return None if stat.S_ISSOCK(found.st_mode) else found.st_uid


def _named(paths: list[Path]) -> str:
    names = ", ".join(str(path) for path in paths[:NAMES_TOLD])
    return names + (f" and {len(paths) - NAMES_TOLD} more" if len(paths) > NAMES_TOLD else "")


def _ledger(workspace: Workspace) -> Finding:
    faults = workspace.ledger.check()
    if faults:
        return Finding("ledger", False, "; ".join(faults), "restore the ledger from a backup")
    return Finding("ledger", True, f"sound; id {workspace.ledger.id}, schema {workspace.ledger.schema()}")


def _times(workspace: Workspace) -> Finding:
    """A clock that was set back makes leases last longer, and what is new look old."""
    last, now = workspace.ledger.last_entry_at(), datetime.now(UTC)
    if last is not None and last - now > AHEAD_MAX:
        ahead = (last - now).total_seconds()
        return Finding(
            "ledger's times",
            False,
            f"the last entry is {ahead:,.0f} s in the future: the clock was set back, or was wrong then",
            "set the clock right; a lease taken then ends by itself, or with its process",
        )
    return Finding("ledger's times", True, "no entry is in the future")


def _leases(workspace: Workspace) -> Finding:
    """Locks that dead processes left. They hold nobody up: whoever needs the destination takes them over."""
    held = workspace.ledger.leases()
    dead = [each for each in held if each.is_dead]
    if dead:
        names = ", ".join(f"{each.name} (process {each.pid})" for each in dead)
        return Finding("leases", True, f"left by processes that died: {names}", "rowkeeper recover, or the next run")
    names = ", ".join(f"{each.name} by process {each.pid} on {each.host.split(':')[0]}" for each in held)
    return Finding("leases", True, f"held: {names}" if names else "none is held")


def _unfinished(workspace: Workspace) -> Finding:
    """Runs that nobody is at. One whose destination a live process holds is under way, or that process sees to it.

    The lease is asked for before and after: a run may begin or end in between.
    """
    ledger = workspace.ledger
    left: list[RunRecord] = []
    under_way: list[RunRecord] = []
    for target in ledger.targets(unfinished=True):
        is_held = ledger.lease_alive(target)
        runs = ledger.unfinished(target)
        is_held = is_held or ledger.lease_alive(target)
        for run in runs:
            (under_way if is_held and run.status is not RunStatus.HELD else left).append(run)
    if left:
        return Finding("runs", False, f"unfinished: {_listed(left)}", "rowkeeper recover, or run the pipeline again")
    if under_way:
        return Finding("runs", True, f"none was left unfinished; under way: {_listed(under_way)}")
    return Finding("runs", True, "none was left unfinished")


def _listed(runs: Sequence[RunRecord]) -> str:
    return ", ".join(f"run {run.run} of {run.pipeline} ({run.status.value})" for run in runs)


def _spool(workspace: Workspace) -> Finding:
    """What waits for its destination, how much disk it takes, and why it could not be drained when that was tried."""
    runs = workspace.ledger.spooled()
    if not runs:
        return Finding("spool", True, "nothing waits in it")
    names = ", ".join(f"run {run.run} of {run.pipeline}" for run in runs[:NAMES_TOLD])
    more = f" and {len(runs) - NAMES_TOLD} more" if len(runs) > NAMES_TOLD else ""
    found = f"{spool_bytes(workspace) / 1e6:,.1f} MB: {names}{more}"
    refused = next((run for run in runs if run.error), None)
    if refused is not None:
        why = f"run {refused.run} was not drained: {(refused.error or {}).get('what')}"
        return Finding("spool", False, f"{found}; {why}", "mend that, then rowkeeper spool drain")
    return Finding("spool", True, found, "the next run drains it, or rowkeeper spool drain")


def _sealed(workspace: Workspace) -> Finding:
    """Opens what the last runs sealed (rejected rows, samples, profiles): it is there, unchanged, and the key fits."""
    files = rows = 0
    faults: list[str] = []

    def opens(read: Callable[[], int]) -> None:
        nonlocal files, rows
        try:
            rows += read()
            files += 1
        except IntegrityError as error:
            faults.append(error.what)

    for run in workspace.ledger.runs(limit=RUNS_LOOKED_AT):
        for record in workspace.ledger.quarantine(run.run, kept=True):
            name = str(record.quarantine_file)
            opens(lambda name=name: open_rejects(workspace.quarantine, name).num_rows)  # type: ignore[misc]
        for result in workspace.ledger.gate_results(run.run):
            if result.sample_file is not None:
                opens(lambda result=result: len(open_sample(workspace, result)))  # type: ignore[misc]
        opens(lambda number=run.run: int(open_profile(workspace, number) is not None))  # type: ignore[misc]
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return Finding("sealed files", False, f"{faults[0]}{more}", "restore them from a backup")
    return Finding(
        "sealed files", True, f"{files:,} files of the last runs with {rows:,} rows open as they were sealed"
    )


def _breakers(workspace: Workspace) -> Finding:
    """Hosts that fail so often that some process leaves them alone."""
    states = workspace.ledger.breakers.read()
    alone = [f"{state.name} for {state.open_seconds:.0f} s" for state in states if state.open_seconds]
    if alone:
        return Finding("breakers", False, f"left alone: {', '.join(alone)}", "see to them; calls go on by themselves")
    return Finding("breakers", True, "no host is left alone")


CHECKS: dict[str, Callable[[Workspace], Finding]] = {
    "state folder": _permissions,
    "ledger": _ledger,
    "ledger's times": _times,
    "leases": _leases,
    "runs": _unfinished,
    "spool": _spool,
    "sealed files": _sealed,
    "breakers": _breakers,
}
