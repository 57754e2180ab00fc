"""Security events: the audit trail as others read it (OCSF), and what stands out in it."""

from rowkeeper.operations.events.classes import CLASSES, EventClass
from rowkeeper.operations.events.counting import EventCounts
from rowkeeper.operations.events.detecting import DETECTORS, Detection, Detector
from rowkeeper.operations.events.ocsf import SecurityEvent
from rowkeeper.operations.events.reading import export_events, newest_events

__all__ = [
    "CLASSES",
    "DETECTORS",
    "Detection",
    "Detector",
    "EventClass",
    "EventCounts",
    "SecurityEvent",
    "export_events",
    "newest_events",
]
