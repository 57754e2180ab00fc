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

from rowkeeper.machine import bound_threads

if TYPE_CHECKING:
    from rowkeeper import destinations, errors, sources
    from rowkeeper.batch import Account, Fingerprint
    from rowkeeper.calendars import Calendar, Due
    from rowkeeper.contracts import check, rule
    from rowkeeper.endpoints import Endpoint, Proxy, Via
    from rowkeeper.pipeline import Pipeline
    from rowkeeper.quality import (
        accepted_values,
        against_last_run,
        between,
        complete,
        complete_days,
        consistent,
        expression,
        fresh,
        matches,
        references,
        same_total,
        sql,
        unique,
        volume,
    )
    from rowkeeper.resilience.deadline import deadline
    from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry, RetryBudget
    from rowkeeper.runs.loading import run_pipeline as run
    from rowkeeper.runs.report import RunReport
    from rowkeeper.runs.workspace import Workspace
    from rowkeeper.schedule import Slot
    from rowkeeper.schedule import current_slot as slot
    from rowkeeper.security.classified import Classified
    from rowkeeper.security.protection import (
        Encrypt,
        EncryptJoinable,
        FormatPreserving,
        Generalise,
        PartialMask,
        Pseudonymise,
        Redact,
    )
    from rowkeeper.security.tls import TLS
    from rowkeeper.settings import Settings
    from rowkeeper.stores import GCS, S3, Azure, Download

__all__ = [
    "GCS",
    "S3",
    "TLS",
    "Account",
    "Azure",
    "Calendar",
    "CircuitBreaker",
    "Classified",
    "Download",
    "Due",
    "Encrypt",
    "EncryptJoinable",
    "Endpoint",
    "Fingerprint",
    "FormatPreserving",
    "Generalise",
    "PartialMask",
    "Pipeline",
    "Proxy",
    "Pseudonymise",
    "Redact",
    "Resilience",
    "Retry",
    "RetryBudget",
    "RunReport",
    "Settings",
    "Slot",
    "Via",
    "Workspace",
    "accepted_values",
    "against_last_run",
    "between",
    "check",
    "complete",
    "complete_days",
    "consistent",
    "deadline",
    "destinations",
    "errors",
    "expression",
    "fresh",
    "matches",
    "read_manifest",
    "references",
    "rule",
    "run",
    "same_total",
    "slot",
    "sources",
    "sql",
    "unique",
    "volume",
]

_HOMES = {
    "GCS": ("stores", "GCS"),
    "S3": ("stores", "S3"),
    "TLS": ("security.tls", "TLS"),
    "Account": ("batch", "Account"),
    "Azure": ("stores", "Azure"),
    "Calendar": ("calendars", "Calendar"),
    "CircuitBreaker": ("resilience.policy", "CircuitBreaker"),
    "Classified": ("security.classified", "Classified"),
    "Download": ("stores", "Download"),
    "Due": ("calendars", "Due"),
    "Encrypt": ("security.protection", "Encrypt"),
    "EncryptJoinable": ("security.protection", "EncryptJoinable"),
    "Endpoint": ("endpoints", "Endpoint"),
    "Fingerprint": ("batch", "Fingerprint"),
    "FormatPreserving": ("security.protection", "FormatPreserving"),
    "Generalise": ("security.protection", "Generalise"),
    "PartialMask": ("security.protection", "PartialMask"),
    "Pipeline": ("pipeline", "Pipeline"),
    "Proxy": ("endpoints", "Proxy"),
    "Pseudonymise": ("security.protection", "Pseudonymise"),
    "Redact": ("security.protection", "Redact"),
    "Via": ("endpoints", "Via"),
    "Resilience": ("resilience.policy", "Resilience"),
    "Retry": ("resilience.policy", "Retry"),
    "RetryBudget": ("resilience.policy", "RetryBudget"),
    "RunReport": ("runs.report", "RunReport"),
    "Settings": ("settings", "Settings"),
    "Slot": ("schedule", "Slot"),
    "Workspace": ("runs.workspace", "Workspace"),
    "accepted_values": ("quality", "accepted_values"),
    "against_last_run": ("quality", "against_last_run"),
    "between": ("quality", "between"),
    "check": ("contracts", "check"),
    "complete": ("quality", "complete"),
    "complete_days": ("quality", "complete_days"),
    "consistent": ("quality", "consistent"),
    "deadline": ("resilience.deadline", "deadline"),
    "destinations": ("destinations", None),
    "errors": ("errors", None),
    "expression": ("quality", "expression"),
    "fresh": ("quality", "fresh"),
    "matches": ("quality", "matches"),
    "read_manifest": ("destinations", "read_manifest"),
    "references": ("quality", "references"),
    "rule": ("contracts", "rule"),
    "run": ("runs.loading", "run_pipeline"),
    "same_total": ("quality", "same_total"),
    "slot": ("schedule", "current_slot"),
    "sources": ("sources", None),
    "sql": ("quality", "sql"),
    "unique": ("quality", "unique"),
    "volume": ("quality", "volume"),
}


bound_threads()  # before anything imports Polars


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = import_module(f"{__name__}.{module}")
    return found if attribute is None else getattr(found, attribute)
