"""An entry of the audit trail, or a detection, as an event of OCSF 1.5.0 (https://schema.ocsf.io/1.5.0).

An event says what its entry says, and no more: people are the trail's ids, with the names and addresses that the trail
can resolve when it is read. A reason is left out, as it is free text about people.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rowkeeper.ledger.audit import Entry, Outcome
from rowkeeper.operations.events.classes import OTHER, EventClass, class_of
from rowkeeper.operations.events.detecting import Detection

VERSION = "1.5.0"
PRODUCT = {"name": "Rowkeeper", "vendor_name": "Rowkeeper"}
SERVICE = {"name": "rowkeeper"}
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4
SUCCESS, FAILURE = 1, 2
NEW = 1  # the status of a finding
CREATE = 1  # the activity of a finding that is told for the first time
RULE = 1  # the type of an analytic
RELATIONAL = 1  # the type of a database

_SEVERITIES = {Outcome.DONE: INFORMATIONAL, Outcome.FAILED: LOW, Outcome.REFUSED: MEDIUM}


@dataclasses.dataclass(frozen=True, slots=True)
class SecurityEvent:
    """An event, with what it is sorted and counted by.

    Attributes:
        number: of the entry that it tells, or of the last one that a detection rests on.
        document: as OCSF has it.
    """

    number: int
    at: datetime
    event_class: EventClass
    outcome: Outcome
    document: Mapping[str, Any]


class Translator:
    """Makes events.

    Args:
        ledger_id: part of each event's id, which is unique among ledgers.
        names: what the ids of people mean.
    """

    def __init__(self, ledger_id: str, names: Mapping[str, str]) -> None:
        self._ledger_id = ledger_id
        self._names = names

    def of_entry(self, entry: Entry) -> SecurityEvent:
        """The event of an entry."""
        event = entry.event
        found, activity = class_of(event.action)
        done = event.outcome is Outcome.DONE
        document = self._common(found, activity, entry.at, _SEVERITIES[event.outcome], f"{entry.number}")
        document |= {
            "status_id": SUCCESS if done else FAILURE,
            "status": "Success" if done else "Failure",
            "message": f"{event.action}: {event.outcome.value}",
            "actor": self._actor(entry),
            "src_endpoint": _endpoint(entry),
            "unmapped": _unmapped(entry),
        }
        if activity == OTHER:
            document["activity_name"] = event.action.rpartition(".")[2]
        document |= self._of_class(found, entry)
        return SecurityEvent(entry.number, entry.at, found, event.outcome, document)

    def of_detection(self, detection: Detection) -> SecurityEvent:
        """The event of a detection."""
        found = EventClass.DETECTION_FINDING
        uid = f"{detection.rule}/{detection.numbers[0]}"
        document = self._common(found, CREATE, detection.last_at, HIGH, uid)
        document |= {
            "status_id": NEW,
            "status": "New",
            "message": detection.told,
            "finding_info": {
                "uid": self._uid(uid),
                "title": detection.title,
                "desc": detection.told,
                "analytic": {"name": detection.rule, "type_id": RULE, "type": "Rule"},
                "first_seen_time": _milliseconds(detection.first_at),
                "last_seen_time": _milliseconds(detection.last_at),
                "related_events": [{"uid": self._uid(f"{number}")} for number in detection.numbers],
            },
            "evidences": [{"user": self._person(detection.about)}],
        }
        return SecurityEvent(detection.numbers[-1], detection.last_at, found, Outcome.DONE, document)

    def _common(self, found: EventClass, activity: int, at: datetime, severity: int, uid: str) -> dict[str, Any]:
        return {
            "class_uid": found.value,
            "class_name": found.word.replace("_", " ").title().replace("Api", "API"),
            "category_uid": found.category,
            "activity_id": activity,
            "type_uid": found.value * 100 + activity,
            "time": _milliseconds(at),
            "severity_id": severity,
            "metadata": {"version": VERSION, "product": PRODUCT, "uid": self._uid(uid)},
        }

    def _uid(self, part: str) -> str:
        return f"{self._ledger_id}/{part}"

    def _actor(self, entry: Entry) -> dict[str, Any]:
        session = {} if entry.session is None else {"session": {"uid": entry.session}}
        return {"user": self._person(entry.who), **session}

    def _person(self, identity: str) -> dict[str, Any]:
        name = self._names.get(identity)
        return {"uid": identity} if name is None else {"uid": identity, "name": name}

    def _of_class(self, found: EventClass, entry: Entry) -> dict[str, Any]:
        """What only events of this class have."""
        on = entry.event.on
        user = self._person(str(on.get("user", entry.who)))
        match found:
            case EventClass.AUTHENTICATION:
                return {"user": user, "service": SERVICE}
            case EventClass.ACCOUNT_CHANGE:
                return {"user": user}
            case EventClass.DATASTORE_ACTIVITY:
                return _datastore(on)
            case _:
                resources = [{"type": kind, "uid": str(value)} for kind, value in on.items()]
                api = {"operation": entry.event.action, "service": SERVICE}
                return {"api": api, **({"resources": resources} if resources else {})}


def _datastore(on: Mapping[str, Any]) -> dict[str, Any]:
    """The table, where it is known; otherwise all that Rowkeeper loads into. Of a query its hash, as the trail has."""
    table = on.get("table")
    where = {"table": {"name": str(table)}} if table else {"database": {"name": "rowkeeper", "type_id": RELATIONAL}}
    digest = on.get("sql_sha256")
    return where | ({} if digest is None else {"query_info": {"uid": str(digest), "query_string": f"sha256:{digest}"}})


def _endpoint(entry: Entry) -> dict[str, Any]:
    """From where: the address of a request, or the machine on which a command was given."""
    if entry.address is None:
        return {"hostname": entry.host}
    try:
        return {"ip": str(ipaddress.ip_address(entry.address))}
    except ValueError:
        return {"name": entry.address}


def _unmapped(entry: Entry) -> dict[str, Any]:
    """What OCSF has no field for."""
    event = entry.event
    found: dict[str, Any] = {
        "action": event.action,
        "on": dict(event.on),
        "outcome": event.outcome.value,
        "detail": dict(event.detail),
        "purpose": event.purpose,
        "host": entry.host,
        "process": entry.process,
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
