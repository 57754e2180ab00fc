"""Health: how it stands with an installation and its tables, since when, by which limit, and what mends it."""

from rowkeeper.operations.health.check import Check, State, worst
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.health.held import Held, show_held
from rowkeeper.operations.health.lagging import PipelineLag, show_lag
from rowkeeper.operations.health.looking import PARTS, Health, Part, look, look_around
from rowkeeper.operations.health.retiring import list_keys_seen, retire_key

__all__ = [
    "PARTS",
    "Check",
    "Health",
    "HealthContext",
    "Held",
    "Part",
    "PipelineLag",
    "State",
    "list_keys_seen",
    "look",
    "look_around",
    "retire_key",
    "show_held",
    "show_lag",
    "worst",
]
