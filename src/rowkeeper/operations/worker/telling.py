"""What a worker tells whoever looks on is in the log as well, to be found later, and in bundles."""

from __future__ import annotations

from typing import Any

from rowkeeper.errors import FrameworkError, error_of
from rowkeeper.logs import logger
from rowkeeper.operations.worker.files import Tell

EVENTS = {
    "adopted": "process of a dead worker adopted",
    "backed up": "backup made",
    "backups not pruned": "backups not pruned",
    "backups pruned": "backups pruned",
    "alerts not looked at": "rules of alerts not looked at",
    "checkpoint not sent": "checkpoint of the audit trail not sent",
    "drained": "spooled run drained",
    "drill failed": "drill of a backup failed",
    "drill passed": "drill of a backup passed",
    "ended": "process of a run ended",
    "going on": "runs started again",
    "held back": "runs held back",
    "healthy": "it stands well again",
    "ignored": "pipeline ignored",
    "maintained": "maintenance done",
    "not backed up": "backup not made",
    "not drained": "spool not drained",
    "not maintained": "maintenance not done",
    "notice not delivered": "notice of alerts not delivered",
    "not renewed": "certificates not renewed",
    "read": "pipeline file read",
    "ready": "worker ready",
    "recovered": "run recovered",
    "refused": "step of the worker refused",
    "renewed": "certificate renewed",
    "started": "process of a run started",
    "stopped": "worker stopped",
    "stopping": "worker stopping",
    "unhealthy": "it stands badly",
    "unreadable": "pipeline file not read",
}
FAULTS = (
    "backups not pruned",
    "alerts not looked at",
    "notice not delivered",
    "checkpoint not sent",
    "drill failed",
    "held back",
    "ignored",
    "not backed up",
    "not drained",
    "not maintained",
    "not renewed",
    "refused",
    "unhealthy",
    "unreadable",
)
WELL = ("published", "unchanged", "busy", "stopped")
NAMES = {"pid": "child", "error": "what", "why": "note"}  # a line's `pid` is the worker's, its `error` a class


def logged(tell: Tell, area: str = "worker") -> Tell:
    """The same, and each event becomes a line of the log, of this area."""
    log = logger(area)

    def both(event: str, **facts: Any) -> None:
        tell(event, **facts)
        is_fault = event in FAULTS or (event == "ended" and facts["outcome"] not in WELL)
        put = log.warning if is_fault else log.info
        put(EVENTS.get(event, event), **_for_the_log(facts))

    return both


def _for_the_log(facts: dict[str, Any]) -> dict[str, Any]:
    """In the log's own words; without the words of a pipeline file that raised, which may be anything."""
    found = {NAMES.get(name, name): fact for name, fact in facts.items() if fact != ""}
    if "pipelines" in found:
        found["schedules"] = len(found.pop("pipelines"))
    if "code" in found and _quotes(str(found["code"])):
        found.pop("what", None)
    return found


def _quotes(code: str) -> bool:
    try:
        return error_of(code).quotes
    except FrameworkError:
        return True  # of a connector that is not installed here
