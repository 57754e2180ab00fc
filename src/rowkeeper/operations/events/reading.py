"""Security events as they are read: the newest, or all of a time."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator

from rowkeeper.access import of_installation
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit.listing import Wanted, entries, newest, people
from rowkeeper.operations.events.classes import EventClass
from rowkeeper.operations.events.detecting import detections
from rowkeeper.operations.events.ocsf import SecurityEvent, Translator
from rowkeeper.runs.workspace import Workspace

FINDING = EventClass.DETECTION_FINDING


def newest_events(
    space: Workspace, limit: int, wanted: Wanted, event_class: EventClass | None = None
) -> list[SecurityEvent]:
    """The newest events of those that are wanted, in order. Raises AccessDenied."""
    space.access.require("event.list", of_installation())
    ledger = space.ledger
    found = list(_findings(ledger, wanted, event_class))
    if event_class is EventClass.API_ACTIVITY:  # it has no list of actions: it is what the other classes are not
        found += [each for each in _told(ledger, wanted) if each.event_class is event_class]
    elif event_class is not FINDING:
        of_class = wanted if event_class is None else dataclasses.replace(wanted, actions=event_class.actions)
        translator = _translator(ledger)
        found += [translator.of_entry(entry) for entry in newest(ledger.audit.engine, limit, of_class)]
    return sorted(found, key=_order)[-limit:]


def export_events(space: Workspace, wanted: Wanted) -> Iterator[SecurityEvent]:
    """All events that are wanted, in order, without holding them in memory. Raises AccessDenied, before the first."""
    space.access.require("event.list", of_installation())
    findings = sorted(_findings(space.ledger, wanted, None), key=_order)
    return heapq.merge(_told(space.ledger, wanted), findings, key=_order)


def _told(ledger: Ledger, wanted: Wanted) -> Iterator[SecurityEvent]:
    translator = _translator(ledger)
    for entry in entries(ledger.audit.engine, wanted):
        yield translator.of_entry(entry)


def _findings(ledger: Ledger, wanted: Wanted, event_class: EventClass | None) -> Iterator[SecurityEvent]:
    """Detections are of a time and a class; an outcome, a person or a thing they have not."""
    if event_class not in (None, FINDING) or wanted != Wanted(since=wanted.since, until=wanted.until):
        return
    translator = _translator(ledger)
    for detection in detections(ledger, wanted.since, wanted.until):
        yield translator.of_detection(detection)


def _translator(ledger: Ledger) -> Translator:
    return Translator(ledger.id, people(ledger.audit.engine))


def _order(event: SecurityEvent) -> tuple[int, bool]:
    """By the entries; a detection comes after the last one that it rests on."""
    return event.number, event.event_class is FINDING
