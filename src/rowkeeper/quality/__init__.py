"""What a good table is: gates over the staged whole, and the profile of a run."""

from rowkeeper.quality.expression import expression
from rowkeeper.quality.freshness import CompleteDays, Freshness, FreshRule, complete_days, fresh
from rowkeeper.quality.gate import Gate, Past, Severity, Status
from rowkeeper.quality.judging import Judged, judge, rehearse
from rowkeeper.quality.loads import against_last_run, volume
from rowkeeper.quality.profile import Profile
from rowkeeper.quality.rows import accepted_values, between, complete, consistent, matches
from rowkeeper.quality.sets import references, same_total, sql, unique

__all__ = [
    "CompleteDays",
    "FreshRule",
    "Freshness",
    "Gate",
    "Judged",
    "Past",
    "Profile",
    "Severity",
    "Status",
    "accepted_values",
    "against_last_run",
    "between",
    "complete",
    "complete_days",
    "consistent",
    "expression",
    "fresh",
    "judge",
    "matches",
    "references",
    "rehearse",
    "same_total",
    "sql",
    "unique",
    "volume",
]
