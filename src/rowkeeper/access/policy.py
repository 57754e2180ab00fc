"""A policy with its id and where it comes from; and what a set of policies speaks of by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rowkeeper.access.policytext import PolicyText
from rowkeeper.access.schema import PRINCIPALS
from rowkeeper.caller import CallerKind
from rowkeeper.ledger.grants import ANY, Gives, Grant, To


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """One rule.

    Attributes:
        id: what its author called it (`@id("...")`), else its place; of a grant `grant 12`.
        place: file and line; `ledger` of a grant.
        cedar: it itself, in Cedar's JSON.
    """

    id: str
    place: str
    cedar: Mapping[str, Any]

    @property
    def forbids(self) -> bool:
        """Whether it forbids, where it applies."""
        return bool(self.cedar["effect"] == "forbid")


def named(written: PolicyText, cedar: Mapping[str, Any]) -> Policy:
    """A policy that was written, by its own name or its place."""
    return Policy(cedar.get("annotations", {}).get("id") or written.place, written.place, cedar)


def granted(grant: Grant, accounts: Mapping[str, CallerKind]) -> Policy:
    """A grant of an action, as a policy.

    Args:
        accounts: the kind of each.
    """
    assert grant.gives_kind is Gives.ACTION
    if grant.to_kind is To.ROLE:
        to: dict[str, Any] = {"op": "in", "entity": {"type": "Role", "id": grant.to}}
    else:
        to = {"op": "==", "entity": {"type": PRINCIPALS[accounts.get(grant.to, CallerKind.USER)], "id": grant.to}}
    on: dict[str, Any] = {"op": "All"}
    if grant.on_kind != ANY:
        on = {"op": "in", "entity": {"type": grant.on_kind.capitalize(), "id": grant.on}}
    conditions = [] if grant.purpose is None else [_for_purpose(grant.purpose)]
    conditions += [_NOT_LIMITED] if grant.to_kind is To.USER else []
    cedar = {
        "effect": "permit",
        "principal": to,
        "action": {"op": "==", "entity": {"type": "Action", "id": grant.gives}},
        "resource": on,
        "conditions": conditions,
    }
    return Policy(f"grant {grant.id}", "ledger", cedar)


# unless { context.limited }
_NOT_LIMITED = {"kind": "unless", "body": {".": {"left": {"Var": "context"}, "attr": "limited"}}}


def _for_purpose(purpose: str) -> Mapping[str, Any]:
    """`when { context has purpose && context.purpose == "billing" }`."""
    context = {"Var": "context"}
    has = {"has": {"left": context, "attr": "purpose"}}
    same = {"==": {"left": {".": {"left": context, "attr": "purpose"}}, "right": {"Value": purpose}}}
    return {"kind": "when", "body": {"&&": {"left": has, "right": same}}}


@dataclasses.dataclass(frozen=True, slots=True)
class Mentions:
    """What policies tell apart: two questions that differ in nothing of it have the same answer.

    Attributes:
        entities: type and id of each that one of them names.
        names: whether one of them looks at the name of what something is done to.
    """

    entities: frozenset[tuple[str, str]]
    names: bool

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Mentions:
        """What these tell apart."""
        entities: set[tuple[str, str]] = set()
        names = False
        for policy in policies:
            for node in _nodes(policy.cedar):
                if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
                    entities.add((node["type"], node["id"]))
                names = names or node.get("attr") == "name"
        return cls(frozenset(entities), names)


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        yield tree
        for each in tree.values():
            yield from _nodes(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)
