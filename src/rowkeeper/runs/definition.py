"""What a run is a run of: a hash that changes when anything changes that decides what rows come out."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

from rowkeeper.pipeline import Pipeline
from rowkeeper.security.protection.plan import Protections


def definition_of(pipeline: Pipeline, protections: Protections) -> str:
    """SHA-256 (hex) over source, contract, transform, protections and destination.

    A run that died is resumed only by a pipeline of the same definition; otherwise rows that were staged under the
    old one would be mixed with rows under the new.
    """
    parts = {
        "name": pipeline.name,
        "source": pipeline.source.describe(),
        "contract": pipeline.checker.definition(),
        "drift": pipeline.drift,
        "transform": _source_of(pipeline.transform),
        "destination": pipeline.destination.describe(),
    }
    if protections.columns:
        parts["protection"] = protections.document()
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _source_of(function: Callable[..., Any] | None) -> str | None:
    """The text of the module that a function stands in: a function may call others beside it."""
    if function is None:
        return None
    module = inspect.getmodule(function)
    try:
        return inspect.getsource(module if module is not None else function)
    except (OSError, TypeError):
        # A function without a source file cannot be compared: it is taken for another one each time, so a run
        # that died is started over rather than resumed.
        return f"{id(function)}"
