"""The keys that rules of freshness have seen: shown, and retired where nothing of them is expected any more."""

from __future__ import annotations

from rowkeeper.access import of_pipeline
from rowkeeper.errors import UnknownKey
from rowkeeper.ledger.freshness import KnownKey
from rowkeeper.nearest import did_you_mean
from rowkeeper.runs.workspace import Workspace


def list_keys_seen(workspace: Workspace, pipeline: str) -> list[KnownKey]:
    """All keys that were ever seen of a pipeline's table, by rule; those that are retired, too. Raises AccessDenied."""
    workspace.access.require("pipeline.show", of_pipeline(pipeline))
    return [each for each in workspace.ledger.freshness.keys(pipeline) if each.key]


def retire_key(workspace: Workspace, pipeline: str, key: str, *, reason: str | None = None) -> list[KnownKey]:
    """Expects nothing of a key any more, in every rule of the pipeline that has seen it, until it has a newer event.

    Raises AccessDenied; UnknownKey if no rule has seen it.
    """
    workspace.access.require("freshness.change", of_pipeline(pipeline))
    ledger = workspace.ledger.freshness
    known = [each for each in ledger.keys(pipeline) if each.key]
    rules = {each.rule for each in known if each.key == key}
    if not rules:
        near = did_you_mean(key, {each.key for each in known}, f"rowkeeper freshness list {pipeline} lists them")
        raise UnknownKey(f"no rule of freshness of {pipeline} has seen the key {key}", hint=near)
    ledger.retire(pipeline, key, rules, reason)
    return [each for each in ledger.keys(pipeline) if each.key == key]
