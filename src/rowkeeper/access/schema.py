"""The Cedar schema, made from the list of actions: what policies may speak of, and what a question brings along."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.resource import ResourceKind
from rowkeeper.caller import CallerKind

PRINCIPALS: Mapping[CallerKind, str] = {CallerKind.USER: "User", CallerKind.SERVICE: "Service"}
RESOURCES: Mapping[ResourceKind, tuple[str, ...]] = {
    **{kind: (kind.value.capitalize(),) for kind in ResourceKind if kind is not ResourceKind.USER},
    ResourceKind.USER: tuple(PRINCIPALS.values()),  # an account is one or the other
}
"""By kind, what Cedar calls it."""

_TEXT, _TRUTH = {"type": "String"}, {"type": "Boolean"}
_NAMED = {"name": _TEXT}
_ENTITIES: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "Role": ((), {}),
    "User": (("Role",), {}),
    "Service": (("Role",), {}),
    "Installation": ((), {}),
    "Pipeline": ((), _NAMED),
    "Run": (("Pipeline",), _NAMED),
    "Table": ((), _NAMED),
    "Label": (("Label",), {}),
    "Column": (
        ("Table", "Label"),
        {
            **_NAMED,
            "classified": _TRUTH,  # it is in a label
            "protected": _TRUTH,
        },
    ),
    "Key": (("Key",), _NAMED),  # a key is in its keyset
}
"""By type: what it can be in, and its attributes."""


@functools.cache
def schema() -> str:
    """The schema as JSON (docs.cedarpolicy.com/schema/json-schema.html)."""
    asked = {"purpose": {**_TEXT, "required": False}, "limited": _TRUTH}
    context = {"type": "Record", "attributes": asked}
    principals = list(PRINCIPALS.values())
    actions = {
        action.name: {
            "appliesTo": {
                "principalTypes": principals,
                "resourceTypes": list(RESOURCES[action.on]),
                "context": context,
            }
        }
        for action in ACTIONS.values()
    }
    entities = {
        name: {"memberOfTypes": list(within), "shape": {"type": "Record", "attributes": dict(attributes)}}
        for name, (within, attributes) in _ENTITIES.items()
    }
    return json.dumps({"": {"entityTypes": entities, "actions": actions}})
