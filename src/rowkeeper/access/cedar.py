"""Cedar, behind one door: parses, validates and decides by `cedarpy`, which is imported here alone, when needed.

A question that Cedar cannot answer without an error is answered with no. Cedar itself leaves a policy out that fails
while it is evaluated, and goes on: if that one forbids, what it forbids would be allowed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.access.decision import Decision
from rowkeeper.access.schema import schema
from rowkeeper.extras import library

Json = Mapping[str, Any]


class PolicyFault(Exception):  # noqa: N818 - reads as what it is
    """A policy cannot be parsed, or does not fit the schema; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """Something that a question speaks of.

    Attributes:
        type, id: by which Cedar knows it.
        attributes: as the schema has them.
        within: type and id of what it is directly in.
    """

    type: str
    id: str
    attributes: Json = dataclasses.field(default_factory=dict)
    within: Sequence[tuple[str, str]] = ()

    @property
    def uid(self) -> Json:
        """As Cedar's JSON names it."""
        return {"type": self.type, "id": self.id}

    def document(self) -> Json:
        """As Cedar's JSON describes it."""
        parents = [{"type": kind, "id": name} for kind, name in self.within]
        return {"uid": self.uid, "attrs": self.attributes, "parents": parents}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What Cedar is asked.

    Attributes:
        more: what principal and resource are in.
        purpose, limited: of the caller.
    """

    principal: Entity
    action: str
    resource: Entity
    more: Sequence[Entity] = ()
    purpose: str | None = None
    limited: bool = False


class PolicySet:
    """Policies, each by an id of ours, ready to be asked.

    Args:
        policies: by id, in Cedar's JSON.
    """

    def __init__(self, policies: Mapping[str, Json]) -> None:
        whole = {"templates": {}, "staticPolicies": policies, "templateLinks": []}
        self._policies = _cedar().PolicySet.from_json_str(json.dumps(whole))
        self._schema = _cedar().Schema.from_json_str(schema())

    def decide(self, question: Question) -> Decision:
        """What the policies say; no, if one of them fails."""
        principal, resource = question.principal, question.resource
        context: dict[str, Any] = {"limited": question.limited}
        context |= {} if question.purpose is None else {"purpose": question.purpose}
        # Of an account that is asked about itself the principal counts, which has its roles.
        entities = {(each.type, each.id): each for each in (*question.more, resource, principal)}
        answer = _cedar().is_authorized(
            {
                "principal": principal.uid,
                "action": {"type": "Action", "id": question.action},
                "resource": resource.uid,
                "context": context,
            },
            self._policies,
            [each.document() for each in entities.values()],
            self._schema,
        )
        diagnostics = answer.diagnostics
        sound = answer.allowed and not diagnostics.errors
        return Decision(sound, tuple(sorted(diagnostics.reasons)) if sound == answer.allowed else ())


def parse(text: str) -> Json:
    """One policy, as Cedar's JSON. Raises PolicyFault."""
    try:
        whole = json.loads(_cedar().policies_to_json_str(text))
    except ValueError as fault:
        raise PolicyFault(str(fault)) from fault
    if whole["templates"]:
        raise PolicyFault("it is a template (?principal, ?resource), and nothing fills it in")
    (policy,) = whole["staticPolicies"].values()
    return dict(policy)


def validate(text: str) -> None:
    """Sees whether a policy fits the schema. Raises PolicyFault."""
    verdict = _cedar().validate_policies(text, schema())
    if not verdict.validation_passed:
        told = dict.fromkeys(each.error.removeprefix("for policy `policy0`, ") for each in verdict.errors)
        raise PolicyFault("; ".join(told))


@functools.cache
def _cedar() -> Any:
    """The library: 0.1 s and 20 MB that nobody without accounts has to pay. Raises ConfigurationError."""
    return library("cedarpy", "access", "accounts need a library for their permissions")
