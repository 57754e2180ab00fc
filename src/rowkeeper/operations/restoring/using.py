"""Who uses a state folder: processes that have one of its files open, its engine, and holders of its leases."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import listening
from rowkeeper.errors import StateInUse

NAMED_MAX = 3
STOP = "stop the worker and the server, and let runs end"


def refuse_in_use(home: Path) -> None:
    """Raises StateInUse if a process of this machine works with the folder, this one aside.

    Whoever has a run, a worker or a server under way has the ledger open, and the engine holds its lock. Processes of
    other users are not seen, and cannot use it either: it is closed to them.
    """
    if listening(EnginePlaces.under(home)):
        raise StateInUse(
            f"the embedded engine of {home} is up",
            hint="it goes away when it has been idle for ROWKEEPER_ENGINE_IDLE_SECONDS; then try again",
        )
    users = _users(home)
    if users:
        named = ", ".join(users[:NAMED_MAX]) + ", ..." * (len(users) > NAMED_MAX)
        raise StateInUse(f"{home} is in use by {named}", hint=f"{STOP}, then try again")


def _users(home: Path) -> list[str]:
    inside = f"{home}{os.sep}"
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if any(file.path.startswith(inside) for file in process.open_files()):
                found.append(f"process {process.pid} ({process.name()})")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # it has gone, or is of somebody whom the folder is closed to
    return found
