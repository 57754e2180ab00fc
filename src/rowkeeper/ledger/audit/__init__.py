"""The audit trail: who did what, in a tree that nobody can edit, drop from or reorder unnoticed."""

from rowkeeper.ledger.audit.event import Entry, Event, Outcome
from rowkeeper.ledger.audit.trail import Trail

__all__ = ["Entry", "Event", "Outcome", "Trail"]
