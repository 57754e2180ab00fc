"""What nobody asks for by a command, and is on the record all the same: other settings, and places without TLS.

`settings.json` in the state folder holds a hash of each setting that decides about security, as the last process had
it. A process that has another one leaves an entry with the setting's name before it does anything.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rowkeeper.errors import StateError
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import Event
from rowkeeper.security.keyfile import replace_private
from rowkeeper.settings import Settings

FILE = "settings.json"
EVERYDAY = frozenset(
    {
        "profile",
        "home",
        "batch_rows",
        "insert_rows",
        "queue_batches",
        "memory_max",
        "disk_free_min",
        "threads",
        "nice",
        "lease_seconds",
        "engine_idle_seconds",
        "engine_memory_bytes_max",
        "log_level",
        "log_stderr",
        "log_bytes_max",
        "query_seconds_max",
        "worker_runs_max",
        "worker_run_seconds_max",
        "worker_reconcile_seconds",
        "health_seconds",
        "health_disk_days_min",
        "health_key_days_max",
        "health_former_key_days_max",
        "health_quarantine_factor",
        "health_overdue_seconds",
        "health_drill_days_max",
    }
)
"""Settings of speed, size and manner. Any other is noted, also one that is new."""


def note_settings(settings: Settings, folder: Path, ledger: Ledger) -> None:
    """Notes which settings are others than the last process had; the first process of a state folder has none before.

    Raises StateError if it cannot be kept what they are.
    """
    now = _hashes(settings)
    try:
        former = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        former = None
    except (OSError, ValueError):
        former = {}  # damaged: all of them may be others
    if now == former:
        return
    if former is not None:
        changed = sorted(name for name in now.keys() | former.keys() if now.get(name) != former.get(name))
        ledger.audit.record(Event("settings.change", detail={"changed": changed}))
    try:
        replace_private(folder / FILE, json.dumps(now, indent=1).encode())
    except OSError as error:
        raise StateError(
            f"{folder / FILE} cannot be written: {error.strerror}", hint="see to its permissions"
        ) from error


def _hashes(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json")
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        for name, value in values.items()
        if name not in EVERYDAY
    }


class PlaintextNotes:
    """Notes each place that is reached without TLS, as declared, once in the life of a workspace.

    The vault and the ledger itself are reached before there is a trail to note it in: that follows.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, str | None]] = set()
        self._ledger: Ledger | None = None

    def __call__(self, name: str, host: str | None) -> None:
        """Before the place is reached. Raises what the ledger raises: then it is not."""
        if (name, host) not in self._seen:
            self._seen.add((name, host))
            if self._ledger is not None:
                self._ledger.audit.record(_plaintext(name, host))

    def follow(self, ledger: Ledger) -> None:
        """From now on they go to this ledger; first what was seen so far."""
        self._ledger = ledger
        if self._seen:
            ledger.audit.record(*(_plaintext(*each) for each in sorted(self._seen, key=repr)))


def _plaintext(name: str, host: str | None) -> Event:
    return Event("network.plaintext", {"place": name, "host": host})
