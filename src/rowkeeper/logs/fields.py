"""The words that a line of the log may have. What is not listed here is not written.

That is how no value of a row gets into the log, by a slip of tomorrow's code or from the context of a program that
uses Rowkeeper as a library: lines hold names, counts, places and codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FIELDS = {
    # every line
    "time": "when, UTC",
    "level": "debug, info, warning or error",
    "area": "what the line is about: command, run, lease, recovery, maintenance, backup, call, worker, server, "
    "degraded, network or library",
    "event": "what happened, in fixed words",
    "session": "8 hex digits, the same on all lines of one opened workspace",
    "pid": "the process",
    # where it happened
    "command": "the command's name, without its arguments",
    "run": "number of the run",
    "pipeline": "its pipeline",
    "target": "its destination",
    "partition": "key of the partition",
    "batch": "number of the batch's first row in its partition",
    "step": "open, drain, plan, wait, load, gate, seal, publish or record",
    "host": "the other machine",
    "operation": "what was asked of it",
    "attempt": "number of the try, from 1",
    "purpose": "what the keys of a keyset are for",
    "key": "id of a key, or where the key is that wraps the others; never a key itself",
    "child": "process id of what a worker started",
    "file": "a pipeline file",
    "library": "a library's own logger",
    "place": "file and line in the code",
    # how much
    "seconds": "how long it took, or will take",
    "rows": "rows concerned",
    "read": "rows read",
    "staged": "rows staged",
    "committed": "rows published",
    "quarantined": "rows rejected",
    "duplicate": "rows that were there before",
    "filtered": "rows that the transform dropped",
    "partitions": "how many",
    "passed": "gates that passed",
    "failed": "gates, calls or probes that failed",
    "schedules": "how many a worker serves, or a file declares",
    "under_way": "runs that a worker waits for",
    "killed": "runs that a worker ended at once",
    "lost": "lines that could not be written before this one",
    # how it ended
    "status": "of the run",
    "kind": "of the run: load, replay, rollback or restore",
    "outcome": "of a try, of a recovery, or of a run that a worker started",
    "before": "state before",
    "after": "state after",
    "token": "the lease's fencing token",
    "instead": "what was done in the place of what should have been",
    "note": "a sentence about a run, as it is in the ledger",
    # what went wrong
    "code": "of the error: rowkeeper errors CODE explains it",
    "category": "of the error",
    "error": "its class",
    "retryable": "whether the same command may help",
    "what": "its sentence",
    "address": "where a server listens",
    "action": "what permissions were to be asked for",
    "trace": "places in the code, the innermost last",
}
TEXT_MAX = 2000
ITEMS_MAX = 60


def known(facts: Mapping[str, object]) -> dict[str, object]:
    """What of these facts may be written, in the order of `FIELDS`, long text cut."""
    return {name: _short(facts[name]) for name in FIELDS if facts.get(name) is not None}


def _short(value: object) -> object:
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, (str, Path)):
        return str(value)[:TEXT_MAX]
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return [each[:TEXT_MAX] for each in value[-ITEMS_MAX:]]
    return type(value).__name__
