"""Double-entry bookkeeping for data pipelines.

    import rowkeeper as rk

    flights = rk.Pipeline(
        "flights",
        source=rk.sources.files("data/flights*.csv.zip"),
        contract=Flight,  # any Pydantic v2 model
        destination=rk.destinations.clickhouse("flights", order_by=["carrier", "time_hour"]),
    )

Names are looked up when they are first used, so that a command pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowkeeper import destinations, errors, sources
    from rowkeeper.batch import Account, Fingerprint
    from rowkeeper.contracts import check, rule
    from rowkeeper.pipeline import Pipeline
    from rowkeeper.resilience.deadline import deadline
    from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry, RetryBudget
    from rowkeeper.runs.loading import run_pipeline as run
    from rowkeeper.runs.report import RunReport
    from rowkeeper.runs.workspace import Workspace
    from rowkeeper.settings import Settings

__all__ = [
    "Account",
    "CircuitBreaker",
    "Fingerprint",
    "Pipeline",
    "Resilience",
    "Retry",
    "RetryBudget",
    "RunReport",
    "Settings",
    "Workspace",
    "check",
    "deadline",
    "destinations",
    "errors",
    "rule",
    "run",
    "sources",
]

_HOMES = {
    "Account": ("batch", "Account"),
    "CircuitBreaker": ("resilience.policy", "CircuitBreaker"),
    "Fingerprint": ("batch", "Fingerprint"),
    "Pipeline": ("pipeline", "Pipeline"),
    "Resilience": ("resilience.policy", "Resilience"),
    "Retry": ("resilience.policy", "Retry"),
    "RetryBudget": ("resilience.policy", "RetryBudget"),
    "RunReport": ("runs.report", "RunReport"),
    "Settings": ("settings", "Settings"),
    "Workspace": ("runs.workspace", "Workspace"),
    "check": ("contracts", "check"),
    "deadline": ("resilience.deadline", "deadline"),
    "destinations": ("destinations", None),
    "errors": ("errors", None),
    "rule": ("contracts", "rule"),
    "run": ("runs.loading", "run_pipeline"),
    "sources": ("sources", None),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = import_module(f"{__name__}.{module}")
    return found if attribute is None else getattr(found, attribute)
